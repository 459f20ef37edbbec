"""Threads that the interpreter's end finds below a native method stop there."""

import pytest

from tests.conftest import RunPython

PROGRAM = """
import asyncio, sys, threading, time
import ouroloop

ouroloop.install()
loop = ouroloop.new_event_loop()
inside, gate = threading.Event(), threading.Lock()
gate.acquire()

def block(*arguments):
    inside.set()
    # Opened when the interpreter ends.
    gate.acquire()
    return True

class Odd(Exception):
    __eq__ = __lt__ = __gt__ = __le__ = __call__ = __bool__ = block
    __hash__ = object.__hash__
    def __str__(self): return block() and "odd"
    __repr__ = __str__
    def __float__(self): return float(block())
    def __index__(self): return int(block())
    __int__ = __add__ = __radd__ = __sub__ = __rsub__ = fileno = __index__
    def __iter__(self): return iter([block()])
    __await__ = __iter__
    def get_debug(self): return block()
    def is_closed(self): return not block()

class OddError(Exception):
    def __init__(self):
        block()

class OddProtocol(asyncio.Protocol):
    connection_made = data_received = eof_received = connection_lost = pause_writing = block

async def wait_for_odd():
    await Odd()

async def run(function):
    await function(odd)

async def reschedule():
    async with asyncio.timeout(None) as timeout:
        timeout.reschedule(odd)

def drop(future):
    loop.set_exception_handler(block)
    future.set_exception(ValueError())
    del future

odd = Odd()
future = loop.create_future()
done = loop.create_future()
done.set_result(odd)
queue, priorities = asyncio.Queue(), asyncio.PriorityQueue()
priorities.put_nowait(odd)
coroutine = wait_for_odd()

def use():
    {use}

thread = threading.Thread(target=use, daemon=True)
thread.start()
assert inside.wait(20)

class Late:
    def __del__(self, open=gate.release, sleep=time.sleep):
        open()
        # The thread asks for the interpreter now, and must not have it any more.
        sleep(0.2)

sys.late = Late()
"""

USES = {
    "comparison": "future.add_done_callback(print); future.remove_done_callback(odd)",
    "exception": "future.set_exception(OddError)",
    "representation": "repr(done)",
    "last words": "drop(loop.create_future())",
    "future": "asyncio.Future(loop=odd)",
    "task": "asyncio.Task(coroutine, loop=loop, name=odd)",
    "call": "loop.call_soon(odd)._run()",
    "delay": "loop.call_later(odd, print)",
    "time": "loop.call_at(odd, print)",
    "truth": "loop.set_debug(odd)",
    "reader": "loop.add_reader(odd, print)",
    "signal": "loop.remove_signal_handler(odd)",
    "handler": "loop.set_exception_handler(odd); loop.call_exception_handler({'message': 'odd'})",
    "factory": "loop.set_task_factory(odd); loop.create_task(coroutine)",
    "closing": "loop.slow_callback_duration = odd; loop.set_debug(True); loop.call_soon(print); loop.run_forever()",
    "running": "loop.call_soon(odd); loop.run_forever()",
    "send": "loop.run_until_complete(coroutine)",
    "order": "priorities.put_nowait(Odd())",
    "size": "asyncio.Queue(odd).put_nowait(1)",
    "items": "queue.put_nowait(odd); repr(queue)",
    "semaphore": "asyncio.Semaphore(odd)",
    "barrier": "asyncio.Barrier(odd)",
    "limit": "asyncio.StreamReader(limit=odd, loop=loop)",
    "gather": "loop.run_until_complete(run(asyncio.gather))",
    "shield": "loop.run_until_complete(run(asyncio.shield))",
    "timeout": "loop.run_until_complete(reschedule())",
}


@pytest.mark.slow
@pytest.mark.parametrize("use", USES)
def test_the_end_finds_a_thread_below_a_native_method(run_python: RunPython, use: str) -> None:
    done = run_python("-c", PROGRAM.replace("{use}", USES[use]))
    assert done.returncode == 0, done.stderr
