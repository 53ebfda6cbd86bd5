import asyncio
import hashlib
import hmac
import json
from argparse import ArgumentParser
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from apps.accounts import selectors as accounts_selectors
from apps.accounts import services as accounts
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants import selectors as tenants_selectors
from apps.tenants import services as tenants
from chatproject.environment import load

MEMBER = "demo@example.com"
OTHER_MEMBER = "other@example.com"
OPERATOR = "admin@example.com"
# The simulator takes any key; it only insists on one, as providers do.
SIMULATOR_KEY = "simulated"
# Every model of the simulator speaks every wire format; this one shows that they are alike.
OVER_ANTHROPIC = frozenset({"demo-lark"})
PROFILES = Path(__file__).resolve().parents[3] / "deploy" / "demo.yaml"
NANOUSD_PER_USD = 1_000_000_000


class Command(BaseCommand):
    """Two tenants, an operator and simulated models. Run again, it changes nothing but the keys."""

    help = "Write demonstration data and say in a JSON file how to sign in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", type=Path, required=True, help="where to write addresses, logins and keys")

    def handle(self, *args: Any, **options: Any) -> None:
        environment = load()
        self._offer_simulated(environment.simulator_url)
        left_out = self._offer_found(environment)
        member = _person("Mira Okafor", MEMBER, "Northwind Studio")
        other = _person("Jonas Lind", OTHER_MEMBER, "Harbour Lab")
        if accounts_selectors.id_by_email(OPERATOR) is None:
            accounts.create_operator(OPERATOR, "Installation operator", _password(OPERATOR))
        facts = {
            "url": settings.BASE_URL,
            "email": MEMBER,
            "password": _password(MEMBER),
            "admin_email": OPERATOR,
            "admin_password": _password(OPERATOR),
            "api_key": _key(member),
            "other_email": OTHER_MEMBER,
            "other_password": _password(OTHER_MEMBER),
            "other_tenant_api_key": _key(other),
            "simulator_url": environment.simulator_url,
            "left_out": left_out,
        }
        target: Path = options["json"]
        target.touch(mode=0o600)
        target.write_text(json.dumps(facts, indent=2) + "\n")
        self.stdout.write(f"Wrote {target}.")

    def _offer_simulated(self, simulator_url: str) -> None:
        providers = {
            adapter: routing.add_provider(
                name=name,
                base_url=f"{simulator_url.rstrip('/')}/v1",
                key=SIMULATOR_KEY,
                simulated=True,
                adapter=adapter,
            )
            for adapter, name in (("openai_compatible", "Simulator"), ("anthropic", "Simulator of Anthropic"))
        }
        for position, card in enumerate(asyncio.run(_cards(simulator_url)), start=1):
            facts = card["switchboard"]
            if facts["kind"] not in ("chat", "moderation") or not card["id"].startswith("demo-"):
                continue
            routing.register_model(
                provider_id=providers["anthropic" if card["id"] in OVER_ANTHROPIC else "openai_compatible"],
                upstream_model=card["id"],
                price=NewPrice(
                    input_nanousd_per_mtok=_nanousd(facts["input_usd_per_mtok"]),
                    output_nanousd_per_mtok=_nanousd(facts["output_usd_per_mtok"]),
                ),
                name=facts["name"],
                description=facts["description"],
                context_tokens=facts["context_tokens"],
                max_output_tokens=facts["max_output_tokens"],
                reasoning=facts["reasoning"],
                position=position,
            )
        call_command("load_catalogue", str(PROFILES), stdout=StringIO())

    def _offer_found(self, environment: Any) -> list[str]:
        """Offer the real models that the environment promises; what was left out, as sentences.

        One that does not answer stops neither the demonstration nor the next one.
        """
        found: list[list[str]] = []
        if environment.openai_api_key is not None:
            found.append(["OpenAI", "--kind", "openai", "--key-env", "OPENAI_API_KEY"])
        if environment.anthropic_api_key is not None:
            found.append(["Anthropic", "--kind", "anthropic", "--key-env", "ANTHROPIC_API_KEY"])
        if environment.ollama_host:
            found.append(["Ollama", "--kind", "ollama", "--base-url", _address(environment.ollama_host), "--free"])
        left_out = []
        for arguments in found:
            try:
                call_command("add_provider", *arguments, "--discover")
            except CommandError as error:
                self.stderr.write(f"{arguments[0]} was left out: {error}")
                left_out.append(f"{arguments[0]}: {error}")
        return left_out


async def _cards(simulator_url: str) -> list[dict[str, Any]]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.get(
            f"{simulator_url.rstrip('/')}/v1/models", headers={"Authorization": f"Bearer {SIMULATOR_KEY}"}
        ) as response,
    ):
        response.raise_for_status()
        body: dict[str, Any] = await response.json()
        return list(body["data"])


def _person(name: str, email: str, tenant_name: str) -> tuple[UUID, UUID]:
    """The person's id and tenant, made on the first run."""
    user_id = accounts_selectors.id_by_email(email)
    if user_id is None:
        tenant = tenants.sign_up(name, email, _password(email), tenant_name)
        return tenant.owner_id, tenant.id
    return user_id, tenants_selectors.memberships_of(user_id)[0].tenant_id


def _key(person: tuple[UUID, UUID]) -> str:
    principal = tenants_selectors.principal_for(*person)
    if principal is None:
        raise CommandError("The demonstration's own member cannot sign in; was the account switched off?")
    for key in tenants_selectors.api_keys(principal):
        if key.name == "Demo" and key.revoked_at is None:
            tenants.revoke_api_key(principal, key.id)
    return tenants.create_api_key(principal, "Demo").secret


def _password(email: str) -> str:
    """Different in every installation, and the same each time within one."""
    digest = hmac.new(settings.SECRET_KEY.encode(), f"demo:{email}".encode(), hashlib.sha256).hexdigest()
    return f"{digest[:5]}-{digest[5:10]}-{digest[10:15]}"


def _nanousd(usd: float) -> int:
    return int(Decimal(str(usd)) * NANOUSD_PER_USD)


def _address(host: str) -> str:
    return host if "://" in host else f"http://{host}"
