"""Text under lock: AES-256-GCM with named keys, bound to the place where it is stored.

The context (tenant, row, field) is authenticated with the text, so a sealed value copied to another row stays shut.
Nonces are random 96-bit values: rotate a key before it has sealed 2**32 texts.

Functions here drop plain text and key bytes from their local variables before they raise, because error reporters
record locals.
"""

import base64
import binascii
import os
import re
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.vault.errors import BadKeys, Tampered, UnknownKey

_VERSION: Final = "v1"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


class Vault:
    """Seals with the first key of the list, opens with any of them."""

    __slots__ = ("_ciphers", "_current")

    def __init__(self, keys: str) -> None:
        """`keys`: `kid:base64,kid2:base64` with 32 bytes each (standard or URL alphabet). Raises `BadKeys`."""
        self._ciphers: dict[str, AESGCM] = {}
        self._current = ""
        try:
            self._read(keys)
        except BadKeys as error:
            reason = str(error)
        else:
            self._current = next(iter(self._ciphers))
            return
        # Raised here, without its origin: those frames still hold key text.
        del keys
        raise BadKeys(reason)

    def _read(self, keys: str) -> None:
        for number, item in enumerate(keys.split(","), start=1):
            key_id, colon, encoded = item.strip().partition(":")
            if not colon or not _KEY_ID.fullmatch(key_id):
                raise BadKeys(f"key {number} is not written as id:base64")
            if key_id in self._ciphers:
                raise BadKeys(f"key id {key_id} is given twice")
            try:
                key = base64.b64decode(_padded(encoded.replace("-", "+").replace("_", "/")), validate=True)
            except ValueError:  # binascii.Error is one, and so is what other characters than ASCII raise
                raise BadKeys(f"key {key_id} is not base64") from None
            if len(key) != _KEY_BYTES:
                raise BadKeys(f"key {key_id} has {len(key)} bytes instead of {_KEY_BYTES}")
            self._ciphers[key_id] = AESGCM(key)

    def __repr__(self) -> str:
        return f"<Vault sealing with {self._current}, opening with {', '.join(self._ciphers)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a vault cannot be pickled")

    def seal(self, plaintext: str, *, context: tuple[str, ...]) -> str:
        """`v1:kid:nonce:ciphertext`, the latter two in unpadded base64url. Each sealing of a text looks different."""
        if not context:
            del plaintext
            raise ValueError("a context is needed: it ties the sealed text to its place")
        nonce = os.urandom(_NONCE_BYTES)
        # surrogatepass: any Python string survives the way through.
        data = plaintext.encode("utf-8", "surrogatepass")
        sealed = self._ciphers[self._current].encrypt(nonce, data, _bound_to(self._current, context))
        return f"{_VERSION}:{self._current}:{_encode(nonce)}:{_encode(sealed)}"

    def open(self, token: str, *, context: tuple[str, ...]) -> str:
        """The text sealed for exactly this context. Raises `UnknownKey` or `Tampered`."""
        key_id, nonce, sealed = _parse(token)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownKey(f"sealed under key {key_id}, which is not in the list")
        try:
            data = cipher.decrypt(nonce, sealed, _bound_to(key_id, context))
        except InvalidTag:
            raise Tampered("the sealed text does not belong here, or was changed") from None
        return data.decode("utf-8", "surrogatepass")

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._current

    def key_of(self, token: str) -> str:
        """The id of the key a text was sealed under, known or not. Raises `Tampered` if malformed."""
        return _parse(token)[0]

    def needs_rotation(self, token: str) -> bool:
        """Whether the text should be opened and sealed again under the current key. Raises `Tampered` if malformed."""
        return _parse(token)[0] != self._current


def fingerprint(secret: str) -> str:
    """The last four characters, for telling secrets apart on a page; nothing of short ones (under 12 characters)."""
    return f"…{secret[-4:]}" if len(secret) >= 12 else "…"


def _bound_to(key_id: str, context: tuple[str, ...]) -> bytes:
    """Authenticated beside the text. Lengths lead each part, so that no two contexts look alike."""
    parts = [part.encode("utf-8", "surrogatepass") for part in (_VERSION, key_id, *context)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _parse(token: str) -> tuple[str, bytes, bytes]:
    match token.split(":"):
        case [version, key_id, nonce_text, sealed_text] if version == _VERSION and _KEY_ID.fullmatch(key_id):
            nonce, sealed = _decode(nonce_text), _decode(sealed_text)
            if len(nonce) == _NONCE_BYTES and len(sealed) >= _TAG_BYTES:
                return key_id, nonce, sealed
    raise Tampered("not a sealed text")


def _padded(text: str) -> str:
    return text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Strict: one spelling per value, so that a sealed text cannot be changed without notice."""
    try:
        data = base64.urlsafe_b64decode(_padded(text)) if _BASE64URL.fullmatch(text) else b""
    except binascii.Error:
        return b""
    return data if _encode(data) == text else b""
