"""``left_behind.py MODE WAY``: for each kind of wait a process that ends while a task waits so.

MODE is ``stock``, ``loop`` (a native loop alone) or ``installed``; WAY says who holds the loop and the task by
then. Each process is a fork of this one; what it wrote and how it ended is printed as JSON.
"""

import asyncio
import builtins
import json
import os
import socket
import sys
import tempfile
import threading
import time
import types
from collections.abc import Awaitable, Callable, Generator

import ouroloop

MODE, WAY = sys.argv[1:]
Waits = dict[str, Callable[[asyncio.AbstractEventLoop], Awaitable[object]]]
kept: list[object] = []


def pair() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    kept.append(ends)
    return ends


async def lock(loop: asyncio.AbstractEventLoop) -> None:
    held = asyncio.Lock()
    await held.acquire()
    async with held:
        pass


async def semaphore(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.Semaphore(0).acquire()


async def condition(loop: asyncio.AbstractEventLoop) -> None:
    async with asyncio.Condition() as held:
        await held.wait()


async def condition_for(loop: asyncio.AbstractEventLoop) -> None:
    async with asyncio.Condition() as held:
        await held.wait_for(lambda: False)


async def put(loop: asyncio.AbstractEventLoop) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    await queue.put(1)
    await queue.put(2)


async def join(loop: asyncio.AbstractEventLoop) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(1)
    await queue.join()


async def timeout(loop: asyncio.AbstractEventLoop) -> None:
    async with asyncio.timeout(100):
        await asyncio.sleep(100)


async def group(loop: asyncio.AbstractEventLoop) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(100))


async def wait(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.wait([loop.create_future()], timeout=100)


async def completed(loop: asyncio.AbstractEventLoop) -> None:
    for each in asyncio.as_completed([loop.create_future()]):
        await each


async def opened(loop: asyncio.AbstractEventLoop) -> asyncio.StreamReader:
    reader, writer = await asyncio.open_connection(sock=pair()[0])
    kept.append(writer)
    return reader


async def read(loop: asyncio.AbstractEventLoop) -> None:
    await (await opened(loop)).read()


async def readline(loop: asyncio.AbstractEventLoop) -> None:
    await (await opened(loop)).readline()


async def drain(loop: asyncio.AbstractEventLoop) -> None:
    _, writer = await asyncio.open_connection(sock=pair()[0])
    writer.write(bytes(10_000_000))
    await writer.drain()


async def accept(loop: asyncio.AbstractEventLoop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        await loop.sock_accept(listener)


async def serve(loop: asyncio.AbstractEventLoop) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    await server.serve_forever()


async def process(loop: asyncio.AbstractEventLoop) -> None:
    child = await asyncio.create_subprocess_exec("sleep", "0.2")
    kept.append(child)
    await child.wait()


async def generator(loop: asyncio.AbstractEventLoop) -> None:
    async def numbers():  # type: ignore[no-untyped-def]
        try:
            yield 1
            await asyncio.sleep(100)
        finally:
            kept.append(None)

    async for _ in numbers():
        pass


WAITS: Waits = {
    "sleep": lambda loop: asyncio.sleep(100),
    "future": lambda loop: loop.create_future(),
    "event": lambda loop: asyncio.Event().wait(),
    "lock": lock,
    "semaphore": semaphore,
    "condition": condition,
    "condition_for": condition_for,
    "barrier": lambda loop: asyncio.Barrier(2).wait(),
    "get": lambda loop: asyncio.Queue().get(),
    "put": put,
    "join": join,
    "timeout": timeout,
    "wait_for": lambda loop: asyncio.wait_for(asyncio.sleep(100), 100),
    "gather": lambda loop: asyncio.gather(asyncio.sleep(100), loop.create_future()),
    "shield": lambda loop: asyncio.shield(asyncio.sleep(100)),
    "wait": wait,
    "completed": completed,
    "group": group,
    "read": read,
    "readline": readline,
    "drain": drain,
    "sock_recv": lambda loop: loop.sock_recv(pair()[0], 1),
    "sock_recv_into": lambda loop: loop.sock_recv_into(pair()[0], bytearray(1)),
    "sock_sendall": lambda loop: loop.sock_sendall(pair()[0], bytes(10_000_000)),
    "sock_accept": accept,
    "getaddrinfo": lambda loop: loop.getaddrinfo("name.invalid", 1),
    "executor": lambda loop: loop.run_in_executor(None, time.sleep, 0.1),
    "to_thread": lambda loop: asyncio.to_thread(time.sleep, 0.1),
    "serve": serve,
    "process": process,
    "generator": generator,
}


def leave(loop: asyncio.AbstractEventLoop, task: object) -> None:
    """Have the process end while these are there."""
    things = [loop, task, *kept]
    kept.clear()
    match WAY:
        case "global":
            globals()["left"] = things
        case "cycle":
            things.append(things)
        case "module":
            module = sys.modules["left"] = types.ModuleType("left")
            vars(module)["things"] = things
        case "modules":
            sys.modules["left"] = things  # type: ignore[assignment]
        case "builtins":
            vars(builtins)["left"] = things
        case "thread":
            holding = threading.Event()

            def hold(things: list[object]) -> None:
                holding.set()
                threading.Event().wait()

            threading.Thread(target=hold, args=(things,), daemon=True).start()
            holding.wait()
        case "generator":

            def hold_in_turn(things: list[object]) -> Generator[None]:
                try:
                    yield
                finally:
                    things.clear()

            globals()["left"] = hold_in_turn(things)
            next(globals()["left"])


def suspend(kind: str) -> None:
    async def worker() -> None:
        await WAITS[kind](loop)

    loop = asyncio.new_event_loop() if MODE == "stock" else ouroloop.new_event_loop()
    asyncio.set_event_loop(loop)
    task = loop.create_task(worker())
    loop.call_later(0.03, loop.stop)
    loop.run_forever()
    leave(loop, task)


def fork() -> str | None:
    """Give a kind in each child, and None when all are over."""
    children = {}
    for kind in WAITS:
        output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed when the process ends
        if os.fork() == 0:
            os.dup2(output.fileno(), 2)
            return kind
        children[kind] = (os.waitstatus_to_exitcode(os.wait()[1]), output)
    answers = {}
    for kind, (status, output) in children.items():
        output.seek(0)
        answers[kind] = (status, output.read())
    print(json.dumps(answers))
    return None


if MODE == "installed":
    ouroloop.install()
if (chosen := fork()) is not None:
    suspend(chosen)
