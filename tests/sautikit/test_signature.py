"""Whether to believe a request. The digests were made with openssl, not by the code under test:

printf '{"a":1}.1700000000' | openssl dgst -sha256 -hmac whsec_test
"""

import pytest

from callcenter.sautikit.signature import Result, check, sign

BODY = b'{"a":1}'
T = 1700000000
DIGEST = "be53e6c28964200faf43dcaaccd83cb10e6a71a48f3c3f0ac5208386a65a8ab3"
BARE = "51426af50a41dd7ff2cd3f116594734766d4018d15d6fb07169aee5d2959adf5"  # of the body alone
HEADER = f"t={T},v1={DIGEST}"


def judge(header, raw=BODY, *, secrets=("whsec_test",), now=float(T), **options):
    return check(header, raw, secrets=secrets, now=now, **options)


def test_the_header_is_that_of_openssl():
    assert sign("whsec_test", BODY, T) == HEADER


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        f"v1={DIGEST},t={T}",
        f" t={T}, v1={DIGEST} ",
        f"t={T},v1={DIGEST.upper()}",
        f"T={T},V1={DIGEST}",
        f"t={T},v0=old,v1={DIGEST},v2=new",
        f"t={T},v1={'0' * 64},v1={DIGEST}",  # two secrets while the sender rotates
    ],
)
def test_a_genuine_signature_is_valid(header):
    verdict = judge(header)
    assert verdict.result is Result.VALID
    assert verdict.is_valid
    assert verdict.digest == DIGEST
    assert not verdict.bare


def test_each_active_secret_counts_and_a_blank_one_never():
    assert judge(HEADER, secrets=["newest", "whsec_test"]).is_valid
    assert judge(HEADER, secrets=["newest"]).result is Result.WRONG
    assert judge(sign("", BODY, T), secrets=["", "whsec_test"]).result is Result.WRONG
    assert judge(HEADER, secrets=[]).result is Result.ABSENT
    assert judge(HEADER, secrets=[""]).result is Result.ABSENT


@pytest.mark.parametrize("header", [None, "", "  "])
def test_no_header_is_absent(header):
    assert judge(header).result is Result.ABSENT


@pytest.mark.parametrize(
    ("seconds", "result"),
    [
        (0, Result.VALID),
        (300, Result.VALID),
        (301, Result.STALE),
        (-300, Result.VALID),
        (-301, Result.STALE),
    ],
)
def test_a_signature_off_by_more_than_five_minutes_is_stale(seconds, result):
    verdict = judge(HEADER, now=float(T + seconds))
    assert verdict.result is result
    assert verdict.digest == DIGEST


def test_another_body_or_time_is_wrong():
    assert judge(HEADER, b'{"a":2}').result is Result.WRONG
    assert judge(f"t={T + 1},v1={DIGEST}").result is Result.WRONG
    # The time is signed as it was received: a leading zero is another text.
    assert judge(f"t=0{T},v1={DIGEST}").result is Result.WRONG
    assert judge(sign("whsec_test", BODY, f"0{T}")).is_valid
    # An old forgery is wrong, not merely stale.
    assert judge(f"t=1,v1={DIGEST}").result is Result.WRONG


@pytest.mark.parametrize(
    "header",
    [
        "hello",
        f"t={T}",
        f"v1={DIGEST}",
        f"t=,v1={DIGEST}",
        f"t=-5,v1={DIGEST}",
        f"t=1e9,v1={DIGEST}",
        f"t=\u0661\u0667,v1={DIGEST}",
        f"t={T},t={T},v1={DIGEST}",
        f"t={T},v1={DIGEST[:-1]}",
        f"t={T},v1={'é' * 64}",
        f"t={T},v2={DIGEST}",
        ",,,=",
        f"t={'9' * 4000},v1={DIGEST}",
    ],
)
def test_other_forms_are_malformed(header):
    assert judge(header).result is Result.MALFORMED


def test_the_bare_form_is_taken_only_on_request():
    assert judge(BARE).result is Result.MALFORMED
    assert judge(BARE).bare
    verdict = judge(BARE, allow_bare=True)
    assert verdict.is_valid
    assert verdict.bare
    assert verdict.digest == BARE
    assert judge(BARE, b"{}", allow_bare=True).result is Result.WRONG
    assert judge(HEADER, allow_bare=True).is_valid


def test_bodies_are_bytes_of_any_kind():
    raw = b"\xff\x00sessionId=HD_1"
    assert judge(sign("whsec_test", raw, T), raw).is_valid
