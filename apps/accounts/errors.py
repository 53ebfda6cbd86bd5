"""What can be wrong with an account.

Problem
└── Invalid
    └── InvalidAccount       a field of a new account breaks a rule, or its e-mail address is taken
"""

from apps.problems import Invalid

__all__ = ["InvalidAccount"]


class InvalidAccount(Invalid):
    """The account cannot be made; `fields` names each input and what to change about it."""

    code = "invalid_account"
