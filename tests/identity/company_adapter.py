"""What the company's provider says of its people; faults of a test are put over it."""

from typing import Any

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from django.urls import get_script_prefix

from tests.identity import company


class Adapter(DefaultOIDCAdapter):  # type: ignore[misc]  # allauth ships no types
    def get_issuer(self) -> str:
        return company.FAULTS.get("issuer") or str(self.request.build_absolute_uri(get_script_prefix().rstrip("/")))

    def get_claims(self, purpose: str, user: Any, client: Any, scopes: Any, **_: Any) -> dict[str, Any]:
        claims: dict[str, Any] = {"sub": str(user.pk), "email": user.email, "name": user.first_name}
        directory = get_script_prefix().strip("/").removesuffix("/v2.0")
        if directory.count("-") == 4:
            claims |= {"tid": directory, "oid": f"00000000-0000-4000-8000-{user.pk:012d}"}
        return claims

    def populate_id_token(self, id_token: dict[str, Any], client: Any, scopes: Any, **_: Any) -> None:
        id_token |= company.FAULTS.get("claims", {})
        for name in company.FAULTS.get("without", []):
            id_token.pop(name, None)
