"""The environment, read once and checked: every setting a person may change, with its type and default.

`.env.example` explains each of them in prose; a test holds the two lists together.
"""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, PostgresDsn, RedisDsn, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from apps.outbound import Policy
from apps.tenants.oauth_keys import read_keys
from apps.vault.errors import BadKeys
from apps.vault.key_list import read_key_list

ROOT = Path(__file__).resolve().parent.parent


class Environment(BaseSettings):
    """Typed view of the process's environment. Missing secrets or addresses stop the start with a clear error."""

    model_config = SettingsConfigDict(
        env_file=None,
        env_ignore_empty=True,  # a line of .env.example that was left empty
        extra="ignore",
        hide_input_in_errors=True,
    )

    secret_key: SecretStr
    vault_keys: SecretStr
    api_key_pepper: SecretStr
    jwt_keys: SecretStr | None = None

    database_url: PostgresDsn
    database_engine_url: PostgresDsn
    database_owner_url: PostgresDsn | None = None
    db_name: str | None = Field(None, description="replaces the database name in the three addresses")
    db_pool_size: int = Field(12, ge=1, le=200)

    redis_url: RedisDsn
    redis_cache_url: RedisDsn
    redis_prefix: str = ""

    debug: bool = False
    allowed_hosts: str = "localhost,127.0.0.1,[::1]"
    base_url: str = "http://127.0.0.1:8000"
    data_dir: Path = ROOT / "var"
    demo: bool = False
    simulator_url: str = "http://127.0.0.1:9100"
    openai_api_key: SecretStr | None = None
    anthropic_api_key: SecretStr | None = None
    ollama_host: str | None = None

    email_url: SecretStr | None = None
    email_from: str = "Switchboard <switchboard@localhost>"

    captcha_verify_url: str = ""
    captcha_script_url: str = ""
    captcha_class: Literal["cf-turnstile", "h-captcha"] = "cf-turnstile"
    captcha_site_key: str = ""
    captcha_secret: SecretStr | None = None

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    worker_slots: int = Field(500, ge=1, le=10_000)
    worker_threads: int = Field(8, ge=2, le=64)
    worker_queue: Literal["default", "litellm"] = "default"
    drain_seconds: float = Field(25.0, ge=0)
    generation_deadline_seconds: float = Field(600.0, gt=0)
    connect_timeout_seconds: float = Field(10.0, gt=0)
    first_token_timeout_seconds: float = Field(60.0, gt=0)
    gap_timeout_seconds: float = Field(45.0, gt=0)
    breaker_failures: int = Field(5, ge=1)
    breaker_open_seconds: float = Field(2.0, gt=0)
    breaker_open_max_seconds: float = Field(16.0, gt=0)
    answer_max_bytes: int = Field(1_000_000, ge=1_000)
    idempotency_keep_seconds: int = Field(86_400, ge=86_400, le=30 * 86_400)
    idempotency_answer_max_bytes: int = Field(8 * 1024 * 1024, ge=1_000)
    idempotency_tenant_max_bytes: int = Field(64 * 1024 * 1024, ge=1_000)
    idempotency_tenant_max_keys: int = Field(100_000, ge=1)
    request_body_seconds: float = Field(30.0, gt=0)
    gateway_compression: bool = True
    gateway_litellm: bool = False
    gateway_calls_per_process: int = Field(1000, ge=1)
    gateway_late_seconds: float = Field(0.5, gt=0)
    outbound_allow: str = ""
    entra_authorities: str = (
        "https://login.microsoftonline.com,https://login.microsoftonline.us,https://login.partner.microsoftonline.cn"
    )
    oauth_signing_keys: SecretStr | None = None
    websockets_per_process: int = Field(1000, ge=1)
    event_streams_per_process: int = Field(2000, ge=1)
    trusted_proxies: str = ""
    audit_heads_dir: Path | None = None
    audit_heads_months: int = Field(24, ge=1, le=1200)
    audit_signing_key: SecretStr | None = None
    audit_public_keys: str = ""
    admin_second_factor: bool = True
    admin_second_factor_seconds: int = Field(7200, ge=60)
    session_idle_seconds: int = Field(72 * 3600, ge=300)
    session_max_seconds: int = Field(14 * 86_400, ge=300)
    hsts_subdomains: bool = True
    secure_cookies: bool | None = Field(None, validation_alias=AliasChoices("secure_cookies", "SECURE_COOKIES"))

    @field_validator("secure_cookies", mode="before")
    @classmethod
    def _may_be_empty(cls, given: object) -> object:
        return None if given == "" else given

    @field_validator("outbound_allow")
    @classmethod
    def _are_places(cls, places: str) -> str:
        Policy.parse(places)
        return places

    @field_validator("oauth_signing_keys")
    @classmethod
    def _are_signing_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is None or not keys.get_secret_value():
            return None
        read_keys(keys.get_secret_value())
        return keys

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: str) -> str:
        for text in filter(None, networks.split(",")):
            ip_network(text.strip(), strict=False)
        return networks

    @field_validator("audit_public_keys")
    @classmethod
    def _are_public_keys(cls, keys: str) -> str:
        for text in filter(None, keys.split(",")):
            if not re.fullmatch(r"[0-9a-f]{64}", text.strip()):
                raise ValueError("a public key is 64 hexadecimal digits")
        return keys

    @field_validator("jwt_keys")
    @classmethod
    def _are_readable(cls, keys: SecretStr | None) -> SecretStr | None:
        """Tokens are verified on every request, so a list that cannot be read stops the start."""
        if keys is None or not keys.get_secret_value():
            return None
        try:
            read_key_list(keys.get_secret_value())
        except BadKeys as error:
            raise ValueError(str(error)) from None
        return keys

    def oauth_signing_pems(self) -> list[str]:
        """The keys that sign ID tokens, as PEM; none where no program may ask people to sign in."""
        return read_keys(self.oauth_signing_keys.get_secret_value()) if self.oauth_signing_keys else []


def load() -> Environment:
    """Read the environment; raises `pydantic.ValidationError` naming every missing or malformed setting."""
    return Environment()  # type: ignore[call-arg]
