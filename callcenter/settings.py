"""Every setting of the project, read from the environment or from `.env` (the environment wins).

In reading order: the site, the database, Redis, Celery, Django, who gets in and what browsers
may do, the API, Sautikit. What each name means for an operator stands in `.env.example` and
docs/install.md.
"""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from callcenter.postgres.base import pool_options

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()  # SECRET_KEY or SECRET_KEY_FILE
env.smart_cast = False  # a type is written, never guessed from a default
if os.environ.get("DOTENV") != "off":
    env.read_env(BASE_DIR / ".env")

# --- The site ----------------------------------------------------------------------------------
SECRET_KEY = env.str("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("DEMO", default=False)
PORT = env.int("PORT", default=8000)
PUBLIC_BASE_URL = env.str("PUBLIC_BASE_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_BASE_URL)
_is_https = _public.scheme == "https"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[]) or [
    host for host in (_public.hostname, "127.0.0.1", "localhost", "[::1]") if host
]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
TIME_ZONE = env.str("TIME_ZONE", default="Africa/Nairobi")
USE_TZ = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("sw", "Kiswahili")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["callcenter.formats"]
USE_I18N = True

# --- Where it writes ---------------------------------------------------------------------------
STATE_DIR = Path(env.str("STATE_DIR", default=str(BASE_DIR / "var")))  # the launcher sets it
DISK_WARN_MB = env.int("DISK_WARN_MB", default=1000)  # free space below which people are told
if DISK_WARN_MB < 0:
    raise ImproperlyConfigured("DISK_WARN_MB is a number of megabytes from 0.")

# --- PostgreSQL: the only truth ----------------------------------------------------------------
DATABASES = {"default": env.db("DATABASE_URL")}
DATABASES["default"].update(
    ENGINE="callcenter.postgres",
    CONN_MAX_AGE=0,  # the pool keeps the connections
    OPTIONS={
        # A host that has vanished is noticed too: seconds to connect, milliseconds to be heard.
        "connect_timeout": 2,
        "tcp_user_timeout": 5000,
        **DATABASES["default"].get("OPTIONS", {}),
        "options": "-c lock_timeout=3000 -c idle_in_transaction_session_timeout=15000",
        "pool": pool_options(size=env.int("DB_POOL_SIZE", default=14)),
    },
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: only the bell ----------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL")
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_PUBLISH_RETRY = False  # a lost ring is found by the sweep; nobody waits for Redis
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 60,
    "unacked_restore_interval": 5,
    "socket_connect_timeout": 1,
    "socket_timeout": 20,
    "max_retries": 0,  # who rings does not wait: kombu's default is 6 s for each bell
}
CELERY_TIMEZONE = "UTC"

# --- Django ------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.import_export",
    "import_export",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "simple_history",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "callcenter.outbox",
    "agents",
    "queues",
    "reporting",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",  # asks the database only for who has a second factor
    "django.contrib.auth.middleware.LoginRequiredMiddleware",  # waived by name where it must be
    "callcenter.preferences.PreferencesMiddleware",  # needs the session only
    "callcenter.access.middleware.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "callcenter.headers.Headers",
    "simple_history.middleware.HistoryRequestMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",  # last: a sign-in that is locked out gets its page
]
ROOT_URLCONF = "callcenter.urls"
ASGI_APPLICATION = "callcenter.asgi.application"
WSGI_APPLICATION = "callcenter.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT: str | None = env.str("STATIC_ROOT", default=str(BASE_DIR / "var/static"))
STATICFILES_DIRS = [BASE_DIR / "static"]
if (
    STATIC_ROOT and Path(STATIC_ROOT).is_dir()
):  # collected: the web processes serve them, compressed
    MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
