"""Phone numbers and SIP addresses: one spelling inside, many outside."""

import re
import unicodedata

ANONYMOUS = "anonymous"

_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_SIP = re.compile(
    r"(?i:sips?):"
    r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%#]{1,96}"  # user (RFC 3261, `#` as softphones write it)
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"  # host
    r"(?::[0-9]{1,5})?"
    r"(?:;[A-Za-z0-9\-_.!~*'()\[\]/:&+$=;%]*)?"  # parameters
)
_SCHEME = re.compile(r"sips?:", re.IGNORECASE)
_PUNCTUATION = re.compile(r"[\s\-()\[\]./\u2010-\u2015\u2212]")
_KENYAN_LOCAL = re.compile(r"0([17][0-9]{8}|[2-689][0-9]{7,8})")  # mobile | area code and line
_KENYAN_BARE = re.compile(r"[17][0-9]{8}")  # a spreadsheet ate the leading zero
_KENYAN_TRUNK = re.compile(r"\+2540(?=[1-9][0-9]{7,8}$)")  # "+254 (0)7.."
# What networks put where a withheld number would be; +266696687 spells "anonymous" on a keypad.
_WITHHELD = {
    "", "anonymous", "restricted", "private", "unknown", "withheld", "unavailable", "blocked",
    "+266696687", "266696687",
}  # fmt: skip


class BadDestination(ValueError):
    """Not a number or SIP address that can be called; the text is a sentence for a person."""


def normalise(raw: str) -> str:
    """Return `raw` as E.164 or as a `sip:` URI, as a person may have typed it.

    Kenyan numbers may be local (`07..`, `01..`, `020..`) or lack the `+`. Any other country's
    need `+` or `00`. Raises BadDestination.
    """
    text = unicodedata.normalize("NFKC", raw).strip()
    if not text:
        raise BadDestination("Enter a phone number or a SIP address.")
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("sip", "sips"):
        uri = f"{scheme.lower()}:{rest}"
        if not is_sip(uri):
            raise BadDestination("A SIP address looks like sip:name@host.example.com.")
        return uri
    number = _dialable(text)
    if number.isascii() and number.isdecimal() and number.startswith("254"):
        number = f"+{number}"
    number = _KENYAN_TRUNK.sub("+254", number)
    if not is_e164(number):
        raise BadDestination(
            "A phone number is written with its country code, like +254700000111; "
            "only Kenyan ones may start with 0."
        )
    return number


def is_e164(value: str) -> bool:
    """Tell whether `value` is `+` and 8 to 15 digits. Form only, not whether it exists."""
    return _E164.fullmatch(value) is not None


def is_sip(dest: str) -> bool:
    """Tell whether `dest` is a whole SIP URI, fit to be dialled."""
    return len(dest) <= 128 and _SIP.fullmatch(dest) is not None


def party(raw: str) -> str:
    """Return the best name for whoever the provider says is at one end; never raises.

    E.164 where it can be made so (bodies may lack the `+`, contract 4.2), `anonymous` for the
    withheld forms, SIP URIs as they are, else the text itself, cut to 128 characters.
    """
    text = raw.strip()
    if text.endswith(">") and "<" in text:  # "Amina" <sip:amina@pbx.example.com>
        text = text[text.rindex("<") + 1 : -1].strip()
    if text.lower().strip("<>\"'") in _WITHHELD:
        return ANONYMOUS
    if _SCHEME.match(text):
        user = text.partition(":")[2].partition("@")[0].lower()
        return ANONYMOUS if user in _WITHHELD else text[:128]
    try:
        return normalise(text)
    except BadDestination:
        number = f"+{_dialable(text)}"
        # Ten digits and no plus is a number without its plus; fewer may be a short code.
        return number if len(number) > 10 and is_e164(number) else text[:128]


def same_party(a: str, b: str) -> bool:
    """Tell whether two spellings mean one party. Two withheld callers are never the same.

    Kenyan numbers are compared on their last nine digits (contract 9), SIP addresses
    without scheme, case and parameters.
    """
    one = _identity(a)
    return one is not None and one == _identity(b)


def masked(number: str) -> str:
    """Return `number` for a log: country code and the last digits, or the SIP host."""
    if "@" in number:
        name, _, host = number.partition("@")
        scheme, colon, user = name.rpartition(":")
        return f"{scheme}{colon}{user[:1]}***@{host}"
    if number == ANONYMOUS or not number:
        return number
    if is_e164(number):
        return f"{number[:4]}***{number[-3:] if len(number) > 11 else number[-2:]}"
    return f"***{number[-2:]}" if len(number) > 5 else "***"


def _identity(raw: str) -> str | None:
    """Return what two spellings of one party share; None where nobody can be told apart."""
    name = party(raw)
    if name == ANONYMOUS:
        return None
    if _SCHEME.match(name) or "@" in name:
        return _SCHEME.sub("", re.split(r"[;?]", name, maxsplit=1)[0]).lower()
    if name.startswith("+254"):
        return f"254:{name[-9:]}"
    return name.lower()


def _dialable(text: str) -> str:
    """Return `text` without `tel:` and punctuation, `00` and Kenyan local forms resolved."""
    number = re.sub(r"^tel:", "", text, flags=re.IGNORECASE).partition(";")[0]
    number = _PUNCTUATION.sub("", unicodedata.normalize("NFKC", number))
    if number.startswith("00"):
        return f"+{number[2:]}"
    if local := _KENYAN_LOCAL.fullmatch(number):
        return f"+254{local[1]}"
    return f"+254{number}" if _KENYAN_BARE.fullmatch(number) else number
