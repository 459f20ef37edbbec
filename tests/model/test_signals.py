"""Signals: handlers, and Ctrl-C in a process of its own."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ouroloop
import pytest

from tests.support.loops import Factory

from .conftest import turn

Loop = asyncio.AbstractEventLoop


def test_sent_before_the_run(loop: Loop) -> None:
    seen: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    os.kill(os.getpid(), signal.SIGUSR1)
    turn(loop, 3)
    assert seen == [1]
    assert loop.remove_signal_handler(signal.SIGUSR1)
    assert not loop.remove_signal_handler(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_between_runs(loop: Loop) -> None:
    seen: list[int] = []
    turn(loop)
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    turn(loop)
    os.kill(os.getpid(), signal.SIGUSR1)
    turn(loop, 3)
    os.kill(os.getpid(), signal.SIGUSR1)
    turn(loop, 3)
    assert seen == [1, 1]


def test_wakes_a_wait(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    before = time.monotonic()
    guard = loop.call_later(20, loop.stop)
    loop.run_forever()
    assert time.monotonic() - before < 10
    guard.cancel()
    timer.join()


def test_replaced_and_many(loop: Loop) -> None:
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "old")
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "new")
    loop.add_signal_handler(signal.SIGUSR2, seen.append, "other")
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        os.kill(os.getpid(), number)
    turn(loop, 3)
    assert sorted(seen) == ["new", "other"]


def test_close_gives_signals_back(factory: Factory) -> None:
    loop = factory()
    loop.add_signal_handler(signal.SIGUSR1, int)
    loop.add_signal_handler(signal.SIGINT, int)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_a_foreign_wakeup_descriptor_is_respected(native: ouroloop.Loop) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write)
    try:
        turn(native)
        assert signal.set_wakeup_fd(write) == write
    finally:
        signal.set_wakeup_fd(before)
    os.close(read)
    os.close(write)


def test_wrong_signals(loop: Loop) -> None:
    with pytest.raises(TypeError, match="sig must be an int, not 'SIGINT'"):
        loop.add_signal_handler("SIGINT", int)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="invalid signal number 1000"):
        loop.add_signal_handler(1000, int)
    with pytest.raises(RuntimeError, match=f"sig {int(signal.SIGKILL)} cannot be caught"):
        loop.add_signal_handler(int(signal.SIGKILL), int)

    async def main() -> None:
        pass

    with pytest.raises(TypeError, match="coroutines cannot be used with add_signal_handler"):
        loop.add_signal_handler(signal.SIGUSR1, main)


def test_not_in_another_thread(loop: Loop) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            loop.add_signal_handler(signal.SIGUSR1, int)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_an_error_in_a_python_signal_handler_leaves_the_loop(loop: Loop) -> None:
    class Alarm(Exception):
        pass

    def fail(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGUSR1, fail)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    guard = loop.call_later(20, loop.stop)
    try:
        timer.start()
        with pytest.raises(Alarm):
            loop.run_forever()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    guard.cancel()
    assert loop.run_until_complete(asyncio.sleep(0, "on")) == "on"


WAITING = """
import asyncio, signal, sys, ouroloop
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    try:
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()
    finally:
        print("left", flush=True)

if sys.argv[1] == "runner":
    ouroloop.run(main())
else:
    loop = ouroloop.new_event_loop()
    task = loop.create_task(main())
    try:
        loop.run_forever()
    except KeyboardInterrupt:
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
        loop.close()
        raise
"""


@pytest.mark.parametrize("how", ["runner", "loop"])
def test_ctrl_c_in_a_wait(how: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, how],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert out == "left\n"
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - sent < 10