elif DEMO:  # nothing is collected: they are served from where they are
    STATIC_ROOT = None
    WHITENOISE_USE_FINDERS = True
    MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT and (Path(STATIC_ROOT) / "staticfiles.json").is_file()
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
APPEND_SLASH = True
LOGGING_CONFIG = "callcenter.masking.configure"  # as below, and masked
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        # Celery names each task at INFO; the timeline of the call is the better record.
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "axes": {"level": "WARNING"},  # each wrong password is one; a right one is no news
    },
}
DEFAULT_EXCEPTION_REPORTER = "callcenter.error_reports.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "callcenter.error_reports.ReporterFilter"
# DEBUG keeps every statement in memory otherwise; the checks that need one database each stay.
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # the reverse proxy redirects, never the product
if not _is_https:
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W012", "security.W016"]
else:
    SILENCED_SYSTEM_CHECKS += ["security.W005", "security.W021"]  # subdomains are not ours to bind

# --- Who gets in, and what browsers may do (docs/security.md) -----------------------------------
LOGIN_URL = reverse_lazy("login")
LOGIN_REDIRECT_URL = reverse_lazy("home")
LOGOUT_REDIRECT_URL = reverse_lazy("login")
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: refuses while too many passwords were wrong
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 20 if DEMO else 5
AXES_COOLOFF_TIME = timedelta(minutes=1 if DEMO else 5)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the time to wait is the time told
AXES_CLIENT_IP_CALLABLE = "callcenter.access.sign_in.client_address"
AXES_LOCKOUT_CALLABLE = "callcenter.access.sign_in.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
REQUIRE_SECOND_FACTOR = env.str("REQUIRE_SECOND_FACTOR", default="off")
if REQUIRE_SECOND_FACTOR not in {"off", "administrators", "supervisors"}:
    raise ImproperlyConfigured(
        f"REQUIRE_SECOND_FACTOR is {REQUIRE_SECOND_FACTOR!r}; set it to off, administrators or "
        "supervisors (which includes administrators)."
    )
OTP_TOTP_ISSUER = f"Call centre {_public.hostname}"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _is_https
if _is_https:  # bound to this very host: no sibling can set or read them
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # pages carry their token themselves
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 12  # one long shift
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 30 if _is_https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _is_https else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # a webhook has 64 KiB (queues.receiving)
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000  # a queue with a thousand members is one form of the admin
DATA_UPLOAD_MAX_NUMBER_FILES = 1  # of a spreadsheet, at the import pages only:
FILE_UPLOAD_HANDLERS = ["callcenter.uploads.OnlyImports"]

