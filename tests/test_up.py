"""How the whole thing starts and stops: `up.py`, `manage.py` and what is behind them."""

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import environ
import pytest

import manage
from callcenter.launch import ROOT, commands, dotenv, environment, place, stack
from callcenter.launch.place import Address, Place
from callcenter.launch.processes import CannotStart, Child, Stopped, run, stop, trim

GOOD = {
    "SECRET_KEY": "k3Yw0rds-are-not-secret-in-a-test-0123456789-abcdef",
    "PUBLIC_BASE_URL": "https://calls.example.test",
    "SAUTIKIT_API_KEY": "key",
    "SAUTIKIT_NUMBER": "+254200000100",
    "SAUTIKIT_WEBHOOK_TOKEN": "a-token-of-sixteen.or_more",
}


@pytest.fixture
def var(tmp_path, monkeypatch) -> Path:
    """A `var/` of the test's own, whatever runs in the real one."""
    monkeypatch.setattr(place, "VAR", tmp_path / "var")
    return tmp_path / "var"


def sleeper(log: Path, program: str = "import time; time.sleep(60)", **options) -> Child:
    return Child("sleeper", [sys.executable, "-c", program], log, **options)


def up(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if name not in GOOD}
    return subprocess.run(
        [sys.executable, "up.py", *arguments],
        cwd=ROOT,
        env={**clean, "DOTENV": "off", **settings},
        capture_output=True,
        text=True,
        check=False,
    )


# --- Settings ----------------------------------------------------------------------------------


def test_a_dotenv_file_means_what_django_environ_takes_it_for(tmp_path, monkeypatch):
    text = (
        "# a comment\n\nPLAIN=a b#c \nEMPTY=\nexport EXPORTED=1\nSINGLE='it''s \\n'\n"
        'DOUBLE="say \\"hi\\" \\n"\nURL=redis://:p=w@127.0.0.1:1/0\nno setting\n BAD=1\nODD=\'\n'
    )
    (tmp_path / ".env").write_text(text)
    theirs = {}
    monkeypatch.setattr(environ.Env, "ENVIRON", theirs)
    environ.Env.read_env(tmp_path / ".env")
    assert dotenv.read(tmp_path / ".env") == theirs
    assert theirs["URL"] == "redis://:p=w@127.0.0.1:1/0"


def test_no_dotenv_file_is_no_settings_and_a_strange_one_is_a_sentence(tmp_path):
    assert dotenv.read(tmp_path / ".env") == {}
    (tmp_path / ".env").write_bytes(b"SECRET_KEY=\xff")
    with pytest.raises(CannotStart, match="is not UTF-8 text"):
        dotenv.read(tmp_path / ".env")


def test_good_settings_are_taken():
    assert dotenv.problems(GOOD) == []
    assert dotenv.problems({**GOOD, "PUBLIC_BASE_URL": "http://localhost:8000/"}) == []
    assert dotenv.problems({**GOOD, "SAUTIKIT_WEBHOOK_TOKEN": "a" * 16 + "," + "b" * 20}) == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SECRET_KEY", "", "is not set"),
        ("SECRET_KEY", "short", "can be guessed (it has 5 characters, 40 are the least)"),
        ("SECRET_KEY", "a" * 60, "can be guessed"),
        ("SECRET_KEY", "django-insecure-" + GOOD["SECRET_KEY"], "is one that everybody knows"),
        ("PUBLIC_BASE_URL", "", "is not set"),
        ("PUBLIC_BASE_URL", "calls.example.test", "is no address of a site"),
        ("PUBLIC_BASE_URL", "https://calls.example.test:no", "is no address"),
        ("PUBLIC_BASE_URL", "https://example.test/calls", "has a path (/calls)"),
        ("PUBLIC_BASE_URL", "http://calls.example.test", "is plain http off this machine"),
        ("SAUTIKIT_API_KEY", " ", "is not set"),
        ("SAUTIKIT_NUMBER", "", "is not set"),
        ("SAUTIKIT_NUMBER", "0200000100", "is no number"),
        ("SAUTIKIT_WEBHOOK_TOKEN", "", "is not set"),
        ("SAUTIKIT_WEBHOOK_TOKEN", "too-short", "can be guessed"),
        (
            "SAUTIKIT_WEBHOOK_TOKEN",
            "sixteen-and-a-?mark",
            "has a character that a URL would change",
        ),
    ],
)
def test_each_bad_setting_gets_one_sentence_with_its_name(name, value, reason):
    (problem,) = dotenv.problems({**GOOD, name: value})
    assert problem.startswith(f"{name} {reason}")


