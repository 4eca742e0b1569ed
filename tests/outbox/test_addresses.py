"""Where nothing may be sent: our own network, however the address is written."""

import socket

import pytest

from callcenter.outbox.addresses import Refused, Unresolved, parse, resolve

PUBLIC = "93.184.215.14"


@pytest.fixture
def names(monkeypatch):
    """A resolver of the test's own: names and the addresses that they have, one list a look-up."""
    known: dict[str, list[list[str]]] = {}
    asked: list[str] = []

    def look_up(host, port, **kwargs):
        asked.append(host)
        if host not in known:
            numeric = socket.AI_NUMERICHOST
            return real(host, port, type=socket.SOCK_STREAM, flags=numeric)
        answers = known[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "",
             (each, port)) for each in found
        ]  # fmt: skip

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known["asked"] = asked
    return known


def test_a_public_https_address_is_taken_with_what_it_resolved_to(names):
    names["crm.example.com"] = [[PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]]
    target = resolve("https://CRM.example.com./hook?key=1", allow_private=False)
    assert (target.host, target.port, target.path) == ("crm.example.com", 443, "/hook?key=1")
    assert target.addresses == (PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "100.64.0.1", "169.254.169.254", "192.0.0.192", "192.0.2.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.1.1.1",
        "240.0.0.1", "255.255.255.255",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:93.184.215.14]",
        "[::127.0.0.1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]",
        "[2001:db8::1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]", "[100::1]", "[3fff::1]",
    ],
)  # fmt: skip
def test_no_address_of_our_own_or_of_nobody_is_sent_to(names, host):
    with pytest.raises(Refused, match="leads to"):
        resolve(f"https://{host}/", allow_private=False)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "127.0.1", "017700000001",
     "1.2.3.08", "127.0.0.0x1", "10.0.0.256"],
)  # fmt: skip
def test_an_ipv4_address_is_written_as_four_plain_numbers(names, host):
    with pytest.raises(Refused, match="four plain numbers"):
        resolve(f"https://{host}/", allow_private=True)
    assert names["asked"] == []  # refused before any resolver could read it in its own way


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST", "a.localhost"])
def test_a_name_for_this_machine_is_refused_by_where_it_leads(names, host):
    names[host.lower().rstrip(".")] = [["127.0.0.1", "::1"]]
    with pytest.raises(Refused, match=r"127\.0\.0\.1, a private address"):
        resolve(f"https://{host}/", allow_private=False)


def test_one_private_address_among_public_ones_refuses_the_name(names):
    names["half.example.com"] = [[PUBLIC, "10.1.2.3"]]
    with pytest.raises(Refused, match=r"10\.1\.2\.3"):
        resolve("https://half.example.com/", allow_private=False)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://crm.example.com/", "https://"), ("file:///etc/passwd", "https://"),
        ("gopher://crm.example.com/", "https://"), ("//crm.example.com/", "https://"),
        ("", "https://"), ("crm.example.com", "https://"),
        ("https://user@crm.example.com/", "user name"),
        ("https://user:pass@crm.example.com/", "user name"),
        ("https://@crm.example.com/", "user name"),
        ("https://crm.example.com#@10.0.0.1/", "after #"),
        ("https://crm.example.com\\@10.0.0.1/", "character"),
        ("https://crm.example.com/a b", "character"), ("https://crm.example.com/\r\nX: y", "char"),
        ("https://crm.example.com/é", "character"), ("https://127。0。0。1/", "character"),
        ("https:///hook", "host name"), ("https://-a.example.com/", "host name"),
        ("https://a..example.com/", "host name"), ("https://.../", "host name"),
        ("https://a%2eexample.com/", "host name"), ("https://[fe80::1%25eth0]/", "IPv6|URL"),
        ("https://[::1/", "no URL"), ("https://crm.example.com:99999/", "no URL"),
        ("https://crm.example.com:0/", "Port 0"), ("https://crm.example.com:22/", "Port 22"),
        ("https://crm.example.com:25/", "Port 25"), ("https://crm.example.com:5432/", "Port 5432"),
        ("https://crm.example.com:6379/", "Port 6379"),
    ],
)  # fmt: skip
def test_what_is_no_proper_url_is_refused_with_a_sentence(url, says):
    with pytest.raises(Refused, match=says):
        parse(url)


def test_plain_http_is_refused_on_the_internet_whatever_is_allowed(names):
    names["crm.example.com"] = [[PUBLIC]]
    for allowed in (False, True):
        with pytest.raises(Refused, match="use https"):
            resolve("http://crm.example.com/", allow_private=allowed)


def test_a_private_network_may_be_allowed_and_then_plain_http_too(names):
    names["crm.lan"] = [["192.168.1.20"]]
    assert resolve("http://crm.lan:8080/", allow_private=True).addresses == ("192.168.1.20",)
    assert resolve("http://[::1]:8080/", allow_private=True).addresses == ("::1",)


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "[fe80::1]", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "[::ffff:169.254.169.254]", "[::ffff:10.0.0.1]", "[::]"],
)  # fmt: skip
def test_metadata_link_local_and_mapped_addresses_are_never_allowed(names, host):
    with pytest.raises(Refused, match="no public address"):
        resolve(f"http://{host}/", allow_private=True)


def test_a_name_that_is_not_known_now_is_no_refusal(names):
    with pytest.raises(Unresolved, match=r"gone\.example\.com cannot be resolved"):
        resolve("https://gone.example.com/", allow_private=False)
