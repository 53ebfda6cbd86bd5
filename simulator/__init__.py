"""The provider simulator: a server that speaks the wire formats of OpenAI and Anthropic and fails on request.

It keeps a bill of its own. It stands in for providers in the demo, in tests, in fault drills and in load measurements,
and imports nothing of the product, so that what it writes down is independent evidence.
"""
