"""What can go wrong when somebody signs in with their company.

Problem
├── Forbidden
│   └── SignInRefused       the company's answer proves nothing, or the person may not enter with it
├── Conflict
│   └── AccountExists       the e-mail address belongs to an account that signs in otherwise
└── Unavailable
    └── ProviderAway        the company's identity provider does not answer, or not as it should
"""

from apps.problems import Conflict, Forbidden, Unavailable


class SignInRefused(Forbidden):
    """The answer is not from the provider that was set up, not for this sign-in, or the person may not enter."""

    code = "company_sign_in_refused"


class AccountExists(Conflict):
    """Accounts are never joined by e-mail address: the person connects the two themself."""

    code = "account_exists"


class ProviderAway(Unavailable):
    """Discovery, keys or token could not be fetched."""

    code = "identity_provider_away"
