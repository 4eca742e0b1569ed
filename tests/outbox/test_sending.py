"""One POST to a receiver whom we do not trust: over real sockets."""

import socket
import ssl
import threading
import time
from datetime import UTC, datetime

import pytest

from callcenter.outbox import addresses, delivering, sending
from callcenter.outbox.addresses import Target

from .receiver import answers, receiving

SECRETS = ["whsec_bmV3bmV3bmV3bmV3"]
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def post(receiver, **headers):
    target = addresses.resolve(receiver.url, allow_private=True)
    return sending.post(target, b'{"a": 1}', headers)


@pytest.fixture
def impatient(monkeypatch):
    """The time-outs of production, a tenth as long."""
    for name in ("CONNECT_TIMEOUT", "READ_TIMEOUT", "DEADLINE"):
        monkeypatch.setattr(sending, name, getattr(sending, name) / 10)


def test_the_times_are_those_of_the_document():
    assert (sending.CONNECT_TIMEOUT, sending.READ_TIMEOUT, sending.DEADLINE) == (2, 5, 10)


def test_what_is_posted_is_what_arrives(receiver):
    answer = post(receiver, **{"webhook-id": "x"})
    [got] = receiver.got
    assert (answer.is_taken, answer.status, answer.error) == (True, 204, "")
    assert (got.path, got.body, got.headers["webhook-id"]) == ("/hook", b'{"a": 1}', "x")
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Host"] == receiver.url.split("/")[2]


@pytest.mark.parametrize(("status", "reach"), [(400, False), (404, False), (410, False),
                                               (500, False), (429, True), (503, True)])  # fmt: skip
def test_a_refusal_is_one_and_only_some_concern_every_message(receiver, status, reach):
    receiver.behave = answers(status, b"no \x1b[31m thanks\n" * 5000)
    answer = post(receiver)
    assert (answer.is_taken, answer.status) == (False, status)
    assert (answer.error, answer.is_out_of_reach) == (f"answered {status}", reach)
    assert answer.excerpt.startswith("no [31m thanks no [31m")
    assert len(answer.excerpt) == 100


def test_a_redirect_to_loopback_is_not_followed(receiver):
    with receiving() as other:
        receiver.behave = answers(307, Location=other.url)
        answer = post(receiver)
        assert answer.error == "answered 307, a redirect, which is not followed"
        assert (len(receiver.got), other.got) == (1, [])


def test_who_says_nothing_is_left_after_the_read_timeout(receiver, impatient):
    go = threading.Event()
    receiver.behave = lambda handler, number: go.wait(30)
    began = time.monotonic()
    answer = post(receiver)
    took = time.monotonic() - began
    go.set()
    assert (answer.error, answer.is_out_of_reach) == ("did not answer in time", True)
    assert took >= 0.5


def drips(pieces):
    """A behaviour: a byte now and then, each well within the read time-out, for a minute."""

    def behave(handler, number):
        handler.wfile.write(pieces)
        for _ in range(300):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.2)

    return behave


@pytest.mark.parametrize(
    "begins",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n"],
    ids=["status", "headers", "continue"],
)
def test_a_reply_that_trickles_is_cut_at_the_deadline(receiver, impatient, begins):
    receiver.behave = drips(begins)
    began = time.monotonic()
    answer = post(receiver)
    assert answer.error == "took longer than 1 s"
    assert 0.9 <= time.monotonic() - began < 20
    assert answer.is_out_of_reach


