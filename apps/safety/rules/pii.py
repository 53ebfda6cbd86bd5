"""Personal data: what names, reaches or pays for one person.

Numbers count where a checksum or a word before them speaks for them, or where nothing else has their form.
"""

import ipaddress
import re

from apps.safety import checksums
from apps.safety.contracts import Category, Judge, Rule
from apps.safety.rules.patterns import UNBROKEN_WORD, any_of, opening

_DIGITS_AND_MARKS = re.compile(r"[\d ()./+\u00a0-]*+")
_NUMBER_OPENS = re.compile(r"(?<![\w.+-])[\d+(]")
_CAPITALS = re.compile(r"[A-Z0-9 ]*+")
_SEPARATORS = re.compile(r"[^A-Za-z0-9<]")
# Endings of file names, which no address ends in.
_FILES = frozenset(
    re.findall(
        r"\w+",
        "png jpg jpeg gif svg webp css js mjs ts tsx jsx json html htm xml md txt pdf zip gz tar yml yaml toml "
        "ini lock "
        "min local internal localdomain",
    )
)


def _compact(match: re.Match[str]) -> str:
    return _SEPARATORS.sub("", match[0])


def _email(match: re.Match[str]) -> int | None:
    name, domain = match[0].rsplit("@", 1)
    ending = domain.rsplit(".", 1)[1].lower()
    after = match.string[match.end() : match.end() + 1]
    if ending in _FILES or (name == "git" and after == ":") or ".." in match[0]:
        return None
    # A machine's mailbox is nobody's.
    return 20 if name.lower() in ("noreply", "no-reply", "donotreply", "postmaster", "mailer-daemon") else 60


def _card(match: re.Match[str]) -> int | None:
    digits = _compact(match)
    real = checksums.card_brand(digits) and checksums.luhn(digits) and len(set(digits)) > 1
    return 90 if real else None


def _iban(match: re.Match[str]) -> int | None:
    return 85 if checksums.iban(_compact(match)) else None


def _social_security(match: re.Match[str]) -> int | None:
    return 85 if checksums.social_security(match["area"], match["group"], match["serial"]) else None


def _international_phone(match: re.Match[str]) -> int | None:
    return 60 if 8 <= len(_compact(match)) <= 15 else None


def _labelled_phone(match: re.Match[str]) -> int | None:
    return 60 if 7 <= len(_SEPARATORS.sub("", match["it"])) <= 15 else None


def _american_phone(match: re.Match[str]) -> int | None:
    # 555-0100 to 555-0199 are kept free for fiction.
    return None if match["exchange"] == "555" and match["line"].startswith("01") else 45


def _address(match: re.Match[str]) -> int | None:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return None
    return 25 if address.is_global else 10


def _passport(match: re.Match[str]) -> int | None:
    line = match[0]
    checked = ((line[0:9], line[9]), (line[13:19], line[19]), (line[21:27], line[27]))
    return 90 if all(checksums.machine_readable(field, digit) for field, digit in checked) else None


def _rule(
    name: str,
    score: int,
    label: str,
    explanation: str,
    pattern: str,
    opener: re.Pattern[str],
    unbroken: re.Pattern[str],
    judge: Judge | None = None,
    bound: int = 80,
    needs: tuple[str, ...] = (),
) -> Rule:
    return Rule(
        f"pii.{name}",
        Category.PII,
        score,
        label,
        explanation,
        re.compile(pattern),
        opener,
        unbroken,
        bound=bound,
        judge=judge,
        needs=needs,
    )


_PHONE_LABELS = (
    "phone",
    "Phone",
    "PHONE",
    "tel",
    "Tel",
    "TEL",
    "telefon",
    "Telefon",
    "mobile",
    "Mobile",
    "cell",
    "Cell",
    "fax",
    "Fax",
    "WhatsApp",
    "whatsapp",
    "Handy",
    "mobil",
    "Mobil",
)

