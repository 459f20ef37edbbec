"""Runs one program on the asyncio that is in force, and returns its trace.

No step depends on real time: timers are due at once or never. The run ends when the program is silent: nothing was
written into the trace for ``SILENCE`` beats. What waits then is written down and cancelled, until the program is
silent again. A beat is a turn of the loop (``"clock": "turns"``), and then each line of the trace has the number of
its turn; or a timer's (``"clock": "timer"``), and then the loop really sleeps between them, which shows a wake-up
that got lost.
"""

import asyncio
import contextlib
import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from . import operations as _operations  # noqa: F401  # they fill the table
from .world import FAR, Entry, Frame, TooLong, World

Program = dict[str, Any]

SILENCE = 30
BEAT = 0.0002
CANCELLATIONS = 4
DEPARTURES = 10
LAST_TURNS = 5
CUT: Entry = ["end", None, "program", "cut short"]


def execute(program: Program) -> list[Entry]:
    """Run ``program`` and return its trace."""
    reports: list[Any] = []
    collects = gc.isenabled()
    gc.disable()
    # What is there already is no part of the run: collecting takes a tenth of the time without it.
    gc.freeze()
    try:
        with _collected(reports):
            trace = _run(program, reports)
            gc.collect()
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()
    if trace and trace[-1] == CUT:
        return trace
    # When the last reference to a failure goes is not promised, so these have no place among the rest.
    trace.extend(["end", None, "report", *report] for report in sorted(reports, key=str))
    return trace


@contextlib.contextmanager
def _collected(reports: list[Any]) -> Iterator[None]:
    """Note what Python would print aside."""

    def unraisable(report: Any) -> None:
        reports.append(["unraisable", type(report.exc_value).__name__, str(report.exc_value)])

    logger = logging.getLogger("asyncio")
    hook, level = sys.unraisablehook, logger.level
    sys.unraisablehook = unraisable
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
            gc.collect()
        for one in warned:
            # In debug mode the place where a coroutine was made follows.
            said = str(one.message).partition("\n")[0]
            reports.append(["warned", one.category.__name__, said])
    finally:
        sys.unraisablehook = hook
        logger.setLevel(level)


def _run(program: Program, reports: list[Any]) -> list[Entry]:
    loop = asyncio.new_event_loop()
    world = World(loop)

    def report(_: Any, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), RecursionError):
            world.over = True
            loop.stop()
        said = world.describer.text(context["message"])
        keys = sorted(context.keys() - {"source_traceback", "handle_traceback"})
        reports.append([said, world.describer.value(context.get("exception")), keys])

    loop.set_exception_handler(report)
    loop.slow_callback_duration = FAR
    loop.set_debug(program["debug"])
    if program["eager"] and hasattr(asyncio, "eager_task_factory"):
        loop.set_task_factory(asyncio.eager_task_factory)
    try:
        with contextlib.suppress(TooLong):
            _live(world, program)
        world.release()
        loop.set_task_factory(None)
        gc.collect()
        _spin(loop)
        _close_generators(world)
        gc.collect()
        _spin(loop)
    finally:
        loop.close()
    if world.over:
        world.trace.append(CUT)
    return world.trace


def _close_generators(world: World) -> None:
    """Close the asynchronous generators that are left, unless one of them waits for ever."""
    closing = world.loop.create_task(world.loop.shutdown_asyncgens())
    for _ in range(DEPARTURES):
        _spin(world.loop)
        if closing.done():
            return
    world.over = True
    closing.cancel()
    _spin(world.loop)


def _live(world: World, program: Program) -> None:
    """Run the program until it is silent, however often it is left or stuck."""
    loop = world.loop
    by_turns = program["clock"] == "turns"
    heard = beats = 0

    def beat() -> None:
        nonlocal heard, beats
        if world.turn is not None:
            world.turn += 1
        beats = beats + 1 if heard == len(world.trace) else 0
        heard = len(world.trace)
        if beats >= SILENCE:
            loop.stop()
        else:
            again()

    def again() -> None:
        if by_turns:
            loop.call_soon(beat)
        else:
            loop.call_later(BEAT, beat)

    def until_silent() -> None:
        nonlocal beats
        beats = 0
        again()
        for _ in range(DEPARTURES):
            try:
                loop.run_forever()
            except BaseException as error:
                if not world.over:
                    world.note_error("loop", error)
            else:
                break
        if world.over:
            raise TooLong

    if by_turns:
        world.turn = 0

    def begin() -> None:
        for number, body in enumerate(program["tasks"]):
            frame = Frame(world, "ABCDEFGH"[number])
            runs = frame.stubborn if program["stubborn"] else frame.run
            world.adopt(loop.create_task(runs(body), name=frame.name))

    loop.call_soon(begin)
    until_silent()
    world.ending = True
    for _ in range(CANCELLATIONS):
        waiting = _waiting(world)
        world.note("silence", "waiting", [world.describer.value(task) for task in waiting])
        if not waiting:
            break
        for task in waiting:
            _cancel(world, task)
        until_silent()
    world.note("state", "is", [_state(future) for future in world.awaitables])


def _waiting(world: World) -> list[Any]:
    """Return the tasks that are not done, in an order that does not follow from their addresses."""

    def place(task: Any) -> tuple[int, str, str]:
        # Python 3.13.0 names every task of a factory "None".
        return len(task.get_name()), task.get_name(), world.describer.label(task) or ""

    return sorted(asyncio.all_tasks(world.loop), key=place)


def _cancel(world: World, task: Any) -> None:
    try:
        task.cancel("the end")
    except Exception as error:
        world.note_error("cancel", error)


def _state(future: Any) -> str:
    if not future.done():
        return "pending"
    if future.cancelled():
        return "cancelled"
    # The exception stays unretrieved, so that its report is compared too.
    return "failed" if future._exception is not None else "done"


def _spin(loop: Any) -> None:
    for _ in range(LAST_TURNS):
        loop.call_soon(loop.stop)
        with contextlib.suppress(BaseException):
            loop.run_forever()
