"""Code that runs in the middle of native work and reaches what that works on: no crash, nothing lost.

Each program ran into freed memory, a panic or a leak once; a child's exit status and output tell.
"""

import asyncio
import gc
import signal
import socket
import subprocess
import sys
from collections import ChainMap, UserDict
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

import ouroloop
import pytest
from ouroloop import _native

from tests.support.loops import HOST, Run

SPARE_CONTEXT_BY_WEAK_REFERENCE: Final = """
import contextvars, gc, weakref, ouroloop

var = contextvars.ContextVar("var")
var.set(0)
loop = ouroloop.Loop()
loop.set_exception_handler(lambda *_: None)
spare = lambda: None

class Value:
    __slots__ = tuple("abcdefghijklmnopqrst")

def find():
    global spare
    token = var.set(1)
    contexts = [it for it in gc.get_referents(token) if isinstance(it, contextvars.Context)]
    spare = weakref.ref(contexts[0])

def inside():
    value = Value()
    var.set(value)
    loop.stop()
    loop.run_forever()
    junk = [bytes(150) for _ in range(100)]
    assert var.get() is value

loop.call_soon(find)
loop.stop()
loop.run_forever()
loop.call_soon(print, "called")
(spare() or contextvars.copy_context()).run(inside)
"""

HANDLES_OF_A_LOOP_THAT_GOES: Final = """
from ouroloop import _native

handles, close = [], _native.Loop.close
_native.Loop.close = lambda self: handles.extend([self.call_soon(print), self.call_later(5, print)])
loop = _native.Loop()
del loop
_native.Loop.close = close
junk = [bytes([255]) * (size - 33) for size in range(832, 860) for _ in range(20)]
for handle in handles:
    handle.cancel()
print("called")
"""


@pytest.mark.parametrize("program", [SPARE_CONTEXT_BY_WEAK_REFERENCE, HANDLES_OF_A_LOOP_THAT_GOES])
def test_it_ends_well(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "called\n"), ended.stderr


def grow_what_refers_to(value: object) -> None:
    for dictionary in gc.get_referrers(value):
        if type(dictionary) is dict and "marker" in dictionary:
            dictionary.update({str(number): number for number in range(100)})


class Growing(_native.Lock):
    """Finds the dictionaries that its attributes come from, whoever has them."""

    @property
    def _locked(self) -> bool:
        return False

    @_locked.setter
    def _locked(self, value: object) -> None:
        grow_what_refers_to(value)


def test_a_state_that_grows_while_it_is_restored() -> None:
    value: Any = [object()]
    lock: Any = Growing()
    lock.__setstate__({"_locked": value, "marker": value, "last": 3})
    assert lock.marker is value


class Yes:
    def __init__(self) -> None:
        self.marker = self

    def __bool__(self) -> bool:
        grow_what_refers_to(self)
        return False


@pytest.mark.skipif(sys.version_info < (3, 14), reason="since 3.14")
def test_keywords_that_grow_while_they_are_read(run: Run) -> None:
    async def main() -> str:
        task: Any = asyncio.get_running_loop().create_task(
            asyncio.sleep(0),
            eager_start=Yes(),
            name="task",  # type: ignore[arg-type]
        )
        await task
        return str(task.get_name())

    assert run(main()) == "task"


def test_connections_leave_nothing_behind() -> None:
    """Of PyO3, a slice keeps its numbers."""
    loop = ouroloop.new_event_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)

        def connect(times: int) -> int:
            before = sys.getallocatedblocks()
            for _ in range(times):
                loop.run_until_complete(loop.sock_connect(sock, (HOST, 9)))
            return sys.getallocatedblocks() - before

        connect(100)
        assert connect(1000) < 500
    loop.close()


@pytest.mark.parametrize(
    "context",
    [
        MappingProxyType({"message": "told"}),
        ChainMap({"message": "told"}),
        UserDict(message="told"),
        None,
    ],
    ids=lambda it: type(it).__name__,
)
def test_any_mapping_tells_of_an_error(
    run: Run, caplog: pytest.LogCaptureFixture, context: Any
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(None)
        loop.call_exception_handler(context)
        assert caplog.messages == ["told" if context else "Exception in default exception handler"]
        caplog.clear()
        loop.set_exception_handler(lambda _, context: context["message"])
        loop.call_exception_handler(context)
        told = ["Unhandled error in exception handler"]
        assert [message.splitlines()[0] for message in caplog.messages] == ([] if context else told)

    run(main())


@pytest.mark.parametrize(
    ("high", "low", "limits"),
    [
        (1e6, None, (250_000, 1_000_000)),
        (None, 2.5, (2, 10)),
        (10.9, 5, (5, 10)),
        (2**70, 0, None),
        (float("inf"), 0, None),
    ],
)
def test_limits_are_any_numbers(run: Run, high: Any, low: Any, limits: tuple[int, int]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        with far:
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
            transport.set_write_buffer_limits(high, low)
            if limits:
                found = transport.get_write_buffer_limits()
                assert tuple(int(it) for it in found) == limits
            for wrong in ((float("inf"), None), (float("nan"), 0), (-(2**70), None), (1, 2.5)):
                with pytest.raises(
                    ValueError, match=r"high \(.*\) must be >= low \(.*\) must be >= 0"
                ):
                    transport.set_write_buffer_limits(*wrong)
            transport.abort()

    run(main())


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, though a shell has started this in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_from_before_there_was_a_handler(interruptible: None) -> None:
    for factory in (asyncio.SelectorEventLoop, ouroloop.new_event_loop):
        loop = factory()
        # os.kill would leave it to the system which thread hears of it, and when.
        loop.call_soon(signal.raise_signal, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        heard: list[str] = []
        loop.add_signal_handler(signal.SIGINT, heard.append, "SIGINT")
        loop.run_until_complete(asyncio.sleep(0.01))
        assert heard == []
        signal.raise_signal(signal.SIGINT)
        loop.run_until_complete(asyncio.sleep(0.01))
        assert heard == ["SIGINT"]
        loop.close()


def test_a_signal_after_many_turns_comes_in_its_turn(run: Run) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        heard: list[str] = []
        loop.add_signal_handler(signal.SIGUSR1, heard.append, "SIGUSR1")
        for _ in range(300):
            await asyncio.sleep(0)
        signal.raise_signal(signal.SIGUSR1)
        for _ in range(3):
            await asyncio.sleep(0)
        loop.remove_signal_handler(signal.SIGUSR1)
        return heard

    assert run(main()) == ["SIGUSR1"]
