"""Every native class, function and method, called while one allocation of the interpreter fails, or all do.

Run as a program it takes each subject in a forked child and prints what went wrong: a death by a
signal, or a panic that came out as an exception. Options: `--depth N` (the allocation that fails
is each of the first N), `--only TEXT` (subjects whose name has it), `--random CALLS [--seed S]`
(so many calls with subject, arguments and allocation drawn by lot, for hours by hand).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import inspect
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import ouroloop
from ouroloop import _native

try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:  # The tests that use this module are skipped then.
    remove_mem_hooks = set_nomemory = None

Subject = Callable[["World"], Callable[[], object]]


class Listener(asyncio.Protocol, asyncio.DatagramProtocol):
    """Hears of everything and does nothing."""


async def nothing() -> None:
    """Be awaited."""
    await asyncio.sleep(0)


class World:
    """What calls need: a loop, and objects of each class that live on it."""

    def __init__(self) -> None:
        self.loop = ouroloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        # As in a callback: what asks for the running loop finds it.
        asyncio._set_running_loop(self.loop)
        self.kept: list[Any] = []

    def run(self, awaitable: Any) -> Any:
        """Run the loop until this is done."""
        asyncio._set_running_loop(None)
        try:
            return self.loop.run_until_complete(awaitable)
        finally:
            asyncio._set_running_loop(self.loop)

    def keep(self, thing: Any) -> Any:
        """Hold on to it until the process ends."""
        self.kept.append(thing)
        return thing

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Connect two sockets."""
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        return self.keep(near), self.keep(far)

    def connection(self) -> tuple[Any, Any]:
        """Make a reader and a writer."""
        near, _ = self.pair()
        return self.keep(self.run(asyncio.open_connection(sock=near)))

    def transport(self) -> Any:
        """Make a socket transport."""
        near, _ = self.pair()
        made = self.loop.create_connection(Listener, sock=near)
        return self.keep(self.run(made)[0])

    def datagrams(self) -> Any:
        """Make a transport of datagrams."""
        made = self.loop.create_datagram_endpoint(Listener, local_addr=("127.0.0.1", 0))
        return self.keep(self.run(made)[0])

    def pipe(self, *, write: bool) -> Any:
        """Make one end of a pipe a transport."""
        ends = os.pipe()
        end = os.fdopen(ends[write], "wb" if write else "rb", 0)
        connect = self.loop.connect_write_pipe if write else self.loop.connect_read_pipe
        return self.keep(self.run(connect(Listener, end))[0])

    def server(self) -> Any:
        """Listen."""
        return self.keep(self.run(self.loop.create_server(Listener, "127.0.0.1", 0)))

    def task(self) -> Any:
        """Make a task that has begun to wait."""
        task = self.loop.create_task(asyncio.sleep(1000))
        self.run(asyncio.sleep(0))
        return self.keep(task)

    def reader(self) -> Any:
        """Make a reader with something in it."""
        reader = asyncio.StreamReader(loop=self.loop)
        reader.feed_data(b"some bytes\nand more")
        return reader


def instances() -> dict[str, Callable[[World], Any]]:
    """Name what makes an object of each class that programs come by."""
    ouroloop.install()
    return {
        "Loop": lambda world: world.loop,
        "Future": lambda world: world.loop.create_future(),
        "DoneFuture": _done,
        "Task": World.task,
        "Handle": lambda world: world.loop.call_soon(len, ""),
        "TimerHandle": lambda world: world.loop.call_later(1000, len, ""),
        "Queue": lambda _: _filled(asyncio.Queue()),
        "PriorityQueue": lambda _: _filled(asyncio.PriorityQueue()),
        "LifoQueue": lambda _: _filled(asyncio.LifoQueue()),
        "Lock": lambda _: asyncio.Lock(),
        "Event": lambda _: asyncio.Event(),
        "Condition": lambda _: asyncio.Condition(),
        "Semaphore": lambda _: asyncio.Semaphore(1),
        "BoundedSemaphore": lambda _: asyncio.BoundedSemaphore(1),
        "Barrier": lambda _: asyncio.Barrier(1),
        "TaskGroup": lambda _: asyncio.TaskGroup(),
        "Timeout": lambda _: asyncio.timeout(1000),
        "StreamReader": World.reader,
        "StreamWriter": lambda world: world.connection()[1],
        "SocketTransport": World.transport,
        "DatagramTransport": World.datagrams,
        "ReadPipeTransport": lambda world: world.pipe(write=False),
        "WritePipeTransport": lambda world: world.pipe(write=True),
        "Server": World.server,
    }


def _done(world: World) -> Any:
    future = world.loop.create_future()
    future.set_result("result")
    return future


def _filled(queue: Any) -> Any:
    queue.put_nowait(1)
    return queue


