"""requests behind the policy, for libraries that bring it along."""

import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from apps.outbound.errors import Refused, refusal
from apps.outbound.policy import Policy, Target

_REDIRECTS_MAX = 3
_CHUNK_BYTES = 65_536


class RefusedAddress(Refused, requests.exceptions.InvalidURL):
    """The address of a request (the first or one it was sent on to), or what it resolves to, is refused."""


class AnswerTooLarge(requests.exceptions.ContentDecodingError):
    """The answer is larger, or takes longer, than anything that is asked for here."""


def requests_session(
    policy: Policy, *, connect_seconds: float = 3.0, total_seconds: float = 10.0, answer_max_bytes: int = 1_048_576
) -> requests.Session:
    """A session that calls what the policy allows, without proxies or passwords from the environment.

    Answers are read whole, up to `answer_max_bytes` and within `total_seconds`. A request that is refused raises
    `RefusedAddress`, which is a `requests.RequestException` too.
    """
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = _REDIRECTS_MAX
    adapter = _Adapter(policy, connect_seconds, total_seconds, answer_max_bytes)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session


class _Adapter(HTTPAdapter):
    """One hop of a request: every redirect comes through here again."""

    def __init__(self, policy: Policy, connect_seconds: float, total_seconds: float, answer_max_bytes: int) -> None:
        self._policy = policy
        self._timeout = (connect_seconds, total_seconds)
        self._answer_max_bytes = answer_max_bytes
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._policy)

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        raise RefusedAddress("a proxy would connect where nobody checks")

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        deadline = time.monotonic() + self._timeout[1]
        try:
            self._policy.check_url(request.url or "")
            response = super().send(request, True, timeout or self._timeout, verify, cert, proxies)
        except (Refused, requests.ConnectionError) as error:
            if refused := refusal(error):
                raise RefusedAddress(str(refused)) from error
            raise
        self._read(response, deadline)
        return response

    def _read(self, response: requests.Response, deadline: float) -> None:
        """Take the whole answer now, so that neither its size nor its pace is the other side's choice."""
        body = bytearray()
        try:
            while data := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                body += data
                if len(body) > self._answer_max_bytes or time.monotonic() > deadline:
                    raise AnswerTooLarge("the answer is too large or too slow", response=response)
        except (HTTPError, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(error, request=response.request) from error
        finally:
            response.raw.close()
        response._content = bytes(body)
        response._content_consumed = True


def _pools(policy: Policy) -> dict[str, Any]:
    """Pools whose connections resolve, check and connect in one step, so that no name is asked twice."""

    def connect(connection: HTTPConnection) -> socket.socket:
        failed: OSError | None = None
        timeout = connection.timeout
        for family, host, port in policy.resolve(Target(connection._dns_host.lower().rstrip("."), connection.port)):
            opened = socket.socket(family, socket.SOCK_STREAM)
            try:
                opened.settimeout(timeout if isinstance(timeout, int | float) else None)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                opened.connect((host, port))
                return opened
            except OSError as error:
                opened.close()
                failed = error
        raise failed or OSError("the name has no address")

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
