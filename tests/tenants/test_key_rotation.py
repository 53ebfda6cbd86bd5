"""`manage.py rotate_keys`: everything sealed is sealed anew, however often it is interrupted."""

import base64
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections
from pydantic import SecretStr

from apps.routing import provider_keys, services
from apps.routing.models import Provider
from apps.tenants import key_rotation, provider_secrets
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, IdentityProvider
from apps.vault import SealedColumn, Vault, sealed_columns

PROVIDERS = 5
TOTP = SealedColumn("mfa.Authenticator", "data", lambda key: ("test", key), names=("secret", "seed"))


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


OLD, NEW, WRONG = f"old:{key('o')}", f"new:{key('n')}", f"old:{key('x')}"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Changes VAULT_KEYS, as a restart with another setting would."""

    def forget() -> None:
        provider_keys._vault.cache_clear()
        provider_secrets._vault.cache_clear()

    def use(text: str) -> None:
        monkeypatch.setattr(settings.ENV, "vault_keys", SecretStr(text))
        forget()

    yield use
    monkeypatch.undo()
    forget()


@pytest.fixture
def sealed(alice: Principal, keys: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Principal:
    """Alice, whose tenant has five providers with keys, one without, a company sign-in and a second factor, all under
    the old key. Nobody else's rows are looked at: they are under the test run's own key.
    """
    keys(OLD)
    for number in range(PROVIDERS):
        url = f"http://h{number}:1/v1"
        services.add_provider(name=f"P{number}", base_url=url, key=f"sk-{number}", tenant_id=alice.tenant_id)
    services.add_provider(name="Open", base_url="http://open:1/v1", tenant_id=alice.tenant_id)
    company = IdentityProvider(tenant_id=alice.tenant_id, slug=f"c-{alice.tenant_id}", name="C", issuer="https://c")
    company.sealed_secret = provider_secrets.seal(company.id, "company secret")
    company.save(using="engine", force_insert=True)
    factor = Authenticator.objects.create(user_id=alice.user_id, type="totp", data={})
    factor.data = {"secret": Vault(OLD).seal("totp", context=("test", str(factor.pk))), "name": "phone"}
    factor.save()
    columns = [one for one in sealed_columns() if "tenant" in {f.name for f in apps.get_model(one.model)._meta.fields}]
    monkeypatch.setattr(key_rotation, "sealed_columns", lambda: (*columns, TOTP))
    rows_of = key_rotation._rows

    def alices(column: SealedColumn) -> Any:
        hers = {"user_id": alice.user_id} if column is TOTP else {"tenant_id": alice.tenant_id}
        return rows_of(column).filter(**hers)

    monkeypatch.setattr(key_rotation, "_rows", alices)
    return alice


def rotate(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rotate_keys", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def refused(*arguments: str) -> str:
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("rotate_keys", *arguments, stdout=out, no_color=True)
    return out.getvalue() + str(caught.value)


def stored(principal: Principal) -> dict[str, str]:
    """Sealed keys by the provider's slug."""
    rows = Provider.objects.using("engine").filter(tenant_id=principal.tenant_id).exclude(sealed_key="")
    return dict(rows.order_by("slug").values_list("slug", "sealed_key"))


def opened(principal: Principal) -> list[str | None]:
    rows = Provider.objects.using("engine").filter(tenant_id=principal.tenant_id).order_by("slug")
    return [provider_keys.open_key(row.id, row.sealed_key) for row in rows]


def test_afterwards_the_old_key_may_go(sealed: Principal, keys: Callable[[str], None]) -> None:
    keys(f"{NEW},{OLD}")
    assert "5 under old" in refused("--dry-run")
    assert all(token.startswith("v1:old:") for token in stored(sealed).values()), "a dry run changes nothing"
    told = rotate()
    assert "7 texts sealed anew under new." in told
    assert "Everything is under new; other keys may be removed." in told
    keys(NEW)
    assert opened(sealed) == [None, *(f"sk-{number}" for number in range(PROVIDERS))]
    company = IdentityProvider.objects.using("engine").get(tenant_id=sealed.tenant_id)
    assert provider_secrets.open_secret(company.id, company.sealed_secret) == "company secret"
    factor = Authenticator.objects.using("engine").get(user_id=sealed.user_id)
    assert Vault(NEW).open(factor.data["secret"], context=("test", str(factor.pk))) == "totp"
    assert factor.data["name"] == "phone"
    before = stored(sealed)
    assert "0 texts sealed anew" in rotate()
    assert stored(sealed) == before, "again changes nothing"
    entry = AuditEntry.objects.using("engine").filter(tenant_id=None, action="vault_keys.rotated").latest("seq")
    assert entry.data == {"current": "new", "left_under": {}, "sealed_anew": 0, "unopened": 0}


