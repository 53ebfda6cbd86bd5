"""The one way out to addresses that people outside the installation may choose: no call reaches a private network.

`client_session` (aiohttp) and `requests_session` (requests) check the address of every request, every address its name
resolves to, and once more the address a socket is about to connect to. Redirects pass the same checks. Operators list
what is private and meant: `Policy.parse("127.0.0.1/32,10.0.0.0/8,models.internal:8000")`. No tables.
"""

from apps.outbound.asynchronous import client_session
from apps.outbound.blocking import requests_session
from apps.outbound.errors import BadAllowList, Refused, refusal
from apps.outbound.policy import Policy

__all__ = ["BadAllowList", "Policy", "Refused", "client_session", "refusal", "requests_session"]
