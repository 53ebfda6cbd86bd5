"""docs/safeguards.md says what the code does: its numbers, keys, doors and log events are those of the code."""

import ast
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.accounts import failed_tries
from apps.accounts.contracts import MAX_PASSWORD
from apps.accounts.passwords import PASSWORD_MIN
from apps.billing import snapshots
from apps.conversations import requests, services
from apps.conversations.edge import websocket
from apps.routing import repeating
from apps.tenants import token_families
from apps.tenants.edge import forms, parsers, scim, sign_in_guard, throttle
from chatproject.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/safeguards.md").read_text()
DEFAULTS: dict[str, Any] = {name: field.default for name, field in Environment.model_fields.items()}


def table(heading: str) -> dict[str, list[str]]:
    """The rows of a section's tables by their first cell, without marks of code."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in section.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) > 1 and not row[0].startswith("---")}


def seconds(duration: timedelta) -> str:
    return f"{int(duration.total_seconds())} s"


def test_lifetimes() -> None:
    told = table("Sessions and tokens")
    jwt = settings.SIMPLE_JWT
    assert told["browser session"][:2] == [
        f"{DEFAULTS['session_idle_seconds']} s",
        f"{DEFAULTS['session_max_seconds']} s",
    ]
    assert told["second factor in the administrations"][1] == f"{DEFAULTS['admin_second_factor_seconds']} s"
    assert told["password shown for changing a sign-in"][1] == f"{settings.ACCOUNT_REAUTHENTICATION_TIMEOUT} s"
    assert told["access token"][1] == seconds(jwt["ACCESS_TOKEN_LIFETIME"])
    assert told["access token"][1] == f"{settings.IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN} s"
    assert told["refresh token, each good for one use"][0] == seconds(jwt["REFRESH_TOKEN_LIFETIME"])
    assert told["refresh token, each good for one use"][0] == f"{settings.IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN} s"
    assert told["refresh token, each good for one use"][1] == seconds(token_families.LONGEST)
    assert told["mailed link for a new password"][1] == f"{settings.PASSWORD_RESET_TIMEOUT} s"


def test_throttles_and_passwords() -> None:
    told = table("Signing in")
    assert told["sign in"] == [throttle.SIGN_IN.per_address, throttle.SIGN_IN.per_email]
    assert told["sign up"] == [throttle.SIGN_UP.per_address, throttle.SIGN_UP.per_email]
    free, first, longest = failed_tries.FREE, failed_tries.FIRST_WAIT_SECONDS, failed_tries.MAX_WAIT_SECONDS
    assert f"{free} are free, then each failure waits, from {first} up to {longest} seconds" in PAGE
    assert f"after {sign_in_guard.STEP_UP} a puzzle" in PAGE
    assert f"has {sign_in_guard.DEVICE_TRIES} tries of its own" in PAGE
    rates = [told[name][0].replace(", ", ",") for name in told if name.startswith(("codes of", "mails for"))]
    assert rates == [settings.ACCOUNT_RATE_LIMITS[name] for name in ("login_failed", "reset_password")]
    assert f"At least {PASSWORD_MIN} characters, at most {MAX_PASSWORD}, of any kind" in PAGE


def test_limits() -> None:
    told = {name: re.match(r"\d+", cells[0]) for name, cells in table("Limits").items()}
    numbers = {name: int(found[0]) for name, found in told.items() if found}
    assert numbers == {
        "requests per minute and tenant": snapshots.DEFAULT_REQUESTS_PER_MINUTE,
        "calls at once per tenant": snapshots.DEFAULT_PARALLEL_CALLS,
        "lanes per question": requests.MAX_LANES,
        "length of one answer": DEFAULTS["answer_max_bytes"],
        "time of one answer": int(DEFAULTS["generation_deadline_seconds"]),
        "attempts per answer": repeating.MAX_ATTEMPTS,
        "streams followed on one socket": websocket.MAX_STREAMS,
        "sockets per process": DEFAULTS["websockets_per_process"],
        "event streams per process": DEFAULTS["event_streams_per_process"],
        "calls of the gateway per process": DEFAULTS["gateway_calls_per_process"],
        "idempotency keys of a tenant at the gateway": DEFAULTS["idempotency_tenant_max_keys"],
        "database statement": 15,
    }
    assert "statement_timeout=15000" in settings.DATABASES["default"]["OPTIONS"]["options"]


def test_input() -> None:
    told = {name: " ".join(cells) for name, cells in table("What is taken from outside").items()}
    for name, numbers in {
        "body": (parsers.MAX_BYTES, scim.MAX_BYTES),
        "JSON": (parsers.MAX_DEPTH, parsers.MAX_VALUES),
        "title of a chat": (1, services.MAX_TITLE),
        "models of a question": (1, requests.MAX_LANES),
        "time of an expiry": (forms.MAX_DAYS,),
    }.items():
        assert tuple(int(number) for number in re.findall(r"(?<!-)\b\d+\b", told[name])) == numbers, name


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", PAGE))
    assert named - {name.upper() for name in Environment.model_fields} == set()
    secret = {"vault_keys", "jwt_keys", "oauth_signing_keys", "api_key_pepper", "secret_key", "audit_signing_key"}
    assert {name.upper() for name in secret} <= table("Keys").keys()
    kinds = {name for name, field in Environment.model_fields.items() if "SecretStr" in str(field.annotation)}
    others = {"openai_api_key", "anthropic_api_key", "email_url", "captcha_secret"}
    assert kinds - secret == others, "keys of others, used with them alone"


def imports() -> frozenset[tuple[str, str]]:
    """(file, module) of everything that the product imports."""
    return parsed()[0]


@cache
def parsed() -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    """(file, module) of all imports, and (file, name) of all calls: `name(` of a function, `.name(` of a method and
    `name=` of an argument. Parsing everything takes seconds, so it is done once."""
    modules: set[tuple[str, str]] = set()
    calls: set[tuple[str, str]] = set()
    for folder in ("apps", "chatproject", "onebox", "deploy"):
        for path in (ROOT / folder).rglob("*.py"):
            file = str(path.relative_to(ROOT))
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Import(names):
                        modules.update((file, alias.name) for alias in names)
                    case ast.ImportFrom(str(module), names):
                        modules.update((file, f"{module}.{alias.name}") for alias in names)
                    case ast.Call(ast.Name(name)):
                        calls.add((file, f"{name}("))
                    case ast.Call(ast.Attribute(_, name)):
                        calls.add((file, f".{name}("))
                    case ast.keyword(str(name)):
                        calls.add((file, f"{name}="))
    return frozenset(modules), frozenset(calls)


# Where cryptography is made use of, and what for; whoever adds a place adds it here and to the page.
CRYPTOGRAPHY = {
    "apps/vault/sealing.py",  # AES-GCM
    "apps/vault/digests.py",  # HMAC
    "apps/tenants/audit_heads.py",  # Ed25519, HKDF
    "apps/tenants/oauth_keys.py",  # RSA
    "apps/tenants/signing_keys.py",  # HMAC
    "apps/tenants/edge/tokens.py",  # JWT
    "apps/accounts/oidc_client.py",  # JWT of companies
    "onebox/credentials.py",  # makes keys
    "chatproject/management/commands/seed_demo.py",  # passwords of the demonstration
}


def test_cryptography_is_where_the_inventory_says() -> None:
    used = {path for path, module in imports() if module.split(".")[0] in {"cryptography", "jwt", "hmac"}}
    assert used == CRYPTOGRAPHY
    weak = re.compile(r"hashlib\.(md5|sha1|new)|\bECB\b|\bMD5\b|\b3?DES\b|ARC4|PKCS1v15|\bCBC\b|SHA1\b")
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("apps", "chatproject", "onebox", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if weak.search(line) and "usedforsecurity=False" not in line
    }
    assert found == set()


def test_nothing_that_runs_text_or_opens_objects_is_used() -> None:
    """No shell, no eval, no pickle, no XML, no LDAP: what would need care is not there.

    YAML is read in one place, as plain data, from files that operators load by command.
    """
    absent = {
        "pickle",
        "marshal",
        "shelve",
        "dill",
        "yaml",
        "xml",
        "lxml",
        "ldap",
        "ldap3",
        "jinja2",
        "mako",
        "graphene",
    }
    absent |= {"pymemcache", "pylibmc", "memcache", "telnetlib", "ftplib"}
    used = {(path, module) for path, module in imports() if module.split(".")[0] in absent}
    # XML is made there, for formulas, and read nowhere.
    making = {"Element", "tostring"}
    yaml_reader = "apps/routing/catalogue_sections.py"
    assert {(path, module) for path, module in used if path != yaml_reader} == {
        ("apps/markdown/mathml.py", f"xml.etree.ElementTree.{name}") for name in making
    }
    assert set(re.findall(r"yaml\.\w*(?:load|Loader)\w*", (ROOT / yaml_reader).read_text())) == {"yaml.SafeLoader"}
    serving = {path for path, module in imports() if module.split(".")[0] in {"subprocess", "pty", "commands"}}
    assert not {path for path in serving if path.startswith("apps/")}, "doors and workers start no programs"
    risky = {"eval(", "exec(", "compile(", "__import__(", "mark_safe(", "SafeString(", "shell="}
    risky |= {".system(", ".popen(", ".from_string("}
    called = {
        (path, name) for path, name in parsed()[1] if name in risky and path.startswith(("apps/", "chatproject/"))
    }
    assert called == MARKED_SAFE


# HTML that `apps/markdown` made by its allow-list.
MARKED_SAFE = {("apps/conversations/edge/answer_views.py", "mark_safe(")}


def test_randomness_that_must_not_be_guessed_is_the_systems() -> None:
    """`random` draws delays, ports, samples and which of equal deployments is called, and nothing else."""
    guessable = {path for path, module in imports() if module.split(".")[0] == "random"}
    assert guessable == {"apps/routing/chance.py", "onebox/network.py"}


@pytest.mark.parametrize("event", re.findall(r"`(\w+\.\w+)`", PAGE.split("## Logs", 1)[1].split("\n## ", 1)[0]))
def test_log_events_that_are_named_are_written(event: str) -> None:
    assert f'"{event}"' in written()


@cache
def written() -> str:
    return "".join(path.read_text() for path in (ROOT / "apps").rglob("*.py"))


def test_every_way_to_sign_in_is_listed() -> None:
    from django.urls import resolve

    listed = {way for row in table("Signing in") for way in re.findall(r"/[a-z0-9/<>-]+/", row)}
    assert {"/login/", "/api/v1/accounts/token/", "/admin/login/", "/manage/", "/account/password/reset/"} <= listed
    for way in listed:
        assert resolve(way.replace("<name>", "northwind"))


def test_packages_are_locked_with_hashes_and_reasons() -> None:
    locked = re.split(r"\n(?=[A-Za-z0-9_.-]+(?:\[[^\]]*\])?==)", (ROOT / "requirements.txt").read_text())[0:]
    pinned = [one for one in locked if re.match(r"[A-Za-z0-9_.-]+(?:\[[^\]]*\])?==", one)]
    assert len(pinned) > 60
    assert [one.split("\n")[0] for one in pinned if "--hash=sha256:" not in one] == []
    wanted = [line for line in (ROOT / "requirements.in").read_text().splitlines() if re.match(r"[a-z]", line)]
    assert [line for line in wanted if "#" not in line] == []
    assert not re.search(
        r"^(--(extra-)?index-url|-i|git\+|.* @ https?:)", (ROOT / "requirements.txt").read_text(), re.M
    )


def test_logs_go_to_standard_error_alone() -> None:
    from apps.observability import lines, logging

    document = logging.settings(level="INFO", format="json")
    assert {handler["()"] for handler in document["handlers"].values()} == {logging.StderrHandler, lines.LineHandler}
    assert document["root"]["handlers"] == ["stderr"]
    named = [handler for logger in document["loggers"].values() for handler in logger.get("handlers", ())]
    assert set(named) <= set(document["handlers"])
    assert {path for path, module in imports() if module.startswith("logging.handlers")} == set()
