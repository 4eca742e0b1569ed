"""A place that is not as it should be: each fault is a sentence that says what to do.

They are tried as an ordinary user too, with the system's Python: root may write everywhere.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from callcenter.launch import ROOT, console, place
from callcenter.launch.place import Address, Place
from callcenter.launch.processes import CannotStart

PROGRAM = """
import sys, types
sys.path.insert(0, {root!r})
package = types.ModuleType("callcenter")
package.__path__ = [{root!r} + "/callcenter"]
sys.modules["callcenter"] = package
from pathlib import Path
from callcenter.launch import place
from callcenter.launch.console import sentence
from callcenter.launch.processes import CannotStart
place.VAR = Path({var!r})
try:
    with place.Place("run").claimed():
        print("claimed")
except (CannotStart, OSError) as problem:
    print(sentence(problem))
"""


@pytest.fixture
def as_nobody(tmp_path):
    """Claim `var/run` as the user nobody; return the sentence."""
    python = "/usr/bin/python3"
    can_be = os.geteuid() == 0 and shutil.which("setpriv") and Path(python).exists()
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    seen = f"import pathlib, sys; sys.exit(not (pathlib.Path({str(ROOT)!r}) / 'up.py').exists())"
    if not can_be or subprocess.run([*become, python, "-c", seen], check=False).returncode:
        pytest.skip("only root can become another user, who must be able to read the checkout")
    for closed in (tmp_path, *tmp_path.parents):
        if closed.name.startswith(("pytest-", "popen-")) or closed == tmp_path:
            closed.chmod(0o711)

    def claim() -> str:
        program = PROGRAM.format(root=str(ROOT), var=str(tmp_path / "var"))
        done = subprocess.run(
            [*become, python, "-c", program], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return claim


@pytest.fixture
def var(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "VAR", tmp_path / "var")
    return tmp_path / "var"


class TestAsAnOrdinaryUser:
    def test_a_place_of_its_own_is_fine(self, as_nobody, var):
        var.mkdir()
        os.chown(var, 65534, 65534)
        assert as_nobody() == "claimed"

    def test_a_var_of_another_user_is_a_sentence(self, as_nobody, var):
        var.mkdir(mode=0o755)
        assert as_nobody() == (
            f"{var}/run cannot be written (Permission denied): it belongs to another user, or was "
            "made by one. Start as that user, or move it away."
        )

    @pytest.mark.parametrize("name", ["lock", "log"])
    def test_what_another_user_left_in_it_is_a_sentence(self, as_nobody, var, name):
        (var / "run").mkdir(parents=True)
        (var / "run" / name).mkdir() if name == "log" else (var / "run" / name).touch()
        for path in (var, var / "run"):
            os.chown(path, 65534, 65534)
        told = as_nobody()
        assert told.startswith(f"{var}/run/{name} cannot be written (")
        assert told.endswith("Start as that user, or move it away.")


class TestAsAnybody:
    @pytest.mark.parametrize("name", ["", "run", "run/log"])
    def test_a_file_where_a_directory_should_be_is_a_sentence(self, var, name):
        (var / name).parent.mkdir(parents=True, exist_ok=True)
        (var / name).write_text("a file")
        with (
            pytest.raises((FileExistsError, NotADirectoryError)) as problem,
            Place("run").claimed(),
        ):
            pass
        assert "is in the way of a directory of ours: move it away" in console.sentence(
            problem.value
        )
        assert (var / name).read_text() == "a file"

    def test_a_disk_that_is_read_only_is_not_taken_for_another_users(self):
        told = console.sentence(OSError(30, "Read-only file system", "/data"))
        assert told == "/data is on a disk that is read-only: mount it for writing."

    @pytest.mark.parametrize("left", ["", "4711 http://127.0.0.1:8000", "garbage", "\0\0"])
    def test_a_lock_file_that_a_crash_left_behind_stops_nobody(self, var, left):
        Place("run").make()
        (var / "run/lock").write_text(left)
        assert Place("run").holder() == 0
        with Place("run").claimed():
            assert Place("run").holder() == os.getpid()

    @pytest.mark.parametrize("left", ["", "[]", '{"processes": 1}', '{"processes": {"web": [1]}}'])
    def test_what_a_crash_left_of_the_list_of_processes_stops_nobody(self, var, left):
        from callcenter.launch.stack import Stack

        Place("run").make()
        Place("run").services.write_text(left)
        Stack(Place("run"), Address("127.0.0.1", 8000), {}, None)._end_leftovers()

    def test_a_machine_that_speaks_ipv6_only(self):
        for host, url in (("::", "http://[::1]:"), ("::1", "http://[::1]:")):
            address = Address(host, 0)
            assert address.url.startswith(url)
            try:
                address.check_free()
            except CannotStart as problem:  # a machine without IPv6
                assert "this machine cannot listen there" in str(problem)  # noqa: PT017
