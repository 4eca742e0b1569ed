"""Settings come from the environment, and unsafe ones are not the default."""

import runpy
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

SETTINGS = Path(__file__).resolve().parent.parent / "callcenter" / "settings.py"
LEAST = {
    "DOTENV": "off", "SECRET_KEY": "k", "DATABASE_URL": "postgres:///x", "REDIS_URL": "redis:///",
}  # fmt: skip
READ = [
    "DEBUG", "DEMO", "PORT", "PUBLIC_BASE_URL", "ALLOWED_HOSTS", "TIME_ZONE", "DB_POOL_SIZE",
    "SAUTIKIT_API_BASE_URL", "SAUTIKIT_API_KEY", "SAUTIKIT_NUMBER", "SAUTIKIT_CALL_SCHEMA",
    "SAUTIKIT_WEBHOOK_TOKEN", "SAUTIKIT_SIGNING_SECRETS", "SAUTIKIT_REQUIRE_SIGNATURE",
    "SAUTIKIT_ALLOW_BARE_SIGNATURE", "SAUTIKIT_EMPTY_REPLY", "HOLD_MUSIC_URL",
    "SECRET_KEY_FALLBACKS", "STATIC_ROOT", "LOG_LEVEL",
    "REQUIRE_SECOND_FACTOR", "OUTBOX_ALLOW_PRIVATE",
]  # fmt: skip


@pytest.fixture
def read(monkeypatch):
    """Read the settings file under an environment of these names only."""

    def reading(**environment):
        for name in [*READ, *LEAST]:
            monkeypatch.delenv(name, raising=False)
        for name, value in {**LEAST, **environment}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        return runpy.run_path(str(SETTINGS))

    return reading


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL"])
def test_what_has_no_safe_default_stops_the_start_by_its_name(read, name):
    with pytest.raises(ImproperlyConfigured, match=name):
        read(**{name: None})


def test_the_defaults_are_those_promised(read):
    found = read()
    assert found["DEBUG"] is False
    assert found["TIME_ZONE"] == "Africa/Nairobi"
    assert found["PUBLIC_BASE_URL"] == "http://127.0.0.1:8000"
    assert found["SAUTIKIT_API_BASE_URL"] == "https://api.sautikit.com"
    assert found["SAUTIKIT_CALL_SCHEMA"] == "auto"
    assert found["SAUTIKIT_WEBHOOK_TOKENS"] == []
    assert found["SAUTIKIT_REQUIRE_SIGNATURE"] is False


def test_allowed_hosts_are_the_public_one_and_loopback(read):
    found = read(PUBLIC_BASE_URL="https://calls.example.test/")
    assert found["ALLOWED_HOSTS"] == ["calls.example.test", "127.0.0.1", "localhost", "[::1]"]
    assert found["PUBLIC_BASE_URL"] == "https://calls.example.test"
    assert read(ALLOWED_HOSTS="a.example,b.example")["ALLOWED_HOSTS"] == ["a.example", "b.example"]


def test_secure_cookies_and_hsts_only_where_the_public_address_is_https(read):
    names = ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS"]
    https, plain = read(PUBLIC_BASE_URL="https://c.example.test"), read()
    assert all(https[name] for name in names)
    assert not any(plain[name] for name in names)
    assert "SECURE_SSL_REDIRECT" not in https  # the reverse proxy does, never the product
    assert https["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")
    assert plain["SECURE_PROXY_SSL_HEADER"] is None


def test_cookies_are_bound_to_the_host_where_they_can_be(read):
    https, plain = read(PUBLIC_BASE_URL="https://c.example.test"), read()
    assert https["SESSION_COOKIE_NAME"] == "__Host-sessionid"
    assert "SESSION_COOKIE_NAME" not in plain  # a browser would not keep it over http
    for found in (https, plain):
        assert found["SESSION_COOKIE_HTTPONLY"] is True
        assert found["SESSION_COOKIE_SAMESITE"] == "Lax"


def test_the_demo_forgives_more_wrong_passwords_and_sooner(read):
    demo, real = read(DEMO="true"), read()
    assert (demo["AXES_FAILURE_LIMIT"], real["AXES_FAILURE_LIMIT"]) == (20, 5)
    assert demo["AXES_COOLOFF_TIME"] < real["AXES_COOLOFF_TIME"]


def test_who_needs_a_second_factor_is_one_of_three_words(read):
    assert read()["REQUIRE_SECOND_FACTOR"] == "off"
    with pytest.raises(ImproperlyConfigured, match="REQUIRE_SECOND_FACTOR is 'yes'"):
        read(REQUIRE_SECOND_FACTOR="yes")


def test_tokens_and_secrets_may_be_several_newest_first(read):
    found = read(SAUTIKIT_WEBHOOK_TOKEN="new,old", SAUTIKIT_SIGNING_SECRETS="s2,s1")
    assert found["SAUTIKIT_WEBHOOK_TOKENS"] == ["new", "old"]
    assert found["SAUTIKIT_SIGNING_SECRETS"] == ["s2", "s1"]


def test_a_secret_may_come_from_a_file(read, tmp_path):
    (tmp_path / "key").write_text("from-a-file")
    assert read(SECRET_KEY=None, SECRET_KEY_FILE=str(tmp_path / "key"))["SECRET_KEY"] == (
        "from-a-file"
    )


def test_a_voice_webhook_waits_for_a_connection_for_less_than_a_second(read):
    assert read()["DATABASES"]["default"]["OPTIONS"]["pool"]["timeout"] < 1


def test_the_deployment_checks_pass():
    call_command("check", "--deploy", "--fail-level", "WARNING", verbosity=0)


@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