PII_RULES: tuple[Rule, ...] = (
    _rule(
        "email",
        60,
        "e-mail",
        "It is an e-mail address.",
        r"(?<![\w.+%-])[A-Za-z0-9][\w.+%-]{0,63}+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,4}[A-Za-z]{2,24}(?![\w-])",
        re.compile(r"(?<![\w.+%-])[A-Za-z0-9]"),
        UNBROKEN_WORD,
        _email,
        bound=350,
        needs=("@",),
    ),
    _rule(
        "phone_international",
        60,
        "phone",
        "It is a telephone number with its country's code.",
        r"(?<![\w.+-])(?<!\d )(?:\+|00(?=[1-9]))[1-9]\d{0,3}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?![\w+])",
        re.compile(r"(?<![\w.+-])(?<!\d )(?:\+|0)"),
        _DIGITS_AND_MARKS,
        _international_phone,
        needs=("+", "00"),
    ),
    _rule(
        "phone_american",
        45,
        "phone",
        "It has the form of a North American telephone number.",
        r"(?<![\w.+-])(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.])(?P<exchange>[2-9]\d\d)[-.](?P<line>\d{4})(?![\w-])",
        _NUMBER_OPENS,
        _DIGITS_AND_MARKS,
        _american_phone,
    ),
    _rule(
        "phone_national",
        40,
        "phone",
        "It has the form of a national telephone number (Britain, Germany, France).",
        r"(?<![\w.+/-])(?:07\d{3} \d{3} ?\d{3}|0(?:20|1\d{3}) \d{3,4} \d{3,4}|0[1-9](?: \d\d){4}|01[567]\d[ "
        r"/-]\d{7,8}|0[2-9]\d{1,4}/\d{4,9})(?![\w/-])",
        _NUMBER_OPENS,
        _DIGITS_AND_MARKS,
    ),
    _rule(
        "phone_labelled",
        60,
        "phone",
        "A number follows a word for “telephone”.",
        rf"(?<![A-Za-z0-9]){any_of(*sorted(_PHONE_LABELS, key=len, reverse=True))}(?:ephone)?(?: (?:no|number"
        rf"|Nr)\b)?[.:#]{{0,2}} ?(?:is )?"
        r"(?P<it>[+(]?\d(?:[ ()./-]{0,2}\d){6,14})(?!\d)",
        opening(*_PHONE_LABELS, behind=r"(?<![A-Za-z0-9])"),
        re.compile(r"[A-Za-z\d ()./+:#-]*+"),
        _labelled_phone,
        bound=90,
        needs=_PHONE_LABELS,
    ),
    _rule(
        "card",
        90,
        "card number",
        "It is a payment card's number: its issuer, length and check digit are right.",
        r"(?<![\w.+-])[2-6](?:[ -]?\d){12,18}(?![\w-])",
        re.compile(r"(?<![\w.+-])[2-6]"),
        _DIGITS_AND_MARKS,
        _card,
    ),
    _rule(
        "iban",
        85,
        "IBAN",
        "It is a bank account's number: its country, length and check digits are right.",
        r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}?(?= ?(?:[^A-Z0-9 ]|\Z)| (?:[A-Z]?[a-z]| ))",
        re.compile(r"(?<![A-Za-z0-9])[A-Z](?:\Z|[A-Z](?:\Z|\d))"),
        _CAPITALS,
        _iban,
    ),
    _rule(
        "us_ssn",
        85,
        "social security number",
        "It has the form of a social security number that the United States can have given.",
        r"(?<![\w.+-])(?P<area>\d{3})(?P<mark>[- ])(?P<group>\d\d)(?P=mark)(?P<serial>\d{4})(?![\w-])",
        _NUMBER_OPENS,
        _DIGITS_AND_MARKS,
        _social_security,
    ),
    _rule(
        "ahv",
        85,
        "AHV number",
        "It is a Swiss insurance number: its check digit is right.",
        r"(?<![\w.+-])756\.?\d{4}\.?\d{4}\.?\d\d(?![\w-])",
        _NUMBER_OPENS,
        _DIGITS_AND_MARKS,
        lambda match: 85 if checksums.ean13(_compact(match)) else None,
        needs=("756",),
    ),
    _rule(
        "french_nir",
        80,
        "insurance number",
        "It is a French insurance number: its check digits are right.",
        r"(?<![\w.+-])[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d(?![\w-])",
        re.compile(r"(?<![\w.+-])[12]"),
        re.compile(r"[\dAB ]*+"),
        lambda match: 80 if checksums.french_insurance(_compact(match)) else None,
    ),
    _rule(
        "codice_fiscale",
        85,
        "tax code",
        "It is an Italian tax code: its check letter is right.",
        r"(?<![A-Za-z0-9])[A-Z]{6}\d\d[ABCDEHLMPRST]\d\d[A-Z]\d{3}[A-Z](?![A-Za-z0-9])",
        re.compile(r"(?<![A-Za-z0-9])[A-Z]"),
        re.compile(r"[A-Z0-9]*+"),
        lambda match: 85 if checksums.codice_fiscale(match[0]) else None,
    ),
    _rule(
        "passport",
        90,
        "passport",
        "It is the machine-readable line of a passport: its check digits are right.",
        r"(?<![A-Z0-9<])[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[\d<]\d(?![A-Z0-9<])",
        re.compile(r"(?<![A-Z0-9<])[A-Z0-9]"),
        re.compile(r"[A-Z0-9<]*+"),
        _passport,
    ),
    _rule(
        "ip_address",
        25,
        "IP address",
        "It is a network address, which may belong to one person's connection.",
        r"(?<![\w.:+-])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.-]*\w)|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![\w:]))",
        re.compile(r"(?<![\w.:+-])[0-9A-Fa-f:]"),
        re.compile(r"[\w.:-]*+"),
        _address,
        bound=120,
    ),
)