def arguments(world: World) -> list[tuple[Any, ...]]:
    """Give what a method may want."""
    future = world.loop.create_future
    return [
        (),
        (None,),
        (1,),
        (b"bytes",),
        ("text",),
        (len,),
        (len, ""),
        (1000, len, ""),
        (future(),),
        (ValueError("error"),),
        (Listener(),),
        ([b"some", b"lines"],),
        ({"message": "words"},),
        (b"bytes", None),
        (None, ValueError, ValueError("error"), None),
    ]


# These end the process, wait for ever, or change the interpreter for those after them.
LEFT_OUT = {
    "run_forever",
    "run_until_complete",
    "__class__",
    "__init_subclass__",
    "__subclasshook__",
    "__getstate__",
    "__reduce__",
    "__reduce_ex__",
    "__sizeof__",
    "__dir__",
    # Of their keywords PyO3 makes a dictionary, which it takes for granted.
    "create_server",
    "start_server",
    "create_connection",
    "open_connection",
}


def step(answer: object) -> None:
    """Begin what the call has made."""
    if inspect.iscoroutine(answer) or hasattr(answer, "cr_await"):
        with contextlib.suppress(StopIteration):
            answer.send(None)  # type: ignore[attr-defined]
        answer.close()  # type: ignore[attr-defined]
    elif hasattr(answer, "__aenter__"):
        step(answer.__aenter__())


def subjects() -> Iterator[tuple[str, Callable[[World], Iterator[Callable[[], object]]]]]:
    """Name everything that can be called, each with what makes its calls."""
    for name, make in instances().items():
        yield f"{name}()", lambda world, make=make: iter([lambda: make(world)])
        yield f"class {name}()", lambda world, make=make: iter([_constructor(world, make)])
        yield f"class of {name}()", lambda world, make=make: iter([_derived(world, make)])
        for method in sorted(dir(type(instances_of(make)))):
            if method not in LEFT_OUT:
                yield (
                    f"{name}.{method}",
                    lambda world, make=make, method=method: _calls(world, make, method),
                )
    for name in sorted(vars(_native)):
        thing = getattr(_native, name)
        if name.startswith("__") or name in LEFT_OUT:
            continue
        if callable(thing) and not isinstance(thing, type):
            yield name, lambda world, thing=thing: _calls_of(world, lambda: thing)
    for name, scenario in SCENARIOS.items():
        yield f"scenario {name}", lambda world, scenario=scenario: iter([scenario(world)])


_WORLD: list[World] = []


def instances_of(make: Callable[[World], Any]) -> Any:
    """Make an object to look at, on a loop that the parent never runs again."""
    if not _WORLD:
        _WORLD.append(World())
    return make(_WORLD[0])


def _constructor(world: World, make: Callable[[World], Any]) -> Callable[[], object]:
    known = type(make(world))
    ways: list[dict[str, Any]] = [{}, {"loop": world.loop}]
    if known.__name__ == "Task":
        return lambda: known(nothing(), loop=world.loop)

    fitting = [keywords for keywords in ways if fits(lambda: known(**keywords))]  # noqa: B023

    def call() -> None:
        for keywords in fitting:
            known(**keywords)

    return call


MAY_BE_DERIVED_FROM = 1 << 10
"""`Py_TPFLAGS_BASETYPE`."""


def _derived(world: World, make: Callable[[World], Any]) -> Callable[[], object]:
    known = type(make(world))
    if not known.__flags__ & MAY_BE_DERIVED_FROM:
        return lambda: None

    class Derived(known):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            self.attribute = 1

    ways: list[dict[str, Any]] = [{}, {"loop": world.loop}]
    fitting = [keywords for keywords in ways if fits(lambda: Derived(**keywords))]  # noqa: B023

    def call() -> None:
        for keywords in fitting:
            Derived(**keywords)

    return call


def _calls(
    world: World, make: Callable[[World], Any], method: str
) -> Iterator[Callable[[], object]]:
    return _calls_of(world, lambda: getattr(make(world), method))


def _calls_of(world: World, find: Callable[[], Any]) -> Iterator[Callable[[], object]]:
    for given in arguments(world):
        try:
            found = find()
        except (AttributeError, RuntimeError):
            return
        if not callable(found):
            # An attribute: looking it up is the call.
            yield find
            return
        yield lambda found=found, given=given: step(found(*given))


def _run(world: World, main: Callable[[], Any]) -> Callable[[], object]:
    return lambda: world.run(main())


async def _primitives() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    lock, event = asyncio.Lock(), asyncio.Event()

    async def work() -> None:
        async with lock:
            await queue.put(1)
        await event.wait()

    works = [asyncio.ensure_future(work()) for _ in range(3)]
    for _ in works:
        await queue.get()
    event.set()
    await asyncio.gather(*works)


async def _waiting() -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(loop.create_future(), 0.0001)
    await asyncio.wait([asyncio.ensure_future(nothing())])
    for each in asyncio.as_completed([nothing(), nothing()]):
        await each
    await asyncio.shield(nothing())


