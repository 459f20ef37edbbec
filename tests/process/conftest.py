"""What the tests of processes share."""

from collections.abc import Iterator

import pytest

from tests.support.descriptors import children
from tests.support.loops import Factory, Run, reporting_runner_of


@pytest.fixture
def run(factory: Factory) -> Run:
    """Run a coroutine on a new loop; what reaches the exception handler is answered second."""
    return reporting_runner_of(factory)


@pytest.fixture(autouse=True)
def nothing_left(descriptors_as_before: None) -> Iterator[None]:
    """No test leaves a descriptor open, or a child, dead or alive."""
    before = children()
    yield
    assert children() == before