def test_a_body_that_trickles_after_a_good_status_is_not_waited_for(receiver):
    receiver.behave = drips(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n")
    began = time.monotonic()
    assert post(receiver).is_taken
    assert time.monotonic() - began < 8


def test_a_huge_reply_is_not_read(receiver):
    sent = []

    def huge(handler, number):
        handler.wfile.write(b"HTTP/1.1 500 No\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            for _ in range(1000):
                handler.wfile.write(b"x" * 1_000_000)
                sent.append(1)
        except OSError:
            sent.append(0)

    receiver.behave = huge
    answer = post(receiver)
    assert (answer.status, len(answer.excerpt)) == (500, 100)
    for _ in range(200):
        if sent and sent[-1] == 0:
            break
        time.sleep(0.05)
    assert sum(sent) < 50  # what the buffers of the two sockets hold, and no more


@pytest.mark.parametrize(
    ("reply", "says"),
    [(b"", "cut the connection"), (b"HTTP/1.1", "not HTTP"), (b"SSH-2.0-x\r\n", "not HTTP"),
     (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
     (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "not HTTP"),
     (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "not HTTP")],
)  # fmt: skip
def test_what_is_no_reply_is_told_in_a_word(receiver, reply, says):
    def behave(handler, number):
        handler.wfile.write(reply)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    receiver.behave = behave
    answer = post(receiver)
    assert says in answer.error
    assert answer.is_out_of_reach


def test_nobody_at_the_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        answer = sending.post(Target(False, "127.0.0.1", port, "/", ("127.0.0.1",)), b"", {})
    assert answer.error == "refused the connection"


def test_the_next_address_of_a_name_is_tried(receiver):
    port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
    answer = sending.post(
        Target(False, "crm.lan", port, "/x", ("127.0.0.77", "127.0.0.1")), b"{}", {}
    )
    assert answer.is_taken
    assert receiver.got[0].headers["Host"] == f"crm.lan:{port}"


class TestRebinding:
    """A name that is public when it is judged and leads to us when it is connected to."""

    @pytest.fixture
    def rebinding(self, monkeypatch):
        answers_ = [["93.184.215.14"], ["127.0.0.1"]]

        def look_up(host, port, *args, **kwargs):
            found = answers_.pop(0) if len(answers_) > 1 else answers_[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def test_the_connection_goes_to_the_address_that_was_judged(self, rebinding, monkeypatch):
        reached = []

        def connect(address, timeout):
            reached.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "create_connection", connect)
        answer = delivering.send("https://rebind.example.com/", "u", b"{}", SECRETS, False, at=NOW)
        assert reached == [("93.184.215.14", 443)]
        assert answer.error == "refused the connection"

    def test_the_next_attempt_judges_anew(self, rebinding, monkeypatch):
        monkeypatch.setattr(socket, "create_connection", lambda *args: pytest.fail("connected"))
        with pytest.raises(pytest.fail.Exception):
            delivering.send("https://rebind.example.com/", "u", b"{}", SECRETS, False, at=NOW)
        answer = delivering.send("https://rebind.example.com/", "u", b"{}", SECRETS, False, at=NOW)
        assert answer.error == "The host leads to 127.0.0.1, a private address."


def test_a_private_address_is_refused_at_each_attempt_too(receiver):
    def send(allowed):
        return delivering.send(receiver.url, "u", b"{}", SECRETS, allowed, at=NOW)

    assert "a private address" in send(False).error
    assert receiver.got == []
    assert send(True).is_taken


def test_the_environments_proxies_are_not_used(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert post(receiver).is_taken


class TestTls:
    @pytest.fixture
    def shop(self, tmp_path):
        """An https server whose certificate no authority has signed; the names asked for."""
        import subprocess

        key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
             cert, "-days", "2", "-subj", "/CN=crm.lan", "-addext", "subjectAltName=DNS:crm.lan"],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        names = []
        context.sni_callback = lambda sock, name, ctx: names.append(name)
        listening = socket.create_server(("127.0.0.1", 0))

        def serve():
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(plain, server_side=True) as secure:
                        while not secure.recv(65536).endswith(b"{}"):
                            pass
                        secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                except OSError:
                    plain.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], cert, names
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, shop):
        port, _, names = shop
        answer = sending.post(Target(True, "crm.lan", port, "/", ("127.0.0.1",)), b"{}", {})
        assert answer.error.startswith("has a certificate that is not accepted: self")
        assert names == ["crm.lan"]

    def test_the_name_counts_though_the_connection_goes_to_an_address(self, shop, monkeypatch):
        port, cert, _ = shop
        trusting = ssl.create_default_context(cafile=str(cert))
        monkeypatch.setattr(sending, "_tls", lambda: trusting)
        target = Target(True, "crm.lan", port, "/", ("127.0.0.1",))
        assert sending.post(target, b"{}", {}).is_taken
        other = Target(True, "other.lan", port, "/", ("127.0.0.1",))
        assert "certificate that is not accepted" in sending.post(other, b"{}", {}).error

    def test_a_handshake_that_never_ends_is_cut(self, impatient):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            answer = sending.post(Target(True, "crm.lan", port, "/", ("127.0.0.1",)), b"", {})
        assert answer.error == "did not answer in time"
