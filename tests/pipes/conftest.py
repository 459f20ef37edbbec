"""What the tests of pipes share."""

import pytest

from tests.support.loops import Factory, Run, reporting_runner_of


@pytest.fixture
def run(factory: Factory) -> Run:
    """Run a coroutine on a new loop; what reaches the exception handler is answered second."""
    return reporting_runner_of(factory)


@pytest.fixture(autouse=True)
def no_descriptor_left(descriptors_as_before: None) -> None:
    """No test leaves a descriptor open."""
