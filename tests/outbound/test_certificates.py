"""Whoever cannot show a certificate that is trusted is told nothing, whichever client calls."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.outbound import Policy, client_session, refusal, requests_session
from apps.routing.providers.sessions import _trusting

POLICY = Policy.parse("127.0.0.1/32")


def self_signed(folder: Path) -> Path:
    """Key and certificate in one file, for 127.0.0.1, in order but for who signed it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(*kinds) + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path


class Impostor:
    """Speaks TLS under its own certificate and keeps what it was told."""

    def __init__(self, certificate: Path) -> None:
        self.told: list[bytes] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._context = context
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(connection, server_side=True) as spoken:
                    self.told.append(spoken.recv(4096))
                    spoken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            except OSError:
                connection.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Impostor]:
    server = Impostor(self_signed(tmp_path))
    yield server
    server.close()


async def test_a_server_with_a_certificate_of_its_own_making_is_told_nothing(
    impostor: Impostor, tmp_path: Path
) -> None:
    headers = {"Authorization": "Bearer sk-very-secret"}
    for session in (client_session(POLICY), _trusting()):
        async with session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(impostor.url, headers=headers)
    with pytest.raises(requests.exceptions.SSLError) as refused:
        requests_session(POLICY).get(impostor.url, headers=headers)
    assert refusal(refused.value) is None, "refused for its certificate and not for its address"
    assert impostor.told == []
    # The same server is believed by whoever trusts its certificate: nothing else was wrong with it.
    trusting = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
    async with aiohttp.ClientSession() as session, session.get(impostor.url, ssl=trusting) as answer:
        assert answer.status == 200


def test_old_versions_of_tls_are_not_offered() -> None:
    from aiohttp import connector
    from urllib3.util.ssl_ import create_urllib3_context

    for context in (connector._SSL_CONTEXT_VERIFIED, create_urllib3_context()):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