def test_a_setting_may_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text(GOOD["SECRET_KEY"] + "\n")
    settings = {**GOOD, "SECRET_KEY": "", "SECRET_KEY_FILE": str(tmp_path / "key")}
    assert dotenv.problems(settings) == []
    with pytest.raises(CannotStart, match="SECRET_KEY_FILE names /nonexistent"):
        dotenv.problems({**settings, "SECRET_KEY_FILE": "/nonexistent"})


def test_a_copy_of_the_example_says_which_five_settings_are_missing():
    problems = dotenv.problems(dotenv.read(ROOT / ".env.example"))
    assert [problem.split()[0] for problem in problems] == list(GOOD)
    assert all("is not set" in problem for problem in problems)


def test_run_without_settings_stops_with_sentences_before_anything_starts():
    done = up("run")
    assert done.returncode == 1
    assert all(f"  {name} is not set: " in done.stdout for name in GOOD)
    assert done.stderr == ""


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "²"])
def test_a_port_that_is_none_is_a_sentence(port):
    done = up("run", PORT=port, **GOOD)
    assert done.returncode == 1
    assert done.stdout.startswith("PORT is")
    assert done.stderr == ""


# --- Where it lives ----------------------------------------------------------------------------


def test_a_port_in_use_names_the_setting():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port} is in use .* set PORT"):
            Address("127.0.0.1", port).check_free()
        with pytest.raises(CannotStart, match="is in use"):
            Address("0.0.0.0", port).check_free()
    Address("127.0.0.1", port).check_free()


def test_a_host_that_is_not_ours_names_the_setting():
    with pytest.raises(CannotStart, match=r"HOST is '192\.0\.2\.1'"):
        Address("192.0.2.1", 8000).check_free()


def test_the_demo_never_leaves_loopback():
    assert Address.of("demo", {"HOST": "0.0.0.0"}).host == "127.0.0.1"
    assert Address.of("run", {"HOST": "0.0.0.0", "PORT": "81"}).url == "http://127.0.0.1:81"


def test_a_second_start_is_told_who_runs(var):
    with Place("demo").claimed("http://127.0.0.1:8000"):
        with (
            pytest.raises(CannotStart, match=rf"process {os.getpid()}, http://127.0.0.1:8000"),
            Place("demo").claimed(),
        ):
            pass
        with Place("run").claimed():
            pass
        assert Place("demo").holder() == os.getpid()
    assert Place("demo").holder() == 0


def test_secrets_of_the_demo_stay_and_are_private(var):
    with Place("demo").claimed():
        first = Place("demo").kept_secret("secret-key")
        assert Place("demo").kept_secret("secret-key") == first
    assert len(first) > 50
    assert (var / "demo" / "secret-key").stat().st_mode & 0o077 == 0


def test_manage_finds_a_running_demo_and_only_a_running_one(var, monkeypatch):
    for name in (*dotenv.PLACEHOLDERS, "DOTENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOTENV", "off")
    demo = Place("demo")
    with demo.claimed():
        demo.services.write_text(
            '{"environment": {"DATABASE_URL": "postgres://x", "SECRET_KEY": "k"}}'
        )
        manage.settle_servers("shell")
        assert os.environ["DATABASE_URL"] == "postgres://x"
        assert os.environ["SECRET_KEY"] == "k"
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(SystemExit, match="`shell` needs the database, and none is running"):
        manage.settle_servers("shell")
    manage.settle_servers("makemigrations")
    assert os.environ["DATABASE_URL"] == dotenv.PLACEHOLDERS["DATABASE_URL"]


# --- The environment ---------------------------------------------------------------------------


