"""Real calls to real servers of this machine, with a name service that answers as an attacker would have it."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
import requests

from apps.outbound import Policy, Refused, client_session, refusal, requests_session
from apps.routing.contracts import ProviderAccess
from apps.routing.errors import ProviderMisconfigured
from apps.routing.providers.listing import upstream_models

# 127.0.0.1 stands for the internet; ::1 is the private service that nobody may reach.
POLICY = Policy.parse("127.0.0.1/32")


class Server:
    """Counts its callers. `location`: where it sends them on to."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        self.seen: list[str] = []
        self.location = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append(self.path)
                self.send_response(302 if outer.location else 200)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Listening(http.server.ThreadingHTTPServer):
            address_family = family

        self._server = Listening((host, 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def internet() -> Iterator[Server]:
    server = Server(socket.AF_INET, "127.0.0.1")
    yield server
    server.close()


@pytest.fixture
def private() -> Iterator[Server]:
    server = Server(socket.AF_INET6, "::1")
    yield server
    server.close()


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Iterator[list[str]]:
    """The name `rebound.example` resolves to these addresses in turn; the last answer stays."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != "rebound.example":
            return real(host, port, *args, **more)
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [one for address in answer for one in real(address, port, type=socket.SOCK_STREAM)]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        yield asked


async def fetch(url: str, policy: Policy = POLICY) -> int:
    async with client_session(policy) as session, session.get(url) as response:
        return response.status


async def test_a_listed_server_is_called(internet: Server) -> None:
    assert await fetch(f"http://127.0.0.1:{internet.port}/a") == 200
    assert requests_session(POLICY).get(f"http://127.0.0.1:{internet.port}/b").json() == {}
    assert internet.seen == ["/a", "/b"]


async def test_a_private_server_is_not_called(private: Server) -> None:
    for url in (f"http://[::1]:{private.port}/", f"https://[::1]:{private.port}/", f"http://localhost:{private.port}/"):
        with pytest.raises(aiohttp.ClientError) as asynchronous:
            await fetch(url, Policy())
        with pytest.raises(requests.RequestException) as blocking:
            requests_session(Policy()).get(url)
        assert refusal(asynchronous.value) and refusal(blocking.value), url
    assert private.seen == []


async def test_a_redirect_to_a_private_server_is_not_followed(internet: Server, private: Server) -> None:
    internet.location = f"http://[::1]:{private.port}/secret"
    with pytest.raises(aiohttp.ClientError) as asynchronous:
        await fetch(f"http://127.0.0.1:{internet.port}/")
    with pytest.raises(requests.RequestException) as blocking:
        requests_session(POLICY).get(f"http://127.0.0.1:{internet.port}/")
    assert refusal(asynchronous.value) and refusal(blocking.value)
    assert (len(internet.seen), private.seen) == (2, [])


async def test_a_name_is_called_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch, internet: Server, private: Server
) -> None:
    """First public, then private: whoever asked twice would connect to the second."""
    with names(monkeypatch, ["127.0.0.1"], ["::1"]) as asked:
        assert await fetch(f"http://rebound.example:{internet.port}/") == 200
        assert len(asked) == 1
    with names(monkeypatch, ["127.0.0.1"], ["::1"]) as asked:
        assert requests_session(POLICY).get(f"http://rebound.example:{internet.port}/").status_code == 200
        assert len(asked) == 1
    assert (len(internet.seen), private.seen) == (2, [])


@pytest.mark.parametrize("answer", [["::1"], ["127.0.0.1", "::1"], ["169.254.169.254"], ["::ffff:10.0.0.1"]])
async def test_a_name_of_a_private_server_is_refused(
    monkeypatch: pytest.MonkeyPatch, private: Server, answer: list[str]
) -> None:
    with names(monkeypatch, answer):
        with pytest.raises(aiohttp.ClientError) as asynchronous:
            await fetch(f"http://rebound.example:{private.port}/")
        with pytest.raises(requests.RequestException) as blocking:
            requests_session(POLICY).get(f"http://rebound.example:{private.port}/")
    assert refusal(asynchronous.value) and refusal(blocking.value)
    assert private.seen == []


def test_an_answer_without_end_is_cut(internet: Server) -> None:
    with pytest.raises(requests.RequestException, match="too large"):
        requests_session(POLICY, answer_max_bytes=1).get(f"http://127.0.0.1:{internet.port}/")


async def test_a_tenants_provider_is_guarded_and_an_operators_is_not(private: Server) -> None:
    address = f"http://[::1]:{private.port}/v1"
    with pytest.raises(ProviderMisconfigured, match="OUTBOUND_ALLOW"):
        await upstream_models(ProviderAccess(address, None), "Lab", timeout_seconds=5)
    assert private.seen == []
    with pytest.raises(Exception, match="no list of models"):
        await upstream_models(ProviderAccess(address, None, trusted=True), "Lab", timeout_seconds=5)
    assert private.seen == ["/v1/models"]


def test_a_refusal_is_found_behind_what_a_client_makes_of_it() -> None:
    wrapped = ValueError("outer")
    wrapped.__cause__ = Refused("inner")
    assert str(refusal(wrapped)) == "inner"
    assert refusal(ValueError("nothing")) is None
