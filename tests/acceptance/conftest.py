"""One stack for the session; for each test a clean simulator, and agents and queues of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.centre import Centre
from tests.acceptance.own_stack import OwnStack
from tests.acceptance.stack import WholeStack

_HERE = Path(__file__).parent
_stacks: list[WholeStack] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.acceptance)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """A test that fails shows what the processes logged last."""
    report = yield
    if report.failed and _HERE in item.path.parents:
        for stack in _stacks:
            report.sections.append(("the processes' logs", stack.tails()))
    return report


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeStack]:
    """Web, worker, beat and simulator, up; all of it down again at the end, however it comes."""
    whole = WholeStack(tmp_path_factory.mktemp("stack"), dict(os.environ))
    whole.start()
    _stacks.append(whole)
    try:
        yield whole
        whole.audit()  # whatever was tested, the books are balanced afterwards
    finally:
        _stacks.remove(whole)
        whole.stop()


@pytest.fixture
def centre(stack: WholeStack) -> Iterator[Centre]:
    """The product and the provider, with no call left from another test."""
    centre = Centre(stack)
    try:
        yield centre
    finally:
        centre.leave()


@pytest.fixture(scope="session")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStack]:
    """A stack with servers of its own: every part of it may be killed."""
    own = OwnStack(tmp_path_factory.mktemp("own"))
    own.start()
    _stacks.append(own)
    try:
        yield own
        own.audit()
    finally:
        _stacks.remove(own)
        own.stop()


@pytest.fixture
def own_centre(own_stack: OwnStack) -> Iterator[Centre]:
    """The product and the provider on the stack whose parts may be killed."""
    own_stack.until_up()
    centre = Centre(own_stack)
    try:
        yield centre
    finally:
        own_stack.until_up()
        centre.leave()
