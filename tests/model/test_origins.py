"""Native coroutines know where they were made when their thread wants that known."""

import asyncio
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import ouroloop
import pytest

from tests.support.loops import Factory, Run

Unraisable = Any

MAKERS: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "pause": lambda: asyncio.sleep(0),
    "sleep": lambda: asyncio.sleep(1),
    "queue": lambda: asyncio.Queue[int]().get(),
    "event": lambda: asyncio.Event().wait(),
    "wait_for": lambda: asyncio.wait_for(None, 1),  # type: ignore[arg-type]
}


@pytest.fixture(params=["asyncio", "ouroloop"])
def names(request: pytest.FixtureRequest) -> str:
    """asyncio's own names, and after install()."""
    if request.param == "ouroloop":
        ouroloop.install()
    return str(request.param)


@pytest.fixture(params=MAKERS)
def maker(request: pytest.FixtureRequest, names: str) -> Callable[[], Any]:
    return MAKERS[request.param]


@contextmanager
def depth(frames: int) -> Iterator[None]:
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(frames)
    try:
        yield
    finally:
        sys.set_coroutine_origin_tracking_depth(before)


def inner(make: Callable[[], Any]) -> Any:
    return make()


def outer(make: Callable[[], Any]) -> Any:
    return inner(make)


def functions(coroutine: Any) -> list[str]:
    return [function for _, _, function in coroutine.cr_origin]


def warning_of(make: Callable[[], Any]) -> str:
    """What is said of a coroutine that is made by ``make`` and dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outer(make)
    (warning,) = caught
    assert warning.category is RuntimeWarning
    return str(warning.message)


def test_nothing_unless_asked_for(maker: Callable[[], Any]) -> None:
    coroutine = maker()
    assert coroutine.cr_origin is None
    coroutine.close()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_as_many_frames_as_wanted(maker: Callable[[], Any], frames: int) -> None:
    with depth(frames):
        coroutine = outer(maker)
    assert functions(coroutine) == ["<lambda>", "inner", "outer"][:frames]
    assert {type(line) for _, line, _ in coroutine.cr_origin} == {int}
    assert {file for file, _, _ in coroutine.cr_origin} == {__file__}
    kept = coroutine.cr_origin
    coroutine.close()
    assert coroutine.cr_origin == kept


def test_all_frames_there_are(maker: Callable[[], Any]) -> None:
    with depth(1_000_000):
        coroutine = outer(maker)
    frame: Any = sys._getframe()
    here = []
    while frame is not None:
        here.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    known = [(file, function) for file, _, function in coroutine.cr_origin]
    assert known[3:] == here
    coroutine.close()


@pytest.mark.parametrize("frames", [0, 1, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_warns_as_of_a_standard_coroutine(name: str, frames: int) -> None:
    with depth(frames):
        stock = warning_of(MAKERS[name])
        ouroloop.install()
        native = warning_of(MAKERS[name])
    assert native == stock
    assert ("Coroutine created at (most recent call last)\n" in native) is (frames > 0)


def test_debug_mode_asks(factory: Factory, names: str) -> None:
    async def main() -> Any:
        return outer(lambda: asyncio.sleep(1))

    with asyncio.Runner(loop_factory=factory, debug=True) as runner:
        coroutine = runner.run(main())
    assert functions(coroutine)[:4] == ["<lambda>", "inner", "outer", "main"]
    assert len(coroutine.cr_origin) == 10
    coroutine.close()
    after: Any = asyncio.sleep(1)
    assert after.cr_origin is None
    after.close()


def test_methods_of_a_loop(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with depth(2):
            coroutine: Any = outer(lambda: loop.create_connection(asyncio.Protocol, "", 0))
        assert functions(coroutine) == ["<lambda>", "inner"]
        coroutine.close()

    run(main())


def test_each_thread_has_its_own(maker: Callable[[], Any]) -> None:
    made: list[Any] = []
    with depth(1):
        thread = threading.Thread(target=lambda: made.append(maker()))
        thread.start()
        thread.join()
    assert made[0].cr_origin is None
    made[0].close()

    def elsewhere() -> None:
        with depth(1):
            made.append(maker())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert functions(made[1]) == ["<lambda>"]
    made[1].close()


def test_the_next_coroutine_has_none(maker: Callable[[], Any]) -> None:
    # Native coroutines live more than once.
    with depth(1):
        maker().close()
    coroutine = maker()
    assert coroutine.cr_origin is None
    coroutine.close()


def test_a_warning_that_is_an_error(
    maker: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Unraisable] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_value))
    with warnings.catch_warnings(), depth(1):
        warnings.simplefilter("error")
        maker()
    (error,) = reports
    assert isinstance(error, RuntimeWarning)
    assert "Coroutine created at" in str(error)


def test_a_warning_that_cannot_be_made_up(
    maker: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Unraisable] = []

    def broken(coroutine: Any) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_value))
    monkeypatch.setattr(warnings, "_warn_unawaited_coroutine", broken)
    with depth(1), pytest.warns(RuntimeWarning, match="was never awaited$"):
        maker()
    assert [str(error) for error in reports] == ["broken"]


def test_a_coroutine_that_its_warning_keeps() -> None:
    ouroloop.install()
    with warnings.catch_warnings(record=True) as caught, depth(1):
        warnings.simplefilter("always")
        asyncio.sleep(1)
    (warning,) = caught
    kept: Any = warning.source
    assert functions(kept) == ["test_a_coroutine_that_its_warning_keeps"]
    kept.close()
