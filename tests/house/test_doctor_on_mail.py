"""What `manage.py doctor` says about mail."""

import socket
import socketserver
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from django.test.utils import override_settings

from chatproject.management.commands import doctor

(CHECK,) = (one for one in doctor.CHECKS if one.name == "mail")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mail_at(port: int, **more: Any) -> override_settings:
    given = {
        "MAIL_IS_CONFIGURED": True,
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": "",
        "EMAIL_HOST_PASSWORD": "",
        "EMAIL_USE_TLS": False,
        "EMAIL_USE_SSL": False,
        **more,
    }
    return override_settings(**given)


@pytest.fixture
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """Takes whoever says hello, and no password. Its port, and what was said to it."""
    said: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail.example.org\r\n")
            for line in self.rfile:
                word = line.decode().split()[0].upper()
                said.append(word)
                answers = {"EHLO": b"250-mail.example.org\r\n250 AUTH PLAIN\r\n", "QUIT": b"221 bye\r\n"}
                self.wfile.write(answers.get(word, b"535 5.7.8 wrong name or password\r\n"))

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], said
    server.shutdown()
    server.server_close()


def test_without_a_mail_server_it_says_what_is_missed() -> None:
    with override_settings(MAIL_IS_CONFIGURED=False):
        assert "nobody can reset a password" in CHECK.look() and "EMAIL_URL" in CHECK.look()


def test_a_server_that_answers_is_well_and_gets_no_mail(mail_server: tuple[int, list[str]]) -> None:
    port, said = mail_server
    with mail_at(port, DEFAULT_FROM_EMAIL="switchboard@example.org"):
        assert CHECK.look() == f"127.0.0.1:{port} answers, unencrypted; mail comes from switchboard@example.org"
    assert "MAIL" not in said and "DATA" not in said


@pytest.mark.parametrize("away", [True, False])
def test_one_that_is_away_or_takes_no_password_is_named(mail_server: tuple[int, list[str]], away: bool) -> None:
    port = closed_port() if away else mail_server[0]
    reason = "refused" if away else "wrong name or password"
    with (
        mail_at(port, EMAIL_HOST_USER="us", EMAIL_HOST_PASSWORD="not-to-be-shown"),
        pytest.raises(RuntimeError, match=f"127.0.0.1:{port} does not take our mail: .*{reason}") as told,
    ):
        CHECK.look()
    assert "not-to-be-shown" not in str(told.value)
    assert "EMAIL_URL" in CHECK.mend


def test_a_server_without_encryption_is_not_talked_to_where_it_is_demanded(
    mail_server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_at(mail_server[0], EMAIL_USE_TLS=True), pytest.raises(RuntimeError, match="STARTTLS"):
        CHECK.look()
