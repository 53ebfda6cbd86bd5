"""Admission: requests and tokens per minute, parallel calls, token quotas and budgets, decided by one atomic Redis
script. No tables.

`client.Limits` (blocking) and `async_client.AsyncLimits` run the same scripts; `protocol` builds commands and reads
replies without doing any I/O. Callers need `contracts` and `errors` beside one of the two clients.

All counters are projections of what the caller's database knows. They can vanish at any time: the answer is then
`Cold`, never a guess, and `rebuild` restores them exactly.

`fairness` has no part in that: it says, in the memory of one process, whose calls are taken where there are too many.
"""
