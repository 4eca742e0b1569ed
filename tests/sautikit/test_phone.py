"""One spelling inside, many outside."""

import pytest

from callcenter.sautikit.phone import (
    BadDestination,
    is_e164,
    is_sip,
    masked,
    normalise,
    party,
    same_party,
)


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("+254700000111", "+254700000111"),
        ("0700000111", "+254700000111"),
        ("0110000111", "+254110000111"),
        ("020 000 0101", "+254200000101"),
        ("254700000111", "+254700000111"),
        ("254 700-000-111", "+254700000111"),
        ("00254700000111", "+254700000111"),
        ("700000111", "+254700000111"),  # a spreadsheet ate the zero
        (" +254 (0) 700 000 111 ", "+254700000111"),
        ("+254(700)000.111", "+254700000111"),
        ("\uff0b254700000111", "+254700000111"),  # full-width plus
        ("+254\u00a0700\u2011000\u2011111", "+254700000111"),
        ("tel:+254700000111;phone-context=ke", "+254700000111"),
        ("+44 20 7946 0018", "+442079460018"),
        ("00442079460018", "+442079460018"),
        ("SIP:Agent7@pbx.example.com", "sip:Agent7@pbx.example.com"),
        ("sips:a@h.example.com:5061;transport=tls", "sips:a@h.example.com:5061;transport=tls"),
        ("sip:1001@[2001:db8::1]", "sip:1001@[2001:db8::1]"),
    ],
)
def test_what_a_person_types_becomes_a_destination(raw, number):
    assert normalise(raw) == number
    assert normalise(number) == number
    assert is_e164(number) or is_sip(number)


@pytest.mark.parametrize(
    "raw",
    [
        "", "   ", "abc", "12345", "+1234567", "+1234567890123456", "+0700000111", "07000001",
        "070000011122", "447700900123", "+2547000x0111", "sip:", "sip:agent7", "sip:@host",
        "sip:a b@host", "sip:a@ho st", "sip:a@host\r\nX: y", "sip:a@h,sip:b@h", "http://a@b",
        "client:amina", "sip:a@" + "h" * 200, "+254700000111\n+254700000112", "\u0660\u0667x",
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_refused_with_a_sentence(raw):
    with pytest.raises(BadDestination, match=r"^[A-Z].+\.$"):
        normalise(raw)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("254700000111", "+254700000111"),
        ("+254700000111", "+254700000111"),
        ("0700000111", "+254700000111"),
        ("442079460018", "+442079460018"),  # the wire may leave the plus out
        ("", "anonymous"),
        ("Anonymous", "anonymous"),
        ("RESTRICTED", "anonymous"),
        ("private", "anonymous"),
        ("unknown", "anonymous"),
        ("+266696687", "anonymous"),
        ("sip:anonymous@anonymous.invalid", "anonymous"),
        ("sip:Amina@pbx.example.com", "sip:Amina@pbx.example.com"),
        ('"Amina" <sip:amina@pbx.example.com>', "sip:amina@pbx.example.com"),
        ("client:amina", "client:amina"),
        ("40404", "40404"),
        ("x" * 300, "x" * 128),
    ],
)
def test_every_party_gets_a_name(raw, name):
    assert party(raw) == name


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("+254700000111", "0700000111"),
        ("+254700000111", "254700000111"),
        ("+442079460018", "442079460018"),
        ("sip:Agent7@PBX.example.com", "sip:agent7@pbx.example.com;transport=udp"),
        ("sips:agent7@pbx.example.com", "agent7@pbx.example.com"),
        ("40404", "40404"),
    ],
)
def test_two_spellings_of_one_party_are_the_same(a, b):
    assert same_party(a, b)
    assert same_party(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("+254700000111", "+254700000112"),
        ("+254700000111", "+255700000111"),  # the last nine digits count for Kenya only
        ("anonymous", "anonymous"),  # two strangers
        ("", ""),
        ("sip:a@one.example.com", "sip:a@two.example.com"),
        ("+254700000111", "sip:+254700000111@pbx.example.com"),
    ],
)
def test_two_parties_are_not_the_same(a, b):
    assert not same_party(a, b)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+254700000111", "+254***111"),
        ("+24812345", "+248***45"),
        ("sip:amina@pbx.example.com", "sip:a***@pbx.example.com"),
        ("0700000111", "***11"),
        ("40404", "***"),
        ("anonymous", "anonymous"),
        ("", ""),
    ],
)
def test_a_log_shows_country_and_last_digits_only(number, shown):
    assert masked(number) == shown
