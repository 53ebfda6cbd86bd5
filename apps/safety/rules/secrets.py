"""Secrets: keys by the form their issuers publish, private keys, and values given to names like `password`."""

import base64
import binascii
import json
import re

from apps.safety.checksums import base62_crc32, entropy_bits, kinds_of_characters
from apps.safety.contracts import Category, Rule
from apps.safety.rules.patterns import UNBROKEN_WORD, opening, token

_CHAR = "[A-Za-z0-9_-]"
_END = r"(?![A-Za-z0-9])"


def _checked(match: re.Match[str]) -> int:
    """With a right checksum it is a token; with a wrong one something that was made to look like one."""
    return 98 if base62_crc32(match[0]) else 40


def _signed_token(match: re.Match[str]) -> int | None:
    head = match[0].split(".", 1)[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(header, dict) or "alg" not in header:
        return None
    return 30 if str(header["alg"]).lower() == "none" else 75


_PLACEHOLDER = re.compile(
    r"(?i)[<\[{$%*.•]|x{3}|(?:your|my|the|some|an?)?[_-]?(?:pass(?:word|wd|phrase)?|pwd|secret|token|key"
    r"|api[_-]?key|user(?:name)?|"
    r"changeme|change[_-]me|example|placeholder|redacted|hidden|none|null|nil|true|false|undefined|todo|test"
    r"|dummy|sample)"
    r"(?:[_-]?(?:here|goes|value|string|\d{0,3}))*\Z"
)
# A value that is read from somewhere, a call or a path through an object, is code and no secret.
_CODE = re.compile(
    r"[A-Za-z_$][\w$]*(?:(?:\.|->|::)[A-Za-z_$][\w$]*)+\Z|[\w.$:]*[(\[]|[\w$]+\{|(?:self|this|env|process|os)\b"
)
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_HASH = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})\Z")


def is_placeholder(value: str) -> bool:
    """Whether a value stands for a secret rather than being one."""
    return _PLACEHOLDER.match(value) is not None or len(set(value)) <= 3


def _given_value(match: re.Match[str]) -> int | None:
    """How much a value that is given to a name like `password` looks like a real one."""
    value = match["it"].rstrip(".,;:!?)")
    if len(value) < 6 or is_placeholder(value) or _CODE.match(value):
        return None
    if _UUID.match(value) or _HASH.match(value):
        return 50
    kinds, bits = kinds_of_characters(value), entropy_bits(value)
    if len(value) >= 16 and kinds >= 2 and bits >= 3.3:
        return 85
    if kinds >= 3 and bits >= 2.5:
        return 75
    return 45 if kinds == 2 and re.search(r"\d", value) else None


def _password_of(match: re.Match[str]) -> int | None:
    return None if is_placeholder(match["it"]) else 90


_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "api key",
    "access_key",
    "access-key",
    "accesskey",
    "secret_key",
    "secret-key",
    "secretkey",
    "private_key",
    "auth_token",
    "client_secret",
    "client-secret",
    "credential",
    "passwort",
    "kennwort",
    "contrasena",
    "mot de passe",
)
_SCHEMES = (
    "postgres",
    "mysql",
    "mariadb",
    "mongodb",
    "redis",
    "rediss",
    "amqp",
    "amqps",
    "mssql",
    "sqlserver",
    "oracle",
    "ldap",
    "ldaps",
    "ftp",
    "ftps",
    "sftp",
    "ssh",
    "smtp",
    "smtps",
    "imap",
    "imaps",
    "http",
    "https",
    "clickhouse",
    "kafka",
    "nats",
)


