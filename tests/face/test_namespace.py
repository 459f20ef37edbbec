"""``import ouroloop as asyncio``: all of asyncio's names, native where there are native ones."""

import asyncio
import contextvars
import inspect
import signal
import sys
import threading
import warnings

import ouroloop
import pytest
from ouroloop._names import NATIVE


@pytest.fixture(autouse=True)
def no_current_loop():
    """Each test begins as a new program does, without a current loop."""
    policy = asyncio.events._get_event_loop_policy if sys.version_info >= (3, 14) else None
    policy = policy() if policy else asyncio.get_event_loop_policy()
    policy._local.__dict__.clear()
    yield
    policy._local.__dict__.clear()


def running_kind(module):
    async def main():
        return type(module.get_running_loop())

    return main()


def test_every_public_name_is_there():
    for name in (*asyncio.__all__, "TaskGroup"):
        assert name in ouroloop.__all__
        assert name in vars(ouroloop)
        assert name in dir(ouroloop)
    assert len(set(ouroloop.__all__)) == len(ouroloop.__all__)
    assert all(hasattr(ouroloop, name) for name in ouroloop.__all__)


def test_star_import():
    namespace = {}
    exec("from ouroloop import *", namespace)
    assert namespace["sleep"] is ouroloop.sleep
    assert namespace["run"] is ouroloop.run
    assert {*asyncio.__all__, "TaskGroup"} <= namespace.keys()


def test_native_where_there_is_a_native_one():
    assert {"Future", "Task", "Handle", "TimerHandle", "Server"} <= {pair.name for pair in NATIVE}
    for pair in NATIVE:
        assert vars(ouroloop)[pair.name] is pair.native


def test_standard_elsewhere():
    for name in ("CancelledError", "TimeoutError", "QueueEmpty", "AbstractEventLoop", "Protocol"):
        assert vars(ouroloop)[name] is vars(asyncio)[name]
    for name in ("subprocess", "tasks", "locks", "events", "exceptions", "streams", "log"):
        assert getattr(ouroloop, name) is getattr(asyncio, name)
        assert name in dir(ouroloop)


def test_install_changes_nothing_here():
    before = {name: getattr(ouroloop, name) for name in ouroloop.__all__}
    ouroloop.install()
    assert {name: getattr(ouroloop, name) for name in ouroloop.__all__} == before
    ouroloop.uninstall()
    assert {name: getattr(ouroloop, name) for name in ouroloop.__all__} == before


def test_import_after_install_of_a_fresh_interpreter(run_python):
    program = (
        "import ouroloop; ouroloop.install()\n"
        "import asyncio, ouroloop as second\n"
        "assert asyncio.Task is second.Task\n"
        "async def main(): return type(second.current_task())\n"
        "print(asyncio.run(main()))"
    )
    done = run_python("-c", program)
    assert (done.stdout, done.stderr) == ("<class 'ouroloop.Task'>\n", "")


@pytest.mark.parametrize("name", ["no_such_name", "__path_to_nowhere__", "_no_such_name"])
def test_other_names_are_missing(name):
    with pytest.raises(AttributeError, match=rf"module 'ouroloop' has no attribute '{name}'"):
        getattr(ouroloop, name)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="nothing is deprecated by name before 3.14")
def test_deprecated_names_warn_as_in_asyncio():
    with pytest.warns(DeprecationWarning, match="AbstractEventLoopPolicy"):
        assert ouroloop.AbstractEventLoopPolicy is not None


def test_loops_are_native_without_install():
    async def test_case():
        return type(ouroloop.get_running_loop())

    assert ouroloop.run(test_case()) is ouroloop.Loop
    with ouroloop.Runner() as runner:
        assert runner.run(test_case()) is ouroloop.Loop
    for make in (ouroloop.new_event_loop, ouroloop.EventLoop, ouroloop.Loop):
        loop = make()
        assert type(loop) is ouroloop.Loop
        loop.close()
    assert asyncio.run(running_kind(asyncio)) is not ouroloop.Loop


def test_an_explicit_loop_is_used():
    kind = asyncio.SelectorEventLoop
    assert ouroloop.run(running_kind(ouroloop), loop_factory=kind) is kind
    with ouroloop.Runner(loop_factory=kind) as runner:
        assert runner.run(running_kind(ouroloop)) is kind


class TestGetEventLoop:
    def test_running(self):
        async def main():
            return ouroloop.get_event_loop() is ouroloop.get_running_loop()

        assert ouroloop.run(main())
        assert asyncio.run(main())

    def test_set(self):
        loop = ouroloop.new_event_loop()
        ouroloop.set_event_loop(loop)
        assert ouroloop.get_event_loop() is loop
        ouroloop.set_event_loop(None)
        loop.close()
        with pytest.raises(RuntimeError, match="no current event loop"):
            ouroloop.get_event_loop()

    @pytest.mark.parametrize("module", [asyncio, ouroloop])
    def test_the_first_one_of_the_main_thread(self, module):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if sys.version_info >= (3, 14):
                with pytest.raises(RuntimeError, match="no current event loop"):
                    module.get_event_loop()
            else:
                loop = module.get_event_loop()
                assert (type(loop) is ouroloop.Loop) is (module is ouroloop)
                assert module.get_event_loop() is asyncio.get_event_loop() is loop
                loop.close()
        shown = [(warning.category, str(warning.message), warning.filename) for warning in caught]
        if sys.version_info[:2] in {(3, 12), (3, 13)}:
            assert shown == [(DeprecationWarning, "There is no current event loop", __file__)]
        else:
            assert shown == []

    def test_another_thread_has_none(self):
        errors = []

        def look():
            try:
                ouroloop.get_event_loop()
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=look, name="other")
        thread.start()
        thread.join()
        assert errors == ["There is no current event loop in thread 'other'."]


