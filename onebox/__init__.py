"""The whole product on one machine: real PostgreSQL and Redis, and the processes that use them.

`python -m onebox run` starts it; tests, drills and benchmarks use `onebox.stack.Stack`. Nothing here needs Django:
the servers must be up before Django can be configured. Linux is what it is made for and tested on.
"""
