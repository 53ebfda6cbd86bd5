"""Checksums that tell a real number or token from one that only looks like it."""

import re
import zlib
from collections import Counter
from math import log2

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Length of an IBAN by country, as the register of ISO 13616 has them.
IBAN_LENGTHS = {
    code: int(size)
    for code, size in re.findall(
        r"(..):(\d+)",
        "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 "
        "DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 "
        "IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 "
        "MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 "
        "SC:31 SE:24 SI:19 SK:24 SM:27 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20",
    )
}


def luhn(digits: str) -> bool:
    """ISO/IEC 7812: payment cards."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_brand(digits: str) -> str | None:
    """Whose card a number of that length and beginning would be."""
    size, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[0] == "4" and size in (13, 16, 19):
        return "Visa"
    if size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720):
        return "Mastercard"
    if size == 15 and two in (34, 37):
        return "American Express"
    if 16 <= size <= 19 and (four == 6011 or 644 <= three <= 649 or two == 65):
        return "Discover"
    if 16 <= size <= 19 and 3528 <= four <= 3589:
        return "JCB"
    if 14 <= size <= 19 and (300 <= three <= 305 or two in (36, 38, 39)):
        return "Diners Club"
    return "UnionPay" if 16 <= size <= 19 and two == 62 else None


def iban(compact: str) -> bool:
    """ISO 13616: country, length, and the remainder by 97."""
    if IBAN_LENGTHS.get(compact[:2]) != len(compact):
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def base62_crc32(token: str) -> bool:
    """The last six characters of GitHub's and npm's tokens: the CRC-32 of the thirty before, in base 62."""
    body, told = token[-36:-6], token[-6:]
    rest, digits = zlib.crc32(body.encode()), ""
    while rest:
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(6, "0") == told


def social_security(area: str, group: str, serial: str) -> bool:
    """Numbers that the United States can have given, without the two that advertisements made public."""
    if area in ("000", "666") or area >= "900" or group == "00" or serial == "0000":
        return False
    return (area, group, serial) not in {("078", "05", "1120"), ("219", "09", "9999")}


def ean13(digits: str) -> bool:
    """The check digit of Swiss AHV numbers."""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits[:12]))
    return (10 - total % 10) % 10 == int(digits[12])


def french_insurance(number: str) -> bool:
    """The French NIR: thirteen places (Corsica's letters count as digits) and 97 minus their remainder."""
    body = number[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(number[13:])


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            10,
            22,
            25,
            24,
            23,
        ],
        strict=True,
    )
)


def codice_fiscale(code: str) -> bool:
    """The last letter of the Italian tax code."""
    total = 0
    for place, char in enumerate(code[:15]):
        even = int(char) if char.isdigit() else ord(char) - ord("A")
        total += _ODD[char] if place % 2 == 0 else even
    return chr(ord("A") + total % 26) == code[15]


def machine_readable(field: str, digit: str) -> bool:
    """One check digit of a passport's machine-readable zone (ICAO 9303)."""
    total = sum((0 if char == "<" else int(char, 36)) * (7, 3, 1)[place % 3] for place, char in enumerate(field))
    return str(total % 10) == digit


def entropy_bits(text: str) -> float:
    """Shannon's measure, in bits per character, of how evenly the characters of a text are used."""
    size = len(text)
    return -sum(count / size * log2(count / size) for count in Counter(text).values())


_CLASSES = [re.compile(one) for one in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]")]


def kinds_of_characters(text: str) -> int:
    """How many of these occur: small letters, capitals, digits, others."""
    return sum(one.search(text) is not None for one in _CLASSES)