async def _streams() -> None:
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    other_reader, other = await asyncio.open_connection(sock=far)
    writer.write(b"line\n" * 3)
    await writer.drain()
    await other_reader.readline()
    await other_reader.readexactly(5)
    other.write(b"x" * 300)
    other.write_eof()
    await reader.read()
    writer.close()
    other.close()


async def _datagrams() -> None:
    loop = asyncio.get_running_loop()
    near, _ = await loop.create_datagram_endpoint(Listener, local_addr=("127.0.0.1", 0))
    near.sendto(b"datagram", near.get_extra_info("sockname"))
    await asyncio.sleep(0.0001)
    near.close()


async def _threads() -> None:
    await asyncio.get_running_loop().run_in_executor(None, len, "")
    await asyncio.to_thread(len, "")


GIVES_UP = b"Cannot recover from MemoryErrors while normalizing exceptions"
"""What the interpreter says, up to Python 3.11, when it ends the process itself."""

SCENARIOS: dict[str, Callable[[World], Callable[[], object]]] = {
    "primitives": lambda world: _run(world, _primitives),
    "waiting": lambda world: _run(world, _waiting),
    "streams": lambda world: _run(world, _streams),
    "datagrams": lambda world: _run(world, _datagrams),
    "threads": lambda world: _run(world, _threads),
}


def attempt(call: Callable[[], object], start: int, stop: int) -> str | None:
    """Call while the allocations from `start` to `stop` fail; answer what must not be."""
    raised: BaseException | None = None
    set_nomemory(start, stop)
    try:
        call()
    except BaseException as error:
        remove_mem_hooks()
        raised = error
    finally:
        remove_mem_hooks()
    if raised is None:
        return None
    if type(raised).__name__ == "PanicException" or "panic:" in str(raised):
        return f"{type(raised).__name__}: {raised}"
    return None


def fits(call: Callable[[], object]) -> bool:
    """Whether the call takes these arguments, with memory."""
    try:
        call()
    except TypeError:
        return False
    except BaseException:
        return True
    return True


def sweep(calls: Callable[[World], Iterator[Callable[[], object]]], depth: int) -> Iterator[str]:
    """Carry out the calls with each allocation failing; give what must not be."""
    told = set()
    for call in calls(World()):
        # What first calls make is made.
        with contextlib.suppress(BaseException):
            call()
    for once in (True, False):
        for start in range(1, depth):
            signal.alarm(20)
            for call in calls(World()):
                wrong = attempt(call, start, start + 1 if once else 0)
                if wrong and wrong not in told:
                    told.add(wrong)
                    yield f"allocation {start} {'alone' if once else 'and on'}: {wrong}"


def in_child(work: Callable[[], Iterator[str]]) -> list[str]:
    """Fork, and answer what is wrong there, its death included."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            gc.freeze()
            if "SWEEP_TALKS" not in os.environ:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            try:
                for wrong in work():
                    os.write(writing, f"{wrong}\n".encode())
            except BaseException as error:
                os.write(writing, f"the sweep itself: {error!r}\n".encode())
            # What is half made is not taken apart at exit: that is another subject.
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            wrong = told.read().splitlines()
        status = os.waitpid(child, 0)[1]
        gave_up = os.pread(said.fileno(), 1 << 20, 0).find(GIVES_UP) >= 0
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGALRM and not gave_up:
        wrong.append(f"died of {signal.Signals(os.WTERMSIG(status)).name}")
    return wrong


def main() -> int:
    """Sweep, and tell what is wrong; the answer is how many subjects are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=60)
    parser.add_argument("--only", default="")
    parser.add_argument("--random", type=int, default=0, metavar="CALLS")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    known = [(name, calls) for name, calls in subjects() if options.only in name]
    failures = 0

    def tell(name: str, wrong: list[str]) -> None:
        nonlocal failures
        failures += bool(wrong)
        for line in wrong:
            print(f"{name}: {line}", flush=True)

    if options.random:
        done, seed = 0, options.seed
        while done < options.random:
            tell(f"seed {seed}", in_child(lambda seed=seed: by_lot(known, seed)))
            done, seed = done + CALLS_PER_SEED, seed + 1
    else:
        for name, calls in known:
            tell(name, in_child(lambda calls=calls: sweep(calls, options.depth)))
    return min(failures, 100)


CALLS_PER_SEED = 5000


def by_lot(known: list[Any], seed: int) -> Iterator[str]:
    """Carry out calls that a seed draws, all on one loop."""
    lot, done = random.Random(seed), 0
    while done < CALLS_PER_SEED:
        signal.alarm(60)
        name, calls = lot.choice(known)
        world = World()
        for call in calls(world):
            start = lot.randrange(1, 60)
            wrong = attempt(call, start, lot.choice((start + 1, start + 3, 0)))
            done += 1
            if wrong:
                yield f"{name}, allocation {start}: {wrong}"


if __name__ == "__main__":
    answer = main()
    sys.stdout.flush()
    # The end of the interpreter is another subject.
    os._exit(answer)
