"""What the tests of the network share."""

import re
from collections.abc import Iterator

import pytest

from .peers import Serving


def exactly(message: str) -> str:
    """Return the pattern of an error whose whole text is ``message``."""
    return f"^{re.escape(message)}$"


@pytest.fixture(autouse=True)
def made() -> Iterator[list[Serving]]:
    """Keep the protocols that the servers of one test make."""
    Serving.made.clear()
    yield Serving.made
    Serving.made.clear()


@pytest.fixture(autouse=True)
def no_descriptor_left(descriptors_as_before: None) -> None:
    """No test leaves a descriptor open."""
