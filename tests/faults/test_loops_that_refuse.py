"""A loop of the program's whose ``call_soon`` raises, in debug mode: each error is told to the handler, the loop goes on."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import ouroloop
import pytest
from ouroloop import _native

Wait = Callable[[Any, socket.socket], Awaitable[object]]


async def _sleep(loop: Any, _: socket.socket) -> object:
    sleep = _native.sleep if isinstance(loop, ouroloop.Loop) else asyncio.sleep
    return await sleep(0.02)


async def _receive(loop: Any, ours: socket.socket) -> object:
    return await loop.sock_recv(ours, 10)


@pytest.mark.parametrize("wait", [_sleep, _receive])
@pytest.mark.parametrize("base", [asyncio.SelectorEventLoop, ouroloop.Loop])
def test_what_ends_a_wait_is_told_of_it(base: Any, wait: Wait) -> None:
    class Refusing(base):
        refuses = False

        def call_soon(self, *args: Any, **kwargs: Any) -> Any:
            if self.refuses:
                raise ZeroDivisionError
            return super().call_soon(*args, **kwargs)

    told: list[dict[str, Any]] = []
    loop = Refusing()
    loop.set_debug(True)
    loop.set_exception_handler(lambda _, context: told.append(context))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        task = loop.create_task(wait(loop, ours))

        def refuse() -> None:
            Refusing.refuses = True
            theirs.send(b"now")

        loop.call_later(0.01, refuse)
        loop.call_later(0.06, loop.stop)
        loop.run_forever()
        Refusing.refuses = False
        assert isinstance(told[0]["exception"], ZeroDivisionError)
        assert told[0]["message"].startswith("Exception in callback ")
        assert not task.done()
        # Its wake-up is lost, on asyncio too.
        task._log_destroy_pending = False
    loop.close()
