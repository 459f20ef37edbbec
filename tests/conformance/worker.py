"""One file of CPython's asyncio suite on one loop, in a process of its own.

``python worker.py stock|ouroloop test_file`` reads a JSON list of test names to leave out from standard input and
writes one JSON list ``[test, state, detail]`` a line to standard output: ``started``, then ``passed``, ``failed``
or ``skipped``; ``["", "finished", ""]`` at the end. What the tests print goes to standard error.
"""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
import unittest
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import native_classes
import scope

Emit = Callable[[str, str, str], None]

LEAVES_PROCESSES = "test_subprocess"
"""Some of its tests leave processes, and one expects no warning while it runs: theirs come before it begins."""


def main() -> None:
    """Run one file as the command line says."""
    side, file = sys.argv[1:]
    left_out = frozenset(json.load(sys.stdin))
    emit = _claim_stdout()
    _foreground_signals()
    types = _use_ouroloop() if side == "ouroloop" else _stock_types()
    # In the tests' view asyncio is complete only now: they take names from it when imported.
    module = importlib.import_module(f"test.test_asyncio.{file}")
    if side == "ouroloop":
        _redirect(module)
    native_classes.add_to(module, types)
    excluded = scope.excluded()
    tests = [
        test
        for test in _flat(unittest.defaultTestLoader.loadTestsFromModule(module))
        if not excluded.reason(name := scope.short_name(test.id())) and name not in left_out
    ]
    # What is loaded is no garbage: the thousands of collections of the tests skip it.
    gc.collect()
    gc.freeze()
    warnings.simplefilter("default")
    unittest.TestSuite(tests).run(Reporter(emit, collects=file == LEAVES_PROCESSES))
    emit("", "finished", "")


class Reporter(unittest.TestResult):
    """Tells each test's beginning and its one outcome."""

    def __init__(self, emit: Emit, *, collects: bool) -> None:
        super().__init__()
        self._emit = emit
        self._collects = collects
        self._outcome = ("passed", "")
        self._running = False

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        if self._collects:
            gc.collect()
        self._running, self._outcome = True, ("passed", "")
        self._emit(scope.short_name(test.id()), "started", "")

    def stopTest(self, test: unittest.TestCase) -> None:
        self._emit(scope.short_name(test.id()), *self._outcome)
        self._running = False
        super().stopTest(test)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self._settle(test, "failed", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    addFailure = addError

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self.addError(test, err)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._settle(test, "failed", "unexpected success")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._settle(test, "skipped", reason)

    def _settle(self, test: unittest.TestCase, state: str, detail: str) -> None:
        if not self._running:
            # A class's or module's fixture, or a skip by decorator: no start was told.
            self._emit(scope.short_name(test.id()), state, detail)
        elif self._outcome[0] != "failed":
            self._outcome = (state, detail)


def _claim_stdout() -> Emit:
    """Keep standard output for the report; what tests write there joins standard error."""
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def emit(test: str, state: str, detail: str) -> None:
        report.write(json.dumps([test, state, detail[-4000:]]) + "\n")

    return emit


def _foreground_signals() -> None:
    """Undo what a background job inherits: tests raise SIGINT and expect KeyboardInterrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _stock_types() -> native_classes.Types:
    return native_classes.Types(asyncio.Future, asyncio.Task, asyncio.Handle, asyncio.TimerHandle)


def _use_ouroloop() -> native_classes.Types:
    import ouroloop

    ouroloop.install()
    return native_classes.Types(
        ouroloop.Future, ouroloop.Task, ouroloop.Handle, ouroloop.TimerHandle
    )


def _redirect(module: Any) -> None:
    """Lead the ways by which a test file gets a loop, other than asyncio's, to a native loop."""
    import ouroloop
    from test.test_asyncio import utils

    # `new_loop` of other modules makes a loop to hang mocks on.
    makers = ["create_event_loop", *(["new_loop"] if module.__name__.endswith("sslproto") else [])]
    for case in vars(module).values():
        for name in makers:
            if isinstance(case, type) and name in vars(case):
                setattr(case, name, lambda _self: ouroloop.new_event_loop())
    if module.__name__.endswith(("test_pep492", "test_runners")):
        # They take a BaseEventLoop, hang mocks on its private parts, and test what every loop does.
        asyncio.BaseEventLoop = ouroloop.Loop  # type: ignore[assignment,misc]
    stock_close = utils.TestCase.close_loop

    def close_loop(loop: asyncio.AbstractEventLoop) -> None:
        # The stock version asks the loop for its private executor.
        if not isinstance(loop, ouroloop.Loop):
            stock_close(loop)
            return
        if not loop.is_closed():
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    utils.TestCase.close_loop = staticmethod(close_loop)


def _flat(suite: Iterable[Any]) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test


if __name__ == "__main__":
    main()
