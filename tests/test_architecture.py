"""Imports point one way, and domain modules know nothing of the edges."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("callcenter", "agents", "queues", "reporting")
# The edges of an app, which may import any app; what is left are its models and domain modules.
EDGES = {
    "admin", "api", "apps", "bells", "pages", "receiving", "serializers", "tasks", "urls", "views",
    "webhooks",
}  # fmt: skip
BELOW = {"agents": 1, "queues": 2, "reporting": 3}
OUTSIDE = {"celery", "requests", "redis", "rest_framework", "drf_spectacular", "unfold"}


def modules(*packages: str) -> Iterator[tuple[str, Path]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts and "management" not in path.parts:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path: Path, *, at_run_time_too: bool = True) -> set[str]:
    """The modules that a file imports; `from a import b` counts as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_edge(name: str) -> bool:
    """Whether a module is an edge: `agents.api`, `queues.admin.words`, `reporting.views_calls`."""
    kinds = {part.partition("_")[0] for part in name.split(".")[1:]}
    return bool(EDGES & kinds) or "templatetags" in name


DOMAIN = [
    pytest.param(name, path, id=name)
    for name, path in modules("agents", "queues", "reporting")
    if not is_edge(name)
]
ALL = [pytest.param(name, path, id=name) for name, path in modules(*PRODUCT)]
OUTBOX = [pytest.param(name, path, id=name) for name, path in modules("callcenter/outbox")]
SAUTIKIT = [pytest.param(name, path, id=name) for name, path in modules("callcenter/sautikit")]


@pytest.mark.parametrize(("name", "path"), DOMAIN)
def test_a_domain_module_imports_no_app_above_its_own(name, path):
    own = BELOW[name.split(".")[0]]
    above = {i for i in imports(path) if BELOW.get(i.split(".")[0], 0) > own}
    assert above == set()


@pytest.mark.parametrize(("name", "path"), DOMAIN)
def test_a_domain_module_imports_neither_broker_nor_http_nor_rest_framework(name, path):
    assert {i for i in imports(path) if i.split(".")[0] in OUTSIDE} == set()


@pytest.mark.parametrize(("name", "path"), DOMAIN)
def test_a_domain_module_imports_no_edge(name, path):
    ours = {i for i in imports(path) if i.split(".")[0] in BELOW}
    assert {i for i in ours if is_edge(i)} == set()
    assert {i for i in imports(path) if i.startswith(("django.http", "django.shortcuts"))} == set()


@pytest.mark.parametrize(("name", "path"), ALL)
def test_the_product_never_imports_the_simulator_or_the_tests(name, path):
    assert {i for i in imports(path) if i.split(".")[0] in {"simulator", "tests", "bench"}} == set()


@pytest.mark.parametrize(("name", "path"), SAUTIKIT)
def test_the_wire_is_a_leaf(name, path):
    """No models, no Django, nothing of ours but itself and the version."""
    found = imports(path)
    assert {i for i in found if i.split(".")[0] in {"django", "rest_framework", *BELOW}} == set()
    ours = {i for i in found if i.split(".")[0] == "callcenter"}
    assert {
        i for i in ours if not i.startswith("callcenter.sautikit") and i != "callcenter"
    } == set()


@pytest.mark.parametrize(("name", "path"), OUTBOX)
def test_the_outbox_is_a_leaf(name, path):
    """It knows neither calls nor agents; its domain modules know no edge either."""
    found = imports(path)
    assert {i for i in found if i.split(".")[0] in BELOW} == set()
    assert {i for i in found if i.startswith(("callcenter.sautikit", "callcenter.launch"))} == set()
    if not is_edge(name):
        assert {i for i in found if i.split(".")[0] in OUTSIDE} == set()
        assert {i for i in found if i.startswith("callcenter.outbox") and is_edge(i)} == set()


def test_transitions_are_a_leaf():
    for name, known in {
        "transitions": {"callcenter", "callcenter.together"},
        "together": set(),
    }.items():
        found = imports(ROOT / "callcenter" / f"{name}.py")
        assert {i for i in found if i.split(".")[0] in {"callcenter", *BELOW}} <= known


@pytest.mark.parametrize(("name", "path"), ALL)
def test_only_the_wire_package_sends_http(name, path):
    found = imports(path)
    if not name.startswith("callcenter.sautikit"):
        assert {i for i in found if i.split(".")[0] in {"requests", "urllib3"}} == set()
    judged = {"callcenter.outbox.sending", "callcenter.downloads"}
    if name not in judged | {"callcenter.launch.stack"}:  # and our own
        assert {i for i in found if i.startswith("http.client")} == set()


@pytest.mark.parametrize(("name", "path"), ALL)
def test_no_module_is_named_for_not_having_found_a_subject(name, path):
    assert name.split(".")[-1] not in {"utils", "helpers", "common", "managers", "misc"}


@pytest.mark.parametrize(("name", "path"), DOMAIN)
def test_a_domain_module_does_not_read_the_clock_behind_the_callers_back(name, path):
    """Time is an argument (`at=`); `default=timezone.now` of a column is no call."""
    if name in {"callcenter.ids"}:
        return
    calls = {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    }
    assert calls & {"timezone.now", "datetime.now", "time.time"} == set()


def test_the_walls_are_found_by_these_tests():
    """The rules above would be hollow if the modules were not found."""
    names = {param.id for param in DOMAIN}
    assert {"queues.routing", "queues.calls", "agents.presence", "reporting.metrics"} <= names
    assert not {"queues.webhooks", "queues.api", "agents.views"} & names
    assert len(SAUTIKIT) >= 10
    assert {"callcenter.outbox.writing", "callcenter.outbox.sending"} <= {p.id for p in OUTBOX}