@pytest.mark.parametrize("module", [asyncio, ouroloop])
class TestRunner:
    def test_messages(self, module):
        with pytest.raises((ValueError, TypeError), match=r"a coroutine (was expected|or)"):
            module.run(1)

        async def main():
            coroutine = running_kind(module)
            with pytest.raises(
                RuntimeError, match=r"^asyncio\.run\(\) cannot be called from a running event loop$"
            ):
                module.run(coroutine)
            runner = module.Runner()
            with pytest.raises(
                RuntimeError,
                match=r"^Runner\.run\(\) cannot be called from a running event loop$",
            ):
                runner.run(coroutine)
            coroutine.close()

        module.run(main())
        runner = module.Runner()
        runner.close()
        with runner:
            pass
        with pytest.raises(RuntimeError, match="Runner is closed"):
            runner.get_loop()

    def test_the_loop_is_the_current_one_until_the_end(self, module):
        with module.Runner() as runner:
            loop = runner.get_loop()
            assert asyncio.get_event_loop() is loop
            runner.run(running_kind(module))
            assert asyncio.get_event_loop() is loop
        assert loop.is_closed()
        with pytest.raises(RuntimeError, match="no current event loop"):
            asyncio.get_event_loop()

    def test_a_factory_s_loop_is_not_the_current_one(self, module):
        current = asyncio.SelectorEventLoop()
        asyncio.set_event_loop(current)
        with module.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.get_loop()
            assert asyncio.get_event_loop() is current
        assert asyncio.get_event_loop() is current
        current.close()

    def test_debug_and_context(self, module):
        variable = contextvars.ContextVar("variable", default=0)

        async def main():
            variable.set(variable.get() + 1)
            return asyncio.get_running_loop().get_debug(), variable.get()

        for debug in (False, True):
            assert module.run(main(), debug=debug) == (debug, 1)
        with module.Runner() as runner:
            assert runner.run(main())[1] == 1
            assert runner.run(main())[1] == 2
            assert runner.run(main(), context=contextvars.copy_context())[1] == 1
        assert variable.get() == 0

    def test_what_is_left_is_cancelled(self, module):
        seen = []

        async def left():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        async def main():
            seen.append(asyncio.create_task(left()))
            await asyncio.sleep(0)

        module.run(main())
        assert seen[0].cancelled()
        assert seen[1] == "cancelled"

    def test_ctrl_c(self, module):
        seen = []

        async def main():
            asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                module.run(main())
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, before)
        assert seen == ["cancelled"]


def test_the_runner_is_asyncio_s_to_look_at():
    assert issubclass(ouroloop.Runner, asyncio.Runner)
    ours, theirs = (inspect.signature(module.Runner) for module in (ouroloop, asyncio))
    assert list(ours.parameters) == list(theirs.parameters)
    if sys.version_info >= (3, 12):
        ours, theirs = (inspect.signature(module.run) for module in (ouroloop, asyncio))
        assert list(ours.parameters) == list(theirs.parameters)


PROGRAM = """
import ouroloop as asyncio


async def worker(queue: asyncio.Queue[int], lock: asyncio.Lock) -> int:
    async with lock, asyncio.timeout(1):
        return await queue.get()


async def main() -> int:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=3)
    lock = asyncio.Lock()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()
    loop.call_soon(future.set_result, 1)
    tasks: list[asyncio.Task[int]] = [asyncio.create_task(worker(queue, lock)) for _ in range(2)]
    await queue.put(1)
    queue.put_nowait(2)
    done, pending = await asyncio.wait(tasks, return_when=asyncio.ALL_COMPLETED)
    first, second = await asyncio.gather(*tasks)
    async with asyncio.TaskGroup() as group:
        third = group.create_task(asyncio.to_thread(int, "3"))
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except asyncio.TimeoutError:
        pass
    assert asyncio.current_task() in asyncio.all_tasks()
    handle: asyncio.TimerHandle = loop.call_later(1, print)
    handle.cancel()
    assert asyncio.subprocess.PIPE == -1
    return first + second + third.result() + await future + len(done) + len(pending)


if __name__ == "__main__":
    print(asyncio.run(main(), debug=True))
    with asyncio.Runner() as runner:
        print(runner.run(main()))
        print(type(runner.get_loop()) is asyncio.EventLoop)
"""


def test_a_program(run_python, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run_python("-X", "dev", "-W", "error", "program.py")
    assert (done.stdout, done.stderr) == ("9\n9\nTrue\n", "")


def test_a_type_checker_understands_the_program(run_python, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run_python("-m", "mypy", "--strict", "program.py")
    assert done.stdout == "Success: no issues found in 1 source file\n"
