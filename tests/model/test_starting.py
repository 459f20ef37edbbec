"""A run that fails while it starts leaves nothing behind, and a loop is one thread's at a time."""

import pytest

from tests.conftest import RunPython
from tests.support.loops import FACTORIES

MAKE = """
import asyncio, os, resource, signal, sys, threading
import ouroloop
make = asyncio.SelectorEventLoop if sys.argv[1] == "asyncio" else ouroloop.new_event_loop

def as_before(loop, hooks):
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    assert sys.get_asyncgen_hooks() == hooks
    assert loop.run_until_complete(asyncio.sleep(0, "ran")) == "ran"
    loop.close()
    assert asyncio.run(asyncio.sleep(0, "stock")) == "stock"
    print("as before")
"""

NO_DESCRIPTORS = """
loop = make()
hooks = sys.get_asyncgen_hooks()
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
stop = loop.call_soon(loop.stop)
try:
    loop.run_forever()
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
stop.cancel()
as_before(loop, hooks)
"""

INTERRUPTED = """
loop = make()
hooks = sys.get_asyncgen_hooks()
wanted = sys.argv[2]
interrupted = []
def interrupt(event, arguments):
    if event == wanted and not interrupted:
        interrupted.append(event)
        signal.raise_signal(signal.SIGINT)
sys.addaudithook(interrupt)
stop = loop.call_soon(loop.stop)
try:
    loop.run_forever()
except KeyboardInterrupt:
    pass
assert interrupted
stop.cancel()
as_before(loop, hooks)
"""

PATCHED = """
loop = make()
hooks = sys.get_asyncgen_hooks()
module = sys.modules[sys.argv[2]]
name = sys.argv[3]
original = getattr(module, name)
def interrupt(*arguments, **named):
    setattr(module, name, original)
    raise KeyboardInterrupt
setattr(module, name, interrupt)
stop = loop.call_soon(loop.stop)
try:
    loop.run_forever()
except KeyboardInterrupt:
    pass
setattr(module, name, original)
stop.cancel()
as_before(loop, hooks)
"""


def told(run_python: RunPython, program: str, *arguments: str) -> str:
    done = run_python("-c", MAKE + program, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("side", FACTORIES)
def test_no_descriptors_left(run_python: RunPython, side: str) -> None:
    assert told(run_python, NO_DESCRIPTORS, side) == "as before"


@pytest.mark.parametrize("hook", ["firstiter", "finalizer"])
def test_interrupted_while_the_hooks_are_set(run_python: RunPython, hook: str) -> None:
    """What stock asyncio does not promise: there, from Python 3.13 on, the loop stays one that runs."""
    event = f"sys.set_asyncgen_hook_{hook}"
    assert told(run_python, INTERRUPTED, "ouroloop", event) == "as before"


@pytest.mark.parametrize(
    ("module", "name"), [("threading", "main_thread"), ("signal", "set_wakeup_fd")]
)
def test_interrupted_by_what_is_called_meanwhile(
    run_python: RunPython, module: str, name: str
) -> None:
    assert told(run_python, PATCHED, "ouroloop", module, name) == "as before"


TWO_THREADS = """
loop = make()
first_waits, second_runs = threading.Event(), threading.Event()
errors, steps = [], []

def hold(event, arguments):
    # The first thread is past the checks, and stays here while another one starts the loop.
    if event.startswith("sys.set_asyncgen_hook") and threading.current_thread() is first:
        if not first_waits.is_set():
            first_waits.set()
            second_runs.wait(10)

async def work():
    for _ in range(500):
        await asyncio.sleep(0)
        assert asyncio.current_task().get_name() == "work"
    steps.append(500)

def run():
    try:
        loop.run_forever()
    except RuntimeError as error:
        errors.append(str(error))

def begin():
    second_runs.set()
    for other in {first, second} - {threading.current_thread()}:
        other.join(1)
        if other.is_alive():
            # It runs the loop as well, and is to end while this one goes on.
            loop.call_soon_threadsafe(loop.stop)
            other.join(5)
    # The other thread is over, and its state with it.
    [bytearray(1000) for _ in range(1000)]
    loop.create_task(work(), name="work").add_done_callback(lambda _: loop.stop())

first = threading.Thread(target=run, daemon=True)
second = threading.Thread(target=run, daemon=True)
sys.addaudithook(hold)
first.start()
first_waits.wait(10)
loop.call_soon(begin)
second.start()
for _ in range(2):
    second.join(5)
    second_runs.set()
    first.join(5)
print(first.is_alive() or second.is_alive(), errors, steps)
sys.stdout.flush()
os._exit(0)
"""


def test_a_loop_that_two_threads_start(run_python: RunPython) -> None:
    """One of them runs it, and the other one hears so."""
    answer = told(run_python, TWO_THREADS, "ouroloop")
    assert answer == "False ['This event loop is already running'] [500]"


RACE = """
sys.setswitchinterval(1e-6)
for _ in range(60):
    loop = make()
    barrier, errors, ran = threading.Barrier(4), [], []
    async def work():
        for _ in range(5):
            await asyncio.sleep(0)
        ran.append(1)
    def run():
        barrier.wait(10)
        try:
            loop.run_until_complete(work())
        except (RuntimeError, AssertionError) as error:
            errors.append(error)
    threads = [threading.Thread(target=run, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(ran) + len(errors) >= 4, (ran, errors)
    loop.close()
print("ended")
"""


def test_a_loop_that_four_threads_start_at_once(run_python: RunPython) -> None:
    done = run_python("-W", "ignore", "-c", MAKE + RACE, "ouroloop")
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr
