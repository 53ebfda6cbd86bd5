from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        from apps.accounts import passkeys, rate_limits, totp  # need models

        rate_limits.use_own_rules()
        passkeys.use_own_rules()
        totp.use_own_rules()
