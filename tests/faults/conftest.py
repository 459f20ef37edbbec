"""What the tests of faults share: a watch on what a test leaves behind."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.descriptors import children
from tests.support.loops import FACTORIES, Run, runner_of


@pytest.fixture(params=FACTORIES)
def name(request: pytest.FixtureRequest) -> str:
    """Name the loop: once stock asyncio's, which shows that the scenario is right, once ours."""
    return request.param


@pytest.fixture
def run(name: str) -> Run:
    """Run a coroutine on a new loop of that name."""
    return runner_of(FACTORIES[name])


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch, descriptors_as_before: None) -> Iterator[None]:
    """No test leaves a descriptor open, or a child, or an exception that nobody heard of."""
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: unraisable.append(it.exc_value))
    before = children()
    yield
    assert children() == before
    assert unraisable == []
