"""Password hashing that is quick to make and still verifiable by any process with the usual hashers."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickPBKDF2(PBKDF2PasswordHasher):
    """PBKDF2 with few rounds; the count travels in the hash."""

    iterations = 1_000
