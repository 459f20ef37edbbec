"""``install`` and ``uninstall``, and the policy."""

import asyncio
import sys
import threading
import unittest
import warnings

# Taken before install(), as a program's modules do: these very names have to give native loops.
from asyncio import Runner, new_event_loop, run

import ouroloop
import pytest


async def running_loop_type():
    return type(asyncio.get_running_loop())


def type_of_new(make_loop):
    loop = make_loop()
    loop.close()
    return type(loop)


def set_policy(policy):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(policy)


def get_policy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return asyncio.get_event_loop_policy()


@pytest.fixture(autouse=True)
def default_policy():
    set_policy(None)
    yield
    ouroloop.uninstall()
    set_policy(None)


@pytest.fixture
def foreign_policy():
    """A policy of another loop package: the default one with another factory."""

    class ForeignLoop(asyncio.SelectorEventLoop):
        pass

    class ForeignPolicy(type(get_policy())):
        _loop_factory = ForeignLoop

    return ForeignPolicy()


def every_way():
    yield "asyncio.run", lambda: asyncio.run(running_loop_type())
    yield "run taken before", lambda: run(running_loop_type())
    yield "new_event_loop", lambda: type_of_new(asyncio.new_event_loop)
    yield "events.new_event_loop", lambda: type_of_new(asyncio.events.new_event_loop)
    yield "new_event_loop taken before", lambda: type_of_new(new_event_loop)
    yield "policy", lambda: type_of_new(get_policy().new_event_loop)

    def in_runner():
        with Runner() as runner:
            return runner.run(running_loop_type())

    yield "Runner taken before", in_runner

    def in_thread():
        answers = []
        thread = threading.Thread(target=lambda: answers.append(run(running_loop_type())))
        thread.start()
        thread.join()
        return answers[0]

    yield "another thread", in_thread

    def in_test_case():
        answers = []

        class Case(unittest.IsolatedAsyncioTestCase):
            async def runTest(self):
                answers.append(await running_loop_type())

        Case().run()
        return answers[0]

    yield "IsolatedAsyncioTestCase", in_test_case
    if sys.version_info >= (3, 13):
        yield "asyncio.EventLoop", lambda: type_of_new(vars(asyncio)["EventLoop"])


@pytest.mark.parametrize("way", [pytest.param(way, id=name) for name, way in every_way()])
def test_install_reaches(way):
    assert way() is asyncio.SelectorEventLoop
    ouroloop.install()
    assert way() is ouroloop.Loop
    ouroloop.uninstall()
    assert way() is asyncio.SelectorEventLoop


def test_install_twice_is_undone_once():
    ouroloop.install()
    ouroloop.install()
    ouroloop.uninstall()
    assert type_of_new(asyncio.new_event_loop) is asyncio.SelectorEventLoop


def test_uninstall_without_install_does_nothing(foreign_policy):
    set_policy(foreign_policy)
    ouroloop.uninstall()
    assert get_policy() is foreign_policy


@pytest.mark.parametrize("function", [ouroloop.install, ouroloop.uninstall])
def test_refused_beside_a_running_loop(function):
    async def main():
        function()

    message = rf"ouroloop\.{function.__name__}\(\) cannot be called from a running event loop"
    with pytest.raises(RuntimeError, match=message):
        asyncio.run(main())


def test_a_loop_running_in_another_thread_is_no_obstacle():
    async def main():
        await asyncio.to_thread(ouroloop.install)

    asyncio.run(main())
    assert type_of_new(asyncio.new_event_loop) is ouroloop.Loop


def test_the_current_loop_stays():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        ouroloop.install()
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_an_explicit_selector_loop_stays_stock():
    ouroloop.install()
    made = type_of_new(asyncio.SelectorEventLoop)
    assert made is asyncio.SelectorEventLoop
    assert made is not ouroloop.Loop


def test_a_policy_set_later_wins_and_survives_uninstall(foreign_policy):
    ouroloop.install()
    set_policy(foreign_policy)
    assert type_of_new(asyncio.new_event_loop).__name__ == "ForeignLoop"
    ouroloop.uninstall()
    assert get_policy() is foreign_policy


def test_a_policy_set_before_is_set_aside_and_comes_back(foreign_policy):
    set_policy(foreign_policy)
    ouroloop.install()
    assert asyncio.run(running_loop_type()) is ouroloop.Loop
    ouroloop.uninstall()
    assert get_policy() is foreign_policy


def test_install_again_after_a_foreign_policy(foreign_policy):
    ouroloop.install()
    set_policy(foreign_policy)
    ouroloop.install()
    assert asyncio.run(running_loop_type()) is ouroloop.Loop


def test_the_policy_gives_native_loops():
    set_policy(ouroloop.EventLoopPolicy())
    assert asyncio.run(running_loop_type()) is ouroloop.Loop
    ouroloop.install()
    assert isinstance(get_policy(), ouroloop.EventLoopPolicy)


def test_nothing_warns(run_python):
    program = (
        "import asyncio, ouroloop; ouroloop.install(); asyncio.new_event_loop().close();"
        "ouroloop.EventLoopPolicy(); ouroloop.uninstall()"
    )
    done = run_python("-W", "error", "-c", program)
    assert (done.returncode, done.stderr) == (0, "")
