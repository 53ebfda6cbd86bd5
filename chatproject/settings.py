"""Django's settings, derived from the typed environment. Nothing else in the project reads `os.environ`."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from apps.accounts.passwords import PASSWORD_MIN
from chatproject import administration, beat
from chatproject.environment import ROOT, load

ENV = load()

API_KEY_PEPPER = ENV.api_key_pepper.get_secret_value()
SECRET_KEY = ENV.secret_key.get_secret_value()
DEBUG = ENV.debug
ALLOWED_HOSTS = [host.strip() for host in ENV.allowed_hosts.split(",") if host.strip()]
BASE_URL = ENV.base_url.rstrip("/")
CSRF_TRUSTED_ORIGINS = [BASE_URL]
CSRF_FAILURE_VIEW = "apps.tenants.edge.failures.csrf_failure"

INSTALLED_APPS = [
    "daphne",
    "chatproject.apps.ChatprojectConfig",
    "unfold.apps.BasicAppConfig",
    "chatproject.apps.AdministrationConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "waffle",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.idp.oidc",
    "apps.accounts",
    "apps.tenants",
    "apps.billing",
    "apps.routing",
    "apps.conversations",
]

MIDDLEWARE = [
    "chatproject.inline_middleware.InlineCSP",
    "chatproject.inline_middleware.InlineSecurity",
    "servestatic.middleware.ServeStaticMiddleware",
    "apps.tenants.edge.middleware.RequestContextMiddleware",
    "chatproject.inline_middleware.InlineSession",
    "chatproject.inline_middleware.InlineCommon",
    "chatproject.inline_middleware.InlineCsrf",
    "chatproject.inline_middleware.InlineAuthentication",
    "apps.tenants.edge.middleware.PrincipalMiddleware",
    "apps.tenants.edge.company_sign_in.CompanySessions",
    "allauth.account.middleware.AccountMiddleware",
    "chatproject.inline_middleware.InlineMessages",
    "chatproject.inline_middleware.InlineFrameOptions",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "chatproject.urls"
ASGI_APPLICATION = "chatproject.asgi.application"
WSGI_APPLICATION = None
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ]
        },
    }
]


def _database(url: Any, *, pool: int) -> dict[str, Any]:
    """One alias. Pools are per process; health checks spare each dead connection an error after a restart."""
    parts = urlsplit(str(url))
    given = dict(parse_qsl(parts.query))  # sslmode, sslrootcert and so on, as libpq names them
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": ENV.db_name or parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or 5432),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 3,
            # A route that swallows packets is given up by the kernel; a stopped server still acknowledges, and is not.
            "tcp_user_timeout": 3000,
            "options": "-c statement_timeout=15000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000",
            "pool": {"min_size": 1, "max_size": pool, "timeout": 3, "max_idle": 120},
            **given,
        },
        "TEST": {"MIRROR": None},
    }


DATABASES: dict[str, dict[str, Any]] = {
    "default": _database(ENV.database_url, pool=ENV.db_pool_size),
    "engine": _database(ENV.database_engine_url, pool=max(4, ENV.db_pool_size // 2)),
}
if ENV.database_owner_url is not None:
    DATABASES["owner"] = _database(ENV.database_owner_url, pool=1)
    DATABASES["owner"]["OPTIONS"]["options"] = "-c lock_timeout=5000"
    DATABASES["owner"]["OPTIONS"].pop("pool")
DATABASE_ROUTERS = ["chatproject.database_router.OwnerMigrates"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = str(ENV.redis_url)
REDIS_CACHE_URL = str(ENV.redis_cache_url)
REDIS_PREFIX = ENV.redis_prefix
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_CACHE_URL,
        "KEY_PREFIX": f"{ENV.redis_prefix}sb",
        "TIMEOUT": 86_400,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            # redis-py's default socket timeout would cut idle subscriptions.
            "hosts": [{"address": REDIS_URL, "socket_timeout": None}],
            "prefix": f"{ENV.redis_prefix}hint",
        },
    }
}

CELERY = {
    "broker_url": REDIS_URL,
    "broker_transport_options": {
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
        "max_retries": 0,
        "visibility_timeout": 3600,
        "global_keyprefix": ENV.redis_prefix,
    },
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "task_publish_retry": False,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_acks_late": False,
    "worker_prefetch_multiplier": 1,
    "worker_redirect_stdouts": False,
    "worker_hijack_root_logger": False,
    "worker_send_task_events": False,
    "enable_utc": True,
    "timezone": "UTC",
    "task_default_queue": "celery",
    "beat_schedule": beat.SCHEDULE,
}

AUTH_USER_MODEL = "accounts.User"
SILENCED_SYSTEM_CHECKS = ["auth.W004"]  # e-mail addresses are unique in lower case, by their own index
AUTHENTICATION_BACKENDS = ["apps.accounts.backends.EmailBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": PASSWORD_MIN}},
    {"NAME": "apps.accounts.passwords.GuessedFirstValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None  # people are known by their e-mail address
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_ADAPTER = "apps.accounts.adapters.AccountAdapter"
# Who can get no mail can prove no address.
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if ENV.email_url is not None else "none"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Switchboard: "
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_CHANGE_EMAIL = True  # one address each; another takes its place once it is verified
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if BASE_URL.startswith("https://") else "http"
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key", "reset_password": "20/h/ip,5/h/key"}
MFA_ADAPTER = "apps.accounts.adapters.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_TOLERANCE = 1  # steps of 30 s: clocks differ and typing takes time; each code counts once all the same
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = BASE_URL.startswith("http://")
SOCIALACCOUNT_ADAPTER = "apps.tenants.edge.company_sign_in.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # accounts are never joined by e-mail address
SOCIALACCOUNT_STORE_TOKENS = False
ENTRA_AUTHORITIES = tuple(text.strip().rstrip("/") for text in ENV.entra_authorities.split(",") if text.strip())
IDP_OIDC_ADAPTER = "apps.tenants.edge.oauth_server.Adapter"
IDP_OIDC_PRIVATE_KEYS = [{"pem": pem} for pem in ENV.oauth_signing_pems()]
IDP_OIDC_ACCESS_TOKEN_FORMAT = "opaque"  # noqa: S105 - a kind; so that what is revoked ends at once
IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN = 300
IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN = 14 * 86_400
IDP_OIDC_ROTATE_REFRESH_TOKEN = True
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/chat/"
LOGOUT_REDIRECT_URL = "/login/"

SESSION_ENGINE = "apps.accounts.sessions"  # in the database: sessions outlive a lost cache
SESSION_IDLE_SECONDS = ENV.session_idle_seconds
SESSION_MAX_SECONDS = ENV.session_max_seconds
PASSWORD_RESET_TIMEOUT = 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
HTTPS = BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = HTTPS if ENV.secure_cookies is None else ENV.secure_cookies
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
CSRF_COOKIE_SAMESITE = "Lax"
if SESSION_COOKIE_SECURE:
    # A browser takes such a cookie from this host over HTTPS alone: a neighbouring host cannot plant one.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no cookie of its own
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS and ENV.hsts_subdomains
# Only who knows which proxies to believe knows whether a request came over HTTPS; any other redirect would be endless.
SECURE_SSL_REDIRECT = HTTPS and bool(ENV.trusted_proxies.strip())
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # asked from inside, without a proxy
# Browsers' built-in lists are for the domain's owner to decide, and so are its other hosts (HSTS_SUBDOMAINS).
SILENCED_SYSTEM_CHECKS += ["security.W005", "security.W021"]
# These look for Django's middleware by name; ours is drawn from it (`inline_middleware`).
SILENCED_SYSTEM_CHECKS += ["security.W001", "security.W002", "security.W003"]
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "frame-src": ["'none'"],
        "worker-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

CAPTCHA_VERIFY_URL = ENV.captcha_verify_url
CAPTCHA_SCRIPT_URL = ENV.captcha_script_url
CAPTCHA_CLASS = ENV.captcha_class
if CAPTCHA_SCRIPT_URL:
    _captcha = urlsplit(CAPTCHA_SCRIPT_URL)
    _captcha_sources = [f"{_captcha.scheme}://{_captcha.netloc}"]
    if CAPTCHA_CLASS == "h-captcha":  # it sends people on to hosts of its own
        _captcha_sources.append("https://*.hcaptcha.com")
    CONTENT_SECURITY_POLICY["DIRECTIVES"] |= {
        "script-src": ["'self'", *_captcha_sources],
        "frame-src": _captcha_sources,
        "connect-src": ["'self'", *_captcha_sources],
    }

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.tenants.edge.authentication.PrincipalAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.tenants.edge.parsers.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "apps.tenants.edge.openapi.PublishedSchema",
    "EXCEPTION_HANDLER": "apps.tenants.edge.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Switchboard",
    "DESCRIPTION": "Ask many models at once, and prove who spent, saw and said what.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "RoleEnum": [(role, role) for role in ("owner", "admin", "billing_admin", "member", "viewer")],
        "ModeratedEnum": [(action, action) for action in ("allow", "flag", "block")],
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.routing.edge.schema.add_openai_doors",
        "apps.routing.edge.gateway.schema.add_gateway",
        "apps.conversations.edge.schema.add_streaming_doors",
        "apps.tenants.edge.openapi.add_refusals",
    ],
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "USER_ID_CLAIM": "sub",
    "UPDATE_LAST_LOGIN": False,
}

TRUSTED_PROXIES = tuple(
    ip_network(text.strip(), strict=False) for text in ENV.trusted_proxies.split(",") if text.strip()
)
AUDIT_HEADS_DIR = ENV.audit_heads_dir or ENV.data_dir / "audit-heads"
AUDIT_HEADS_MONTHS = ENV.audit_heads_months
AUDIT_SIGNING_KEY = ENV.audit_signing_key.get_secret_value() if ENV.audit_signing_key else ""
AUDIT_PUBLIC_KEYS = tuple(text.strip() for text in ENV.audit_public_keys.split(",") if text.strip())

WAFFLE_FLAG_MODEL = "tenants.Flag"

ADMIN_SECOND_FACTOR = ENV.admin_second_factor
ADMIN_SECOND_FACTOR_SECONDS = ENV.admin_second_factor_seconds
UNFOLD = administration.OPERATORS
UNFOLD_MANAGE = administration.TENANTS


def _mail(url: str) -> dict[str, Any]:
    """`smtp://user:password@host:587` (with STARTTLS), `smtps://...:465`, or `smtp+plain://` inside one's own walls."""
    parts = urlsplit(url)
    return {
        "EMAIL_HOST": parts.hostname or "",
        "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp",
    }