# --- The API -----------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["callcenter.permissions.IsSupervisor"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "callcenter.api.Pagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "callcenter.api.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Call centre",
    "DESCRIPTION": "Queues, agents, menus, calls, the live board and the figures.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "callcenter.schema.add_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "PresenceEnum": "agents.models.Presence",
        "EngagementEnum": "agents.models.Engagement",
        "CallStateEnum": "queues.models.QueuedCall.State",
        "ModeEnum": "queues.models.Supervision.Mode",
    },
}
UNFOLD = {
    "SITE_TITLE": "Call centre",
    "SITE_HEADER": "Call centre",
    "SITE_URL": "/",
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {
        "primary": {
            "50": "#eefaf6", "100": "#d5f3e9", "200": "#aee6d4", "300": "#79d2b9",
            "400": "#44b799", "500": "#219c7f", "600": "#147d67", "700": "#106454",
            "800": "#105044", "900": "#0f4239", "950": "#062621",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "callcenter.admin_menu.navigation",
    },
}  # fmt: skip

# --- E-mail about alerts -------------------------------------------------------------------------
EMAIL_URL = env.str("EMAIL_URL", default="")  # empty: nothing is sent
DEFAULT_FROM_EMAIL = env.str(
    "DEFAULT_FROM_EMAIL", default=f"callcenter@{_public.hostname or 'localhost'}"
)
EMAIL_TIMEOUT = 10  # seconds for each step of a conversation with the mail server
if not EMAIL_URL and DEMO:  # written into files, for whoever tries it
    EMAIL_URL = f"filemail:///{STATE_DIR / 'mail'}"
for _name, _value in env.email_url("EMAIL_URL", default=EMAIL_URL or "dummymail://").items():
    if _name.startswith("EMAIL_"):
        globals()[_name] = _value

# --- Recordings ----------------------------------------------------------------------------------
RECORDING_MAX_MB = env.int("RECORDING_MAX_MB", default=200)  # a larger one is not fetched
if RECORDING_MAX_MB < 1:
    raise ImproperlyConfigured("RECORDING_MAX_MB is a number of megabytes from 1.")

# --- Outgoing webhooks ---------------------------------------------------------------------------
# Whether administrators may let an endpoint lead into a private network.
OUTBOX_ALLOW_PRIVATE = env.bool("OUTBOX_ALLOW_PRIVATE", default=False)

# --- Sautikit ----------------------------------------------------------------------------------
SAUTIKIT_API_BASE_URL = env.str("SAUTIKIT_API_BASE_URL", default="https://api.sautikit.com")
SAUTIKIT_API_KEY = env.str("SAUTIKIT_API_KEY", default="")
SAUTIKIT_NUMBER = env.str("SAUTIKIT_NUMBER", default="")
SAUTIKIT_CALL_SCHEMA = env.str("SAUTIKIT_CALL_SCHEMA", default="auto")  # auto, sdk, use_case
if SAUTIKIT_CALL_SCHEMA not in {"auto", "sdk", "use_case"}:
    raise ImproperlyConfigured(
        f"SAUTIKIT_CALL_SCHEMA is {SAUTIKIT_CALL_SCHEMA!r}; set it to auto, sdk or use_case."
    )
SAUTIKIT_WEBHOOK_TOKENS = env.list("SAUTIKIT_WEBHOOK_TOKEN", default=[])  # newest first
SAUTIKIT_SIGNING_SECRETS = env.list("SAUTIKIT_SIGNING_SECRETS", default=[])  # newest first
SAUTIKIT_REQUIRE_SIGNATURE = env.bool("SAUTIKIT_REQUIRE_SIGNATURE", default=False)
SAUTIKIT_ALLOW_BARE_SIGNATURE = env.bool("SAUTIKIT_ALLOW_BARE_SIGNATURE", default=False)
SAUTIKIT_EMPTY_REPLY = env.str("SAUTIKIT_EMPTY_REPLY", default="xml")  # xml or json
HOLD_MUSIC_URL = env.str("HOLD_MUSIC_URL", default="")
SAUTIKIT_CALLS_PER_SECOND = env.float("SAUTIKIT_CALLS_PER_SECOND", default=0.0)  # 0: no limit
SAUTIKIT_CONCURRENT_LEGS = env.int("SAUTIKIT_CONCURRENT_LEGS", default=0)  # 0: no limit
SAUTIKIT_LOW_BALANCE_MINOR = env.int("SAUTIKIT_LOW_BALANCE_MINOR", default=0)  # 0: the provider's
for _name in (
    "SAUTIKIT_CALLS_PER_SECOND", "SAUTIKIT_CONCURRENT_LEGS", "SAUTIKIT_LOW_BALANCE_MINOR",
):  # fmt: skip
    if not 0 <= globals()[_name] < float("inf"):
        raise ImproperlyConfigured(f"{_name} is a number from 0; 0 switches it off.")
WEBHOOK_KEEP_DAYS = env.int("WEBHOOK_KEEP_DAYS", default=7)  # the bodies of what was posted to us
if WEBHOOK_KEEP_DAYS < 1:
    raise ImproperlyConfigured("WEBHOOK_KEEP_DAYS is a number of days from 1.")

# --- What is kept for how long (docs/operations.md); empty: for ever ------------------------------


def _days(name: str) -> int | None:
    days = env.str(name, default="").strip()
    if days and not (days.isascii() and days.isdecimal() and 1 <= int(days) <= 36500):
        raise ImproperlyConfigured(f"{name} is a number of days from 1, or empty: for ever.")
    return int(days) if days else None


KEEP_CALLS_DAYS = _days("KEEP_CALLS_DAYS")  # calls with all that belongs to them; agents' time
KEEP_NUMBERS_DAYS = _days("KEEP_NUMBERS_DAYS")  # whose number it was; the call stays
KEEP_NOTES_DAYS = _days("KEEP_NOTES_DAYS")  # what agents wrote about a conversation
