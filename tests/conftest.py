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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for runs that test a setting of Ouroloop's."""
    parser.addoption(
        "--native-only", action="store_true", help="leave out the runs of tests on stock asyncio"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Obey ``--native-only``."""
    if not config.getoption("--native-only"):
        return
    left_out = [item for item in items if on_stock_asyncio(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not on_stock_asyncio(item)]


def on_stock_asyncio(item: pytest.Item) -> bool:
    """Whether a test's parameters say that it runs on stock asyncio."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(isinstance(value, str) and value in ("asyncio", "stock") for value in parameters)


@pytest.fixture(autouse=True, scope="session")
def no_collection_skips_anything_afterwards() -> Iterator[None]:
    """Undo what ``collections_are_quick`` does."""
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="module")
def collections_are_quick() -> None:
    """What stands when a file begins (modules, reports) is no garbage: the file's many collections skip it."""
    gc.collect()
    gc.freeze()


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
