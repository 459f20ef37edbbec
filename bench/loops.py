"""The event loops that are compared, by name.

Every one of them is a module with a ``new_event_loop``; ours also takes part with all of asyncio's
object model in place, as after ``ouroloop.install()``, and on other multiplexers than the fastest.
Whether a loop can be used is found out in a process of its own, since merely importing some of them
changes ``asyncio``.
"""

import asyncio
import importlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

ROOT = Path(__file__).parents[1]
OURS = "ouroloop"
RIVALS = ("asyncio", "uvloop", "rloop", "zuvloop", "rsloop")
INSTALLED = "ouroloop+install"
NAMES = (*RIVALS, OURS, INSTALLED)
MULTIPLEXERS = ("poll", "select")
ON_MULTIPLEXERS = {f"{OURS}+{multiplexer}": multiplexer for multiplexer in MULTIPLEXERS}
"""Ours on another multiplexer, by name."""
ALL_NAMES = (*NAMES, *ON_MULTIPLEXERS)
PROBE_SECONDS = 30


@dataclass(frozen=True)
class Availability:
    """Whether a loop works here: its version, or the reason why not."""

    name: str
    version: str | None = None
    reason: str | None = None


def new_event_loop(name: str) -> asyncio.AbstractEventLoop:
    """Make a loop of the given kind."""
    options = {"multiplexer": ON_MULTIPLEXERS[name]} if name in ON_MULTIPLEXERS else {}
    return cast(asyncio.AbstractEventLoop, _module(name).new_event_loop(**options))


def prepare(name: str) -> None:
    """Do what a program that wants all of this loop's speed does once, before anything else."""
    module = _module(name)
    if name == INSTALLED:
        module.install()


def version(name: str) -> str:
    """Answer the version of the package that the loop comes from."""
    # Not at the top: it takes longer to import than a run of `bench.counted` to do its work.
    import importlib.metadata
    import platform

    if name == "asyncio":
        return platform.python_version()
    return importlib.metadata.version(_module(name).__name__)


def _module(name: str) -> ModuleType:
    if name not in ALL_NAMES:
        raise ValueError(f"unknown loop {name!r}; known are {', '.join(ALL_NAMES)}")
    return importlib.import_module(name.partition("+")[0])


def probe(name: str) -> Availability:
    """Try the loop in a process of its own."""
    command = [sys.executable, "-m", "bench.loops", name]
    try:
        child = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Availability(name, reason=f"no answer within {PROBE_SECONDS} s")
    if child.returncode == 0:
        return Availability(name, version=child.stdout.strip())
    reason = child.stderr.strip().splitlines()[-1:] or [f"exit status {child.returncode}"]
    return Availability(name, reason=reason[0])


def _try(name: str) -> None:
    prepare(name)
    with asyncio.Runner(loop_factory=lambda: new_event_loop(name)) as runner:
        runner.run(asyncio.sleep(0))
    print(version(name))


if __name__ == "__main__":
    _try(sys.argv[1])
