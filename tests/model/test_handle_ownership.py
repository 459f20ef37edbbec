"""A handle is one callback's, from its making to its end, whoever lets go of it and wherever that happens."""

from typing import Any

import ouroloop
import pytest

from tests.conftest import RunPython

APART = """
    import gc
    def apart(loop):
        timers = [loop.call_later(1000 + place, print) for place in range(300)]
        soon = [loop.call_soon(print) for _ in range(300)]
        for one in [*timers, *soon]:
            one.cancel()
        return len(set(map(id, timers + soon)))
"""
"""Of two calls for one object, one would be missing here."""

LEAVING = """
    import asyncio, ouroloop, sys
    how, when = sys.argv[1:]
    async def job(done):
        # The handle's callback comes right after this step, which leaves the handle in a traceback, or in
        # an answer that nobody takes.
        loop = asyncio.get_running_loop()
        if when == "later":
            handle = loop.call_later(0, done.set_result, None)
        else:
            handle = loop.call_soon(done.set_result, None)
        if how == "raises":
            raise ValueError("nobody looks")
        return handle
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        for _ in range(50):
            done = loop.create_future()
            loop.create_task(job(done))
            await done
        print(apart(loop))
    ouroloop.run(main())
"""

CLOSING = """
    import asyncio, ouroloop
    class Session:
        def __init__(self, loop):
            self.expiry = loop.call_later(60, print)
            loop.call_later(30, self.ping)
            loop.call_soon(self.ping)
        def ping(self):
            pass
    for _ in range(20):
        loop = ouroloop.new_event_loop()
        for _ in range(40):
            Session(loop)
        loop.close()
    gc.collect()
    print(apart(ouroloop.new_event_loop()))
"""

COLLECTED = """
    import asyncio, ouroloop
    class Session:
        def __init__(self, loop):
            self.loop = loop
            self.expiry = loop.call_later(60, print)
            loop.call_later(30, self.ping)
            loop.call_soon(self.ping)
        def ping(self):
            pass
    import warnings
    warnings.simplefilter("ignore")
    for _ in range(20):
        loop = ouroloop.new_event_loop()
        loop.itself = [loop]
        for _ in range(40):
            Session(loop)
        del loop
        gc.collect()
    print(apart(ouroloop.new_event_loop()))
"""

AFTER_A_RUN = """
    import asyncio, ouroloop
    class Session:
        def __init__(self, loop):
            self.expiry = loop.call_later(30, print)
            loop.call_later(10, self.ping)
        def ping(self):
            pass
    async def main():
        for _ in range(50):
            Session(asyncio.get_running_loop())
    for _ in range(3):
        with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
            runner.run(main())
    print(apart(ouroloop.new_event_loop()))
"""

IN_A_CHAIN = """
    import ouroloop, sys
    class Closing:
        def __init__(self, loop):
            self.loop = loop
        def __del__(self):
            self.loop.close()
    for depth in (*range(40, 60), 100, 1000):
        loop = ouroloop.new_event_loop()
        handle = loop.call_later(100, print)
        chain = [Closing(loop), handle]
        del handle
        for _ in range(depth):
            future = loop.create_future()
            future.set_result(chain)
            chain = future
        del chain, future
    gc.collect()
    print(apart(ouroloop.new_event_loop()))
"""


