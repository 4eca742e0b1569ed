"""Known vulnerabilities of the dependencies: found, accepted for a while, or not to be known."""

import datetime
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from callcenter.launch import audit
from callcenter.launch.processes import CannotStart

TODAY = datetime.date(2026, 11, 22)
ADVISORY = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "summary": "Anybody may do anything.",
    "published": "2026-11-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "left-pad", "ecosystem": "PyPI"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]},
            ],
            "versions": ["1.1.0"],
        }
    ],
}


@pytest.fixture
def requirements(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text(f"left-pad==1.1.0 --hash=sha256:{'0' * 64}\n")
    return path


@pytest.fixture
def advisories(request, sautikit_api):
    """A server of advisories as osv.dev is one; it has those that the test names."""
    if sautikit_api:
        sautikit_api.stop(allow_assert=False)
    known = getattr(request, "param", [])

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"vulns": known} if known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    thread.join()
    server.server_close()
    if sautikit_api:
        sautikit_api.start()


def run(requirements, service, tmp_path, accepted="", **options):
    file = tmp_path / "audit-ignore.txt"
    file.write_text(accepted)
    return audit.audit(requirements=requirements, accepted_in=file, service=service,
                       **{"strict": True, **options})  # fmt: skip


@pytest.mark.parametrize("advisories", [[ADVISORY]], indirect=True)
def test_a_known_vulnerability_fails_and_says_where_it_is_fixed(
    requirements, advisories, tmp_path, capsys
):
    assert run(requirements, advisories, tmp_path, strict=False) == 1
    assert "left-pad 1.1.0 has GHSA-aaaa-bbbb-cccc: fixed in 1.2.0." in capsys.readouterr().out


@pytest.mark.parametrize("advisories", [[ADVISORY]], indirect=True)
def test_one_that_is_accepted_does_not_until_its_day(requirements, advisories, tmp_path):
    line = "GHSA-aaaa-bbbb-cccc until {} padded by us only\n"
    assert run(requirements, advisories, tmp_path, line.format("2999-01-01")) == 0
    assert run(requirements, advisories, tmp_path, line.format("2026-01-01")) == 1


def test_none_known_is_said(requirements, advisories, tmp_path, capsys):
    assert run(requirements, advisories, tmp_path) == 0
    assert "No known vulnerability in requirements.txt." in capsys.readouterr().out


def test_no_answer_is_an_error_only_if_asked_for(requirements, tmp_path, capsys):
    nobody = "http://127.0.0.1:9/v1/query"
    assert run(requirements, nobody, tmp_path, strict=False) == 0
    assert "nothing is known" in capsys.readouterr().out
    assert run(requirements, nobody, tmp_path, strict=True) == 1


def test_it_never_hangs(requirements, tmp_path):
    assert run(requirements, "http://127.0.0.1:9/", tmp_path, strict=False, patience=0.01) == 0


def test_a_line_of_the_file_needs_its_date_and_reason():
    good = "# a comment\n\nGHSA-aaaa-bbbb-cccc until 2026-11-22 not our use of it\n"
    assert audit.ignored(good, TODAY) == ["GHSA-aaaa-bbbb-cccc"]
    for bad in ("GHSA-aaaa-bbbb-cccc", "GHSA-aaaa-bbbb-cccc until 2026-13-01 why",
                "GHSA-aaaa-bbbb-cccc until 2026-11-30"):  # fmt: skip
        with pytest.raises(CannotStart, match=r"audit-ignore\.txt has a line"):
            audit.ignored(bad, TODAY)


def test_the_file_of_the_project_is_readable():
    audit.ignored(audit.IGNORED.read_text(), TODAY)