MAIL_IS_CONFIGURED = ENV.email_url is not None
# Without a mail server nothing is sent, and nothing is written into logs either: mails carry one-time links.
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if MAIL_IS_CONFIGURED else 'dummy'}.EmailBackend"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENV.email_from
if ENV.email_url is not None:
    globals().update(_mail(ENV.email_url.get_secret_value()))

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = "chatproject.formats"

STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
STATIC_ROOT = ENV.data_dir / "static"
SERVESTATIC_USE_FINDERS = DEBUG
SERVESTATIC_AUTOREFRESH = DEBUG
SERVESTATIC_ALLOW_ALL_ORIGINS = False
# Modules import each other by their plain names: asked for again each time, so that a page never mixes two versions.
SERVESTATIC_MAX_AGE = 0
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "servestatic.storage.CompressedManifestStaticFilesStorage"
    },
}

LOGGING_CONFIG = None  # chatproject.apps configures structlog

WORKER_SLOTS = ENV.worker_slots
WORKER_THREADS = ENV.worker_threads
WORKER_QUEUE = ENV.worker_queue
DRAIN_SECONDS = ENV.drain_seconds
GENERATION_DEADLINE_SECONDS = ENV.generation_deadline_seconds
CONNECT_TIMEOUT_SECONDS = ENV.connect_timeout_seconds
FIRST_TOKEN_TIMEOUT_SECONDS = ENV.first_token_timeout_seconds
GAP_TIMEOUT_SECONDS = ENV.gap_timeout_seconds
BREAKER_FAILURES = ENV.breaker_failures
BREAKER_OPEN_SECONDS = ENV.breaker_open_seconds
BREAKER_OPEN_MAX_SECONDS = ENV.breaker_open_max_seconds
ANSWER_MAX_BYTES = ENV.answer_max_bytes
REQUEST_BODY_SECONDS = ENV.request_body_seconds
GATEWAY_COMPRESSION = ENV.gateway_compression
GATEWAY_LITELLM = ENV.gateway_litellm
GATEWAY_CALLS_PER_PROCESS = ENV.gateway_calls_per_process
GATEWAY_LATE_SECONDS = ENV.gateway_late_seconds
IDEMPOTENCY_KEEP_SECONDS = ENV.idempotency_keep_seconds
IDEMPOTENCY_ANSWER_MAX_BYTES = ENV.idempotency_answer_max_bytes
IDEMPOTENCY_TENANT_MAX_BYTES = ENV.idempotency_tenant_max_bytes
IDEMPOTENCY_TENANT_MAX_KEYS = ENV.idempotency_tenant_max_keys
WEBSOCKETS_PER_PROCESS = ENV.websockets_per_process
EVENT_STREAMS_PER_PROCESS = ENV.event_streams_per_process