def told(run_python: RunPython, program: str, *arguments: str) -> str:
    """Run a program that ends as programs do; return what it printed."""
    lines = [line.removeprefix("    ") for line in (APART + program).splitlines()]
    done = run_python("-c", "\n".join(lines), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("when", ["soon", "later"])
@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_task_that_nobody_holds_ends_with_a_handle(
    run_python: RunPython, how: str, when: str
) -> None:
    assert told(run_python, LEAVING, how, when) == "600"


@pytest.mark.parametrize(
    "program",
    [CLOSING, COLLECTED, AFTER_A_RUN, IN_A_CHAIN],
    ids=["close", "collection", "runner", "finalizers in finalizers"],
)
def test_callbacks_that_own_handles_go_with_the_loop(run_python: RunPython, program: str) -> None:
    assert told(run_python, program) == "600"


WATCHED = """
    import asyncio, ouroloop, random, sys, warnings, weakref
    from ouroloop import _native
    warnings.simplefilter("ignore")
    chance = random.Random(int(sys.argv[1]))
    gc.set_threshold(chance.choice([1, 10, 700]))
    sys.unraisablehook = lambda seen: None
    def new_loop():
        loop = ouroloop.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)
        return loop
    loop, held, references, depth = new_loop(), [], [], 0
    makers = [
        lambda: loop.call_soon(called), lambda: loop.call_later(0, called), lambda: loop.call_later(100, called),
        lambda: loop.create_future(), lambda: loop.create_task(work()), _native.Queue, _native.Lock, _native.Event,
        lambda: asyncio.gather(loop.create_future(), loop.create_future()), lambda: _native.Future(loop=loop),
        lambda: _native.Handle(called, (), loop), lambda: _native.TimerHandle(1.0, called, (), loop),
    ]
    def make():
        made = chance.choice(makers)()
        references.append(weakref.ref(made, died))
        del references[:-2000]
        return made
    uses = [
        lambda one: one.cancel(), repr, lambda one: one.set_result(make()), lambda one: setattr(one, "own", one),
        lambda one: one.add_done_callback(called), held.append, lambda one: one._run(), lambda one: None,
    ]
    def use(one):
        try:
            chance.choice(uses)(one)
        except Exception:
            pass
    def called(*_):
        if chance.random() < 0.4:
            held.append(make())
        elif held:
            held.pop(chance.randrange(len(held)))
    async def work():
        held.append(make())
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            raise ValueError(make())
        return make()
    def died(reference):
        global depth
        assert reference() is None
        if depth > 2:
            return
        depth += 1
        try:
            for _ in range(chance.randrange(3)):
                use(make())
            if chance.random() < 0.3:
                held.clear()
            elif chance.random() < 0.1:
                gc.collect()
        finally:
            depth -= 1
    class Owner:
        def __init__(self, *owned):
            self.owned = owned
        def __del__(self):
            for one in self.owned:
                use(one)
            if chance.random() < 0.2:
                held.extend(self.owned)
    # A collection at each allocation takes its time.
for _ in range(200 if gc.get_threshold()[0] == 1 else 800):
        one = make()
        use(one)
        what = chance.random()
        if what < 0.3:
            held.append(one)
        elif what < 0.5:
            held.append(Owner(one, make()))
        elif what < 0.6:
            for _ in range(chance.choice([3, 60])):
                one = Owner(one)
            held.append(one)
        del one
        if len(held) > 200:
            del held[:chance.randrange(200)]
        if what < 0.05:
            loop.call_soon(loop.stop)
            loop.run_forever()
        if what > 0.998:
            loop.close()
            loop = new_loop()
    gc.set_threshold(0)
    print(apart(loop))
    sys.stdout.flush()
    import os
    os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_weak_references_whose_callbacks_use_what_is_left(run_python: RunPython, seed: int) -> None:
    assert told(run_python, WATCHED, str(seed)) == "600"


class Cancelling:
    """A callback that cancels a handle when it goes."""

    handle: Any = None

    def __call__(self) -> None:
        pass

    def __del__(self) -> None:
        if self.handle is not None:
            self.handle.cancel()


def test_a_timer_made_again_for_another_loop_leaves_that_loops_timers_alone() -> None:
    first, second = ouroloop.new_event_loop(), ouroloop.new_event_loop()
    fired: list[str] = []
    victim = second.call_later(0, fired.append, "victim")
    callback = Cancelling()
    handle: Any = first.call_later(100, callback)
    callback.handle = handle
    del callback
    handle.__init__(5.0, print, (), second)  # type: ignore[misc]
    second.call_later(0.001, second.stop)
    second.run_forever()
    assert not victim.cancelled()
    assert fired == ["victim"]
    for loop in (first, second):
        loop.close()
