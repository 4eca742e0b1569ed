"""A mail server of a few words, as a real one in a thread: for what a mail client can meet."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """What came; `refuses` answers every recipient with 550."""

    port: int = 0
    refuses: bool = False
    silent: bool = False
    got: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Listen on loopback until the block is left."""
    told = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            if told.silent:
                self.rfile.readline()
                return None
            self.say("220 here")
            while line := self.rfile.readline().strip().upper():
                if line.startswith(b"RCPT") and told.refuses:
                    self.say("550 no such mailbox +254711000001")
                elif line == b"DATA":
                    self.say("354 go on")
                    self.take()
                elif line == b"QUIT":
                    return self.say("221 bye")
                else:
                    self.say("250 fine")
            return None

        def take(self) -> None:
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line)
            message = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(message, EmailMessage)
            told.got.append(message)
            self.say("250 taken")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """The other side may leave at any moment."""

    with Server(("127.0.0.1", 0), Handler) as server:
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield told
        server.shutdown()
        thread.join(10)