def test_an_interruption_leaves_whole_batches_and_the_next_run_does_the_rest(
    sealed: Principal, keys: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys(f"{NEW},{OLD}")
    monkeypatch.setattr(key_rotation, "BATCH", 2)
    seal, calls = Vault.seal, []

    def dies(self: Vault, plaintext: str, *, context: tuple[str, ...]) -> str:
        calls.append(context)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return seal(self, plaintext, context=context)

    monkeypatch.setattr(Vault, "seal", dies)
    with pytest.raises(KeyboardInterrupt):
        rotate()
    monkeypatch.setattr(Vault, "seal", seal)
    under = [token.split(":")[1] for token in stored(sealed).values()]
    assert 0 < under.count("new") < PROVIDERS
    assert opened(sealed) == [None, *(f"sk-{number}" for number in range(PROVIDERS))], "readable at every moment"
    assert f"{7 - under.count('new')} texts sealed anew" in rotate()


@pytest.mark.parametrize(("given", "reason"), [(NEW, "which is not in the list"), (f"{NEW},{WRONG}", "does not open")])
def test_a_missing_or_wrong_key_ends_in_a_refusal(
    sealed: Principal, keys: Callable[[str], None], given: str, reason: str
) -> None:
    before = stored(sealed)
    keys(given)
    told = refused()
    assert reason in told
    assert "7 under old, 7 cannot be opened" in told
    assert stored(sealed) == before, "what cannot be opened is left as it is"


def test_a_row_that_was_tampered_with_is_named_and_the_others_are_done(
    sealed: Principal, keys: Callable[[str], None]
) -> None:
    rows = Provider.objects.using("engine").filter(tenant_id=sealed.tenant_id)
    foreign = stored(sealed)["p1"]
    rows.filter(slug="p0").update(sealed_key=foreign)
    keys(f"{NEW},{OLD}")
    told = refused()
    assert f"routing.Provider.sealed_key of {rows.get(slug='p0').id}: it does not open" in told
    assert "6 texts sealed anew" in told
    assert {token.split(":")[1] for slug, token in stored(sealed).items() if slug != "p0"} == {"new"}


def test_a_key_given_meanwhile_is_kept(
    sealed: Principal, keys: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, still sealing with the old key, changes a row between the reading and the writing."""
    keys(f"{NEW},{OLD}")
    row = Provider.objects.using("engine").get(tenant_id=sealed.tenant_id, slug="p2")
    seal, raced = Vault.seal, []

    def another_process() -> None:
        fresh = seal(Vault(OLD), "sk-fresh", context=("routing_provider", str(row.id), "key"))
        Provider.objects.using("engine").filter(id=row.id).update(sealed_key=fresh)
        connections["engine"].close()

    def interrupted(self: Vault, plaintext: str, *, context: tuple[str, ...]) -> str:
        if str(row.id) in context and not raced:
            raced.append(True)
            thread = threading.Thread(target=another_process)
            thread.start()
            thread.join(5)
        return seal(self, plaintext, context=context)

    monkeypatch.setattr(Vault, "seal", interrupted)
    assert "Everything is under new" in rotate()
    assert raced
    assert opened(sealed)[3] == "sk-fresh"


def test_a_companys_secret_stays_at_its_issuer(sealed: Principal, keys: Callable[[str], None]) -> None:
    rows = IdentityProvider.objects.using("engine").filter(tenant_id=sealed.tenant_id)
    with pytest.raises(IntegrityError, match="needs the client's secret again"):
        rows.update(issuer="https://evil.example")
    fresh = provider_secrets.seal(rows.get().id, "company secret")
    assert rows.update(issuer="https://new.example", sealed_secret=fresh) == 1


def test_no_sealed_column_is_forgotten() -> None:
    assert key_rotation.unregistered() == []
    assert {str(column) for column in sealed_columns()} >= {
        "routing.Provider.sealed_key",
        "tenants.IdentityProvider.sealed_secret",
    }
    for column in sealed_columns():
        apps.get_model(column.model)._meta.get_field(column.field)


def test_second_factors_are_sealed_anew_where_they_are_sealed() -> None:
    sealing = type(get_adapter()).encrypt is not DefaultMFAAdapter.encrypt
    assert ("mfa.Authenticator.data (secret, seed)" in {str(column) for column in sealed_columns()}) == sealing


def test_a_column_that_nobody_registered_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "sealed_columns", lambda: ())
    assert "routing.Provider.sealed_key, tenants.IdentityProvider.sealed_secret" in refused()


def test_a_new_key_can_be_put_into_the_list() -> None:
    text = rotate("--generate").strip()
    assert Vault(f"{text},{OLD}").current == text.partition(":")[0]


def test_a_broken_list_is_told_without_its_keys(keys: Callable[[str], None]) -> None:
    keys(f"new:{key('n')[:-8]}")
    told = refused()
    assert "VAULT_KEYS: key new" in told
    assert key("n")[:20] not in told
