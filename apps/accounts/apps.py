from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        from apps.accounts import passkeys, totp  # need models

        passkeys.use_own_rules()
        totp.use_own_rules()
