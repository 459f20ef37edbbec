"""``python -m tests.attacks.batch SEED``: one batch, in this process, to its end or the process's."""

import argparse
import asyncio
import faulthandler
import gc
import logging
import mmap
import os
import resource
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import ouroloop

from . import network, values
from .actions import act
from .recipes import RARE_RECIPES
from .trace import Trace
from .world import Stuck, no_audience, note, react_quietly, world

ALARM = 0.05
PATIENCE = 3
"""Alarms without a call, after which what runs is interrupted."""
HANG = 40.0
"""Seconds without an end of what was interrupted."""
LOOPS = 2
TIMERS = "call_at", "call_later", "time"
"""What a loop's timers go by if a call has laid it over the loop's own: then turns do not end, and handles are not its."""
MEMORY = 3 * 2**30


def main() -> None:
    """Run one batch."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.batch", description=main.__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--counter", help="file that is told how many calls were made")
    parser.add_argument("--trace", help="file that is told each call before it is made")
    parser.add_argument("--certificate", help="file with a key and a certificate, for TLS")
    parser.add_argument("--installed", action="store_true", help="with ouroloop.install()")
    parser.add_argument("--starve", action="store_true", help="have allocations fail (_testcapi)")
    parser.add_argument(
        "--unlimited", action="store_true", help="with whatever address space there is"
    )
    chosen = parser.parse_args()

    faulthandler.enable()
    faulthandler.dump_traceback_later(HANG, exit=True)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    no_audience()
    threading.excepthook = lambda seen: note(seen.exc_value)
    if not chosen.unlimited:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if chosen.counter:
        world.made = _counter(chosen.counter)
    if chosen.trace:
        world.trace = Trace(chosen.trace)
    if chosen.starve:
        from .starve import starved

        world.starve = starved
    world.begin(chosen.seed, chosen.calls)
    world.act = act
    character = _Character()
    if chosen.installed or character.installed:
        ouroloop.install()
    values.open_descriptors()
    if chosen.certificate:
        network.load_certificate(chosen.certificate)
    gc.collect()
    gc.freeze()
    character.apply()
    _Turns(character).run()
    _end(character)


def _counter(path: str) -> Any:
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")


class _Character:
    """What is the same for a whole batch; drawn first, so that whatever else changes it stays."""

    def __init__(self) -> None:
        chance = world.chance
        self.installed = chance.odds(0.3)
        self.debug = chance.odds(0.1)
        self.threshold = chance.one((1, 3, 20, 700, 700))
        self.other_thread = chance.odds(0.15)
        self.ends_quietly = chance.odds(0.5)

    def apply(self) -> None:
        gc.set_threshold(self.threshold)
        if self.other_thread:
            sys.setswitchinterval(1e-6)
            threading.Thread(target=_attack_from_elsewhere, daemon=True).start()


def _attack_from_elsewhere() -> None:
    """Touch what the loop's thread is using, now and then."""
    while world.left > 0:
        time.sleep(0.0002)
        react_quietly(1)


class _Turns:
    """The loops, made anew when they are closed, and the turns they run while there are calls left."""

    def __init__(self, character: _Character) -> None:
        self._character = character
        self._seen = (0, 0)
        signal.signal(signal.SIGALRM, self._alarm)
        signal.setitimer(signal.ITIMER_REAL, ALARM, ALARM)
        world.loops.extend(self._new_loop() for _ in range(LOOPS))

    def _new_loop(self) -> Any:
        loop = ouroloop.new_event_loop()
        loop.set_exception_handler(_handler)
        loop.set_debug(self._character.debug)
        return loop

    def _alarm(self, *_: object) -> None:
        before, times = self._seen
        times = times + 1 if world.made[0] == before else 0
        self._seen = (world.made[0], times)
        if times >= PATIENCE:
            self._seen = (before, 0)
            raise Stuck

    def run(self) -> None:
        turns = 0
        while world.left > 0:
            turns += 1
            if turns % 20 == 0:
                faulthandler.dump_traceback_later(HANG, exit=True)
            try:
                self._turn()
            except BaseException as error:
                note(error)

    def _turn(self) -> None:
        chance = world.chance
        kind = type(world.loops[0])
        for place in range(LOOPS):
            if kind.is_closed(world.loops[place]):
                world.loops[place] = self._new_loop()
        loop = world.loops[0] if chance.odds(0.95) else world.loops[1]
        kind.set_task_factory(loop, None)
        for name in TIMERS:
            vars(loop).pop(name, None)
        if chance.odds(0.02):
            chance.one(RARE_RECIPES)()
        if chance.odds(0.05):
            _count_apart(loop)
        for _ in range(chance.below(10)):
            _do()
        for _ in range(1 + chance.below(3)):
            kind.call_soon(loop, _burst)
        task = asyncio.Task(_step(), loop=loop) if chance.odds(0.5) else None
        if chance.odds(0.03):
            kind.call_later(loop, 0.0005, kind.stop, loop)
        else:
            kind.call_soon(loop, kind.stop, loop)
        kind.run_forever(loop)
        del task


def _count_apart(loop: Any) -> None:
    """New objects are not each other, whatever their memory was before."""
    kind = type(loop)
    if kind is not ouroloop.Loop:
        return  # What a class has that a call gave to the loop, its methods may answer anything.
    makers = (
        lambda: kind.call_soon(loop, len, ""),
        lambda: kind.call_later(loop, 1000, len, ""),
        lambda: kind.create_future(loop),
        asyncio.Event,
        asyncio.Queue,
    )
    made = [make() for make in makers for _ in range(30)]
    if len(set(map(id, made))) != len(made):
        os.write(2, b"one object for two\n")
    for handle in made[:60]:
        handle.cancel()


def _do() -> None:
    try:
        act()
    except BaseException as error:
        note(error)


def _burst() -> None:
    for _ in range(1 + world.chance.below(30)):
        _do()


async def _step() -> None:
    for _ in range(world.chance.below(4)):
        _burst()
        await asyncio.sleep(0)


def _handler(_loop: object, context: dict[str, Any]) -> None:
    note(context.get("exception"))
    react_quietly(0.2)


def _end(character: _Character) -> None:
    """Let everything go; half of the batches then end as programs do, the others at once."""
    world.left = 0
    signal.setitimer(signal.ITIMER_REAL, 0)
    steps = (
        world.pool.clear,
        gc.collect,
        lambda: _count_apart(ouroloop.new_event_loop()),
        *(lambda loop=loop: type(loop).close(loop) for loop in world.loops),
        world.loops.clear,
        gc.collect,
    )
    for step in steps if character.ends_quietly else ():
        try:
            step()
        except BaseException as error:
            note(error)
    sys.stdout.flush()
    if not character.ends_quietly:
        os._exit(0)


if __name__ == "__main__":
    main()
