"""Fault drills against the whole product: real processes, real servers, one oracle. `python -m chaos` runs them."""
