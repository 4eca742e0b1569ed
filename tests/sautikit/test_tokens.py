"""Tokens in the URLs that we hand out."""

import base64
import hmac
import re

import pytest

from callcenter.sautikit.tokens import BadToken, clean, issue, read, same_secret

KEY = "a long key"
TOKEN = issue("offer", "0193c0de-1111-7abc-8def-000000000101", key=KEY)


def test_a_token_gives_its_parts_back():
    assert read(TOKEN, keys=[KEY]) == ("offer", "0193c0de-1111-7abc-8def-000000000101")
    assert read(issue("x", key=KEY), keys=[KEY]) == ("x",)


def test_a_token_can_stand_in_a_query_as_it_is():
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", TOKEN)
    mac = TOKEN.rpartition(".")[2]
    assert len(mac) == 22  # 128 bits in base64url


def test_the_signature_is_that_of_openssl():
    # printf 'callcenter.sautikit.tokens:leg.7' | openssl dgst -sha256 -hmac secret -binary
    #   | head -c 16 | base64 | tr '+/' '-_' | tr -d '='
    assert issue("leg", "7", key="secret") == "leg.7.Zydm5ffeuFloGj0kx0blIw"


@pytest.mark.parametrize(
    "tail", ["?clientRequestId=att-1", "&clientRequestId=att-1", "?a=1&b=2?c", " ", "?"]
)
def test_what_the_provider_appends_does_no_harm(tail):
    assert read(TOKEN + tail, keys=[KEY])[0] == "offer"
    assert clean(TOKEN + tail) == TOKEN


def test_an_older_key_still_opens_its_tokens():
    assert read(TOKEN, keys=["new", KEY])[0] == "offer"
    with pytest.raises(BadToken):
        read(TOKEN, keys=["new"])


@pytest.mark.parametrize(
    "forged",
    [
        "", ".", "..", "offer", "offer.", ".offer", "offer.1." + "A" * 22,
        TOKEN[:-1], TOKEN + "A", TOKEN.replace("offer", "legal"), TOKEN.swapcase(),
        "x" * 600, "offer.é.mac", "a b.c", "?" + TOKEN, TOKEN.split(".")[-1], "\x00", "a.\ud800",
    ],
)  # fmt: skip
def test_a_forged_or_mangled_token_is_refused(forged):
    with pytest.raises(BadToken):
        read(forged, keys=[KEY])


def test_without_a_key_nothing_is_genuine():
    # The second token is well signed, with an empty key.
    message = b"callcenter.sautikit.tokens:leg.7"
    mac = base64.urlsafe_b64encode(hmac.digest(b"", message, "sha256")[:16]).decode().rstrip("=")
    for token in (TOKEN, f"leg.7.{mac}"):
        for keys in ([], [""]):
            with pytest.raises(BadToken):
                read(token, keys=keys)


@pytest.mark.parametrize("parts", [(), ("",), ("a.b",), ("a b",), ("é",), ("a\n",)])
def test_a_part_that_could_be_read_as_two_is_not_signed(parts):
    with pytest.raises(ValueError, match="parts"):
        issue(*parts, key=KEY)


def test_a_token_needs_a_key():
    with pytest.raises(ValueError, match="key"):
        issue("a", key="")


def test_one_of_several_secrets_opens():
    assert same_secret("old", ["new", "old"])
    assert same_secret("old?clientRequestId=1", ["new", "old"])
    assert same_secret("o?l", ["o?l"])


@pytest.mark.parametrize(
    ("given", "secrets"),
    [("", [""]), ("", []), ("x", []), ("ol", ["old"]), ("olds", ["old"]), ("é\ud800", ["old"])],
)
def test_no_other_secret_opens(given, secrets):
    assert not same_secret(given, secrets)
