"""The keys that sign ID tokens, as the environment lists them: RSA, DER in base64. The first signs.

It has 3072 bits, which is as hard to break as 128 bits of a cipher. Keys that only verify may be shorter: they leave.
"""

import base64
import binascii

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_SIGNING_BITS_MIN, _VERIFYING_BITS_MIN = 3072, 2048


def read_keys(text: str) -> list[str]:
    """Each key as PEM, in order. Raises ValueError, without a word of the key, for one that is not as it should be."""
    found = []
    for place, part in enumerate((one.strip() for one in text.split(",")), start=1):
        try:
            der = base64.b64decode(part, validate=True)
            key = serialization.load_der_private_key(der, password=None)
        except (binascii.Error, ValueError, TypeError):
            raise ValueError(f"key {place} is not DER in base64") from None
        bits_min = _SIGNING_BITS_MIN if place == 1 else _VERIFYING_BITS_MIN
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < bits_min:
            raise ValueError(f"key {place} is not an RSA key of {bits_min} bits or more")
        kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        found.append(key.private_bytes(*kinds).decode())
    return found
