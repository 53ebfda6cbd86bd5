"""The provider simulator: a server that speaks OpenAI's wire format, keeps its own bill and fails on request.

It stands in for providers in the demo, in tests, in fault drills and in load measurements, and imports
nothing of the product, so that what it writes down is independent evidence.
"""
