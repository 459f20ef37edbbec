"""What every test may rely on."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import ouroloop
import pytest
import trustme

from tests.support.certificates import Contexts
from tests.support.descriptors import as_before
from tests.support.loops import FACTORIES, Factory, Run, runner_of

RunPython = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True, scope="session")
def collections_are_quick() -> Iterator[None]:
    """What the session has loaded is no garbage: the many collections of the tests skip it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def stock_asyncio_afterwards() -> Iterator[None]:
    """Whatever a test installs, the next one finds asyncio as Python ships it."""
    yield
    ouroloop.uninstall()


@pytest.fixture(params=FACTORIES)
def factory(request: pytest.FixtureRequest) -> Factory:
    """Give what makes a loop, once stock asyncio's and once Ouroloop's."""
    return FACTORIES[request.param]


@pytest.fixture
def run(factory: Factory) -> Run:
    """Run a coroutine, once on stock asyncio and once on Ouroloop."""
    return runner_of(factory)


@pytest.fixture
def run_native() -> Run:
    """Run a coroutine on Ouroloop: for promises that stock asyncio does not make."""
    return runner_of(ouroloop.new_event_loop)


@pytest.fixture(scope="session")
def contexts() -> Contexts:
    """Make an authority, once."""
    return Contexts(trustme.CA())


@pytest.fixture
def descriptors_as_before() -> Iterator[None]:
    """No descriptor is left open."""
    with as_before():
        yield


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """Return ``run(*arguments, stdin="")``: this interpreter, in ``tmp_path``, to its end."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    return run
