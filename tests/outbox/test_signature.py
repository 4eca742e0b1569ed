"""The signature that receivers check: known vectors, rotation, and the example in the document."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callcenter.outbox import signature

PAGE = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"
# The example of the Standard Webhooks specification and its libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
UID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
SENT_AT = 1614265330
AT = datetime.fromtimestamp(SENT_AT, UTC)
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_vector_of_the_specification():
    assert signature.headers(UID, BODY, [SECRET], at=AT) == {
        "webhook-id": UID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNED,
    }


def test_each_secret_signs_the_newest_first():
    other = signature.new_secret()
    both = signature.headers(UID, BODY, [other, SECRET], at=AT)["webhook-signature"]
    first, second = both.split(" ")
    assert second == SIGNED
    assert first != second
    assert [first] == [signature.headers(UID, BODY, [other], at=AT)["webhook-signature"]]


def test_a_new_secret_is_32_random_bytes():
    import base64

    made = {signature.new_secret() for _ in range(50)}
    assert len(made) == 50
    assert {len(base64.b64decode(each.removeprefix("whsec_"))) for each in made} == {32}


class TestTheReceiversExample:
    @pytest.fixture
    def is_genuine(self):
        """The function as a receiving developer would copy it from the document."""
        [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
        names: dict = {}
        exec(code, names)
        return lambda *args, now=SENT_AT: names["is_genuine"](*args, now=now)

    def headers(self, *secrets):
        return signature.headers(UID, BODY, secrets or [SECRET], at=AT)

    def test_it_takes_what_we_sign(self, is_genuine):
        assert is_genuine(self.headers(), BODY, SECRET)

    def test_it_takes_either_secret_while_one_is_being_replaced(self, is_genuine):
        new = signature.new_secret()
        both = self.headers(new, SECRET)
        assert is_genuine(both, BODY, SECRET)
        assert is_genuine(both, BODY, new)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("webhook-id", "msg_other"), ("webhook-timestamp", "1614265331"),
         ("webhook-timestamp", "soon"), ("webhook-signature", "v1,AAAA"),
         ("webhook-signature", SIGNED.replace("v1,", "v2,")), ("webhook-signature", "")],
    )  # fmt: skip
    def test_it_refuses_a_changed_header(self, is_genuine, name, value):
        assert not is_genuine({**self.headers(), name: value}, BODY, SECRET)

    def test_it_refuses_another_body_another_secret_and_an_old_time(self, is_genuine):
        assert not is_genuine(self.headers(), BODY + b" ", SECRET)
        assert not is_genuine(self.headers(), BODY, signature.new_secret())
        assert is_genuine(self.headers(), BODY, SECRET, now=SENT_AT + 299)
        assert not is_genuine(self.headers(), BODY, SECRET, now=SENT_AT + 301)
        assert not is_genuine(self.headers(), BODY, SECRET, now=SENT_AT - 301)
