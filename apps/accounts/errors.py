"""What can be wrong with an account, or with a sign-in.

Problem
├── Invalid
│   └── InvalidAccount           a field of a new account breaks a rule, or its e-mail address is taken
├── Unauthenticated
│   ├── SecondFactorRequired     the password is right; a code of the second factor has to come with it
│   └── SecondFactorRefused      that code is wrong
├── Forbidden
│   ├── StepUpRequired           too many sign-ins have failed; a solved puzzle has to come with the next
│   └── SecondFactorSetupRequired  the workspace demands a second factor, and this person has none
└── TooManyTries                 sign-ins, sign-ups or codes come too fast
"""

from apps.problems import Forbidden, Invalid, Problem, Unauthenticated

__all__ = [
    "InvalidAccount",
    "SecondFactorRefused",
    "SecondFactorRequired",
    "SecondFactorSetupRequired",
    "StepUpRequired",
    "TooManyTries",
]


class InvalidAccount(Invalid):
    """The account cannot be made; `fields` names each input and what to change about it."""

    code = "invalid_account"


class SecondFactorRequired(Unauthenticated):
    """A code of the second factor is missing. Send the same again, with it."""

    code = "second_factor_required"


class SecondFactorRefused(Unauthenticated):
    """The code of the second factor is wrong, too old, or was used before."""

    code = "second_factor_refused"


class SecondFactorSetupRequired(Forbidden):
    """The workspace demands a second factor of everybody; set one up under /account/second-factor/."""

    code = "second_factor_setup_required"


class StepUpRequired(Forbidden):
    """Too many sign-ins have failed. `fields["proof"]` is to be solved; send the same again with the answer."""

    code = "step_up_required"


class TooManyTries(Problem):
    """Too many sign-ins, sign-ups or codes from one address or for one person; a pause helps."""

    code = "too_many_tries"
    status = 429
    retryable = True