def _either_case(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names as they are written: small, Capital, LOUD. One that begins with another is found by that one."""
    short = [one for one in names if not any(one != other and one.startswith(other) for other in names)]
    return tuple(
        dict.fromkeys(form for name in short for form in (name, name.capitalize(), name.title(), name.upper()))
    )


_ASSIGNED = _either_case(_NAMES)

_NAME = "|".join(sorted(_ASSIGNED, key=len, reverse=True))
_FURTHER = r"(?:[_-]?(?:[Aa]ccess|ACCESS|[Kk]ey|KEY|[Vv]alue|VALUE|\d{1,3})){0,3}+"
_GIVEN = r"[\"'`]?\s{0,3}(?:=>|:=|==?|:|is:?(?=\s))\s{0,3}"
_LEAD = r"[\"'`]?(?:Bearer )?+"
_VALUE = r"[^\s\"'`,;<>]"

SECRET_RULES: tuple[Rule, ...] = (
    token(
        "secret.anthropic_key",
        98,
        "It has the form of an Anthropic API key.",
        ["sk-ant-"],
        rf"(?:api|admin|oat|ort|sid)\d\d-{_CHAR}{{20,150}}+",
    ),
    token(
        "secret.openai_key",
        97,
        "It has the form of an OpenAI API key.",
        ["sk-"],
        rf"(?:(?:proj|svcacct|admin|None)-{_CHAR}{{20,180}}+|[A-Za-z0-9]{{20}}T3BlbkFJ[A-Za-z0-9]{{20}}{_END}"
        rf"|[A-Za-z0-9]{{40,64}}{_END})",
    ),
    token(
        "secret.openrouter_key",
        97,
        "It has the form of an OpenRouter API key.",
        ["sk-or-v1-"],
        rf"[0-9a-f]{{64}}{_END}",
    ),
    token(
        "secret.switchboard_key",
        97,
        "It has the form of an API key of this product.",
        ["sk-sb-"],
        rf"[a-z0-9]{{10}}-{_CHAR}{{20,80}}+",
    ),
    token(
        "secret.model_provider_key",
        93,
        "It has the form of a model provider's API key.",
        ["gsk_", "xai-", "pplx-", "hf_", "r8_", "nvapi-", "fw_", "csk-"],
        rf"{_CHAR}{{32,120}}+",
    ),
    token(
        "secret.aws_access_key",
        85,
        "It has the form of an AWS access key's id.",
        ["AKIA", "ASIA", "ABIA", "ACCA"],
        rf"[A-Z2-7]{{16}}{_END}",
        label="access key",
    ),
    token(
        "secret.github_token",
        98,
        "It has the form of a GitHub token.",
        ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        rf"[A-Za-z0-9]{{36}}{_END}",
        judge=_checked,
    ),
    token(
        "secret.github_fine_grained",
        96,
        "It has the form of a fine-grained GitHub token.",
        ["github_pat_"],
        rf"[A-Za-z0-9]{{22}}_[A-Za-z0-9]{{59}}{_END}",
    ),
    token(
        "secret.npm_token",
        98,
        "It has the form of an npm token.",
        ["npm_"],
        rf"[A-Za-z0-9]{{36}}{_END}",
        judge=_checked,
    ),
    token("secret.pypi_token", 97, "It has the form of a PyPI token.", ["pypi-AgE"], rf"{_CHAR}{{50,180}}+"),
    token(
        "secret.gitlab_token",
        95,
        "It has the form of a GitLab token.",
        ["glpat-", "gldt-", "glrt-", "glptt-"],
        rf"{_CHAR}{{20,60}}+",
    ),
    token(
        "secret.slack_token",
        95,
        "It has the form of a Slack token.",
        ["xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-", "xapp-"],
        r"[A-Za-z0-9-]{10,180}+",
    ),
    token(
        "secret.slack_webhook",
        92,
        "It is the address of a Slack webhook, which lets anybody post there.",
        ["https://hooks.slack.com/"],
        r"(?:services|workflows)/[A-Za-z0-9+/]{20,140}+",
        label="webhook",
    ),
    token(
        "secret.stripe_key",
        97,
        "It has the form of a Stripe key.",
        ["sk_live_", "rk_live_", "sk_test_", "rk_test_"],
        rf"[A-Za-z0-9]{{20,120}}+{_END}",
        judge=lambda match: 60 if "_test_" in match[0] else 97,
    ),
    token("secret.google_key", 88, "It has the form of a Google API key.", ["AIza"], rf"{_CHAR}{{35}}(?!{_CHAR})"),
    token(
        "secret.google_oauth",
        92,
        "It has the form of a Google OAuth secret.",
        ["GOCSPX-"],
        rf"{_CHAR}{{28}}(?!{_CHAR})",
    ),
    token(
        "secret.sendgrid_key",
        97,
        "It has the form of a SendGrid key.",
        ["SG."],
        rf"{_CHAR}{{22}}\.{_CHAR}{{43}}(?!{_CHAR})",
    ),
    token(
        "secret.digitalocean_token",
        96,
        "It has the form of a DigitalOcean token.",
        ["dop_v1_", "doo_v1_", "dor_v1_"],
        rf"[0-9a-f]{{64}}{_END}",
    ),
    token(
        "secret.signed_token",
        75,
        "It is a signed token (JWT), which may let anybody in who has it.",
        ["eyJ"],
        rf"{_CHAR}{{7,600}}+\.eyJ{_CHAR}{{3,3000}}+\.{_CHAR}{{0,1000}}+",
        judge=_signed_token,
        label="token",
        bound=4700,
    ),
    Rule(
        "secret.private_key",
        Category.SECRET,
        99,
        "private key",
        "It is a private key.",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[A-Za-z0-9+/=\s\\:,-]{0,5000}?-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"|[A-Za-z0-9+/=\s\\]{0,5000}+)"
        ),
        opening("-----BEGIN ", behind=""),
        re.compile(r"[A-Za-z0-9+/=\s\\:,-]*+"),
        bound=5200,
        needs=("-----BEGIN ",),
    ),
    Rule(
        "secret.connection_string",
        Category.SECRET,
        90,
        "password",
        "It is an address with a password in it.",
        re.compile(
            rf"(?<![A-Za-z0-9+])(?:{'|'.join(sorted(_SCHEMES, key=len, reverse=True))})(?:\+[a-z0-9]{{1,16}})?://"
            r"[^\s:@/]{0,64}+:(?P<it>[^\s@/]{3,100}+)@[\w\[]"
        ),
        opening(*_SCHEMES, behind=r"(?<![A-Za-z0-9+])"),
        UNBROKEN_WORD,
        bound=230,
        judge=_password_of,
        needs=("://",),
    ),
    Rule(
        "secret.given_value",
        Category.SECRET,
        85,
        "password",
        "A value that looks real is given to a name like “password”.",
        re.compile(rf"(?:{_NAME}){_FURTHER}{_GIVEN}{_LEAD}(?P<it>{_VALUE}{{6,128}}+)"),
        re.compile(
            rf"{opening(*_ASSIGNED, behind='').pattern}(?:[A-Za-z0-9_-]{{0,30}}+\Z"
            rf"|{_FURTHER}[\"'`]?\s{{0,3}}(?:[:=]?=?|i|is)\Z"
            rf"|{_FURTHER}{_GIVEN}{_LEAD}(?:B(?:e(?:a(?:r(?:er?)?)?)?)?\Z|{_VALUE}{{0,5}}+\Z|{_VALUE}{{6}}))"
        ),
        re.compile(r"[^\n]*+"),
        bound=260,
        judge=_given_value,
        needs=_ASSIGNED,
        ends_visibly=True,
    ),
)