def test_dev_requirements_do_for_run_but_not_the_other_way_round(tmp_path, monkeypatch):
    files = {"run": tmp_path / "requirements.txt", "dev": tmp_path / "requirements-dev.txt"}
    for file in files.values():
        file.write_text(file.name)
    monkeypatch.setattr(environment, "_FILES", files)
    monkeypatch.setattr(environment, "_STAMP", tmp_path / "stamp")
    python = environment._own_version()
    assert not environment._is_current("run")
    (tmp_path / "stamp").write_text(f"run {environment._digest('run')} {python}\n")
    assert environment._is_current("run")
    assert not environment._is_current("dev")
    (tmp_path / "stamp").write_text(f"dev {environment._digest('dev')} {python}\n")
    assert environment._is_current("run")
    assert environment._is_current("dev")
    files["dev"].write_text("a newer one")
    assert not environment._is_current("run")


def test_a_python_without_venv_says_what_to_install(monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CannotStart, match="apt-get install python3-venv"):
        environment._make(afresh=False)


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=3_000_000)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CannotStart, match=r"3 MB are free and this takes 150 MB"):
        environment.need_space(tmp_path / "not" / "there", 150)


def test_an_older_python_can_read_far_enough_to_say_that_it_is_old():
    ast.parse((ROOT / "up.py").read_text(), feature_version=(3, 6))


def test_an_unknown_command_shows_the_known_ones(capsys, monkeypatch):
    monkeypatch.setattr(commands.signal, "signal", lambda *_: None)
    assert commands.main(["dmeo"]) == 2
    assert "There is no command 'dmeo'" in capsys.readouterr().out


# --- Processes ---------------------------------------------------------------------------------


def test_a_command_that_fails_shows_the_end_of_its_log(tmp_path):
    child = sleeper(tmp_path / "log", "print('why'); raise SystemExit(3)")
    with pytest.raises(CannotStart, match=r"sleeper ended \(exit code 3\)[^$]*why"):
        run(child)


def test_a_disk_that_fills_up_is_called_full(tmp_path):
    child = sleeper(tmp_path / "log", "raise SystemExit('write: No space left on device')")
    with pytest.raises(CannotStart, match=r"^The disk is full"):
        run(child)


def test_stopping_asks_and_then_kills_who_does_not_listen(tmp_path):
    deaf = "import signal, time; signal.signal(15, 1); print(1, flush=True); time.sleep(60)"
    children = [
        sleeper(tmp_path / "kind"),
        sleeper(tmp_path / "deaf", deaf, grace=0.3),
    ]
    for child in children:
        child.start()
    while not children[1].last_lines():
        time.sleep(0.01)
    stop(children)
    assert [child.exit_code for child in children] == [-signal.SIGTERM, -signal.SIGKILL]


def test_a_dead_leader_leaves_no_child_behind(tmp_path):
    program = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    child = sleeper(tmp_path / "log", program)
    child.start()
    while not child.last_lines():
        time.sleep(0.01)
    orphan = int(child.last_lines())
    os.kill(child.pid, signal.SIGKILL)
    stop([child])
    began = time.monotonic()
    while stack.started_at(orphan) and time.monotonic() - began < 5:
        time.sleep(0.01)
    assert not stack.started_at(orphan)


def test_what_dies_while_up_is_started_again(var, monkeypatch, capsys):
    class Quick:
        """Signals, but Stopped comes once the child was replaced."""

        hurry = False
        reload = False

        def pause(self, _: float) -> None:
            if child.pid != first and child.alive:
                raise Stopped
            time.sleep(0.01)

        def wait(self, seconds: float) -> None:
            time.sleep(seconds)

    monkeypatch.setattr(stack, "_BACK_OFF", (0,))
    demo = Place("demo")
    with demo.claimed():
        child = sleeper(demo.log("worker"))
        child.start()
        first = child.pid
        running = stack.Stack(demo, Address("127.0.0.1", 8000), {}, Quick())
        running._programs.append(child)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(Stopped):
            running._watch()
        assert "sleeper ended (SIGKILL)" in capsys.readouterr().out
        assert str(child.pid) in demo.services.read_text()
        running.stop()
    assert not child.alive
    assert not demo.services.exists()


def test_a_log_that_grows_is_cut_and_its_old_part_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("callcenter.launch.processes._LOG_LIMIT", 10)
    log = tmp_path / "web.log"
    log.write_text("a line that is longer")
    trim(log)
    assert log.read_text() == ""
    assert (tmp_path / "web.log.1").read_text() == "a line that is longer"
