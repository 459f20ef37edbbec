"""``install`` and ``uninstall`` of names: in asyncio, in its submodules, in modules that took them."""

import asyncio
import asyncio as taken_package
import asyncio.tasks as taken_submodule
import gc
import importlib.util
import subprocess
import sys
import textwrap
import threading
import types
import warnings
from asyncio import Future as RenamedFuture
from asyncio import Task, current_task

import ouroloop
import pytest
from ouroloop import Task as NativeTask
from ouroloop._names import NATIVE, REPLACED

HERE = sys.modules[__name__]
PAIRS = pytest.mark.parametrize("pair", REPLACED, ids=lambda pair: pair.name)


def homes(pair):
    """Every module of asyncio that has the name, with the standard object as its value."""
    return [
        module
        for full_name, module in sys.modules.items()
        if full_name.partition(".")[0] == "asyncio" and vars(module).get(pair.name) is pair.standard
    ]


@pytest.fixture
def module(request):
    """A module of the program's own, imported before ``install``."""
    made = types.ModuleType("module_of_a_program")
    sys.modules[made.__name__] = made
    yield made
    sys.modules.pop(made.__name__, None)


def test_there_is_something_to_replace():
    assert {"Future", "Task"} <= {pair.name for pair in REPLACED}
    assert len({id(pair.native) for pair in REPLACED}) == len(REPLACED)


@PAIRS
def test_in_asyncio_and_its_submodules(pair):
    places = homes(pair)
    assert asyncio in places
    assert len(places) > 1
    ouroloop.install()
    assert all(vars(place)[pair.name] is pair.native for place in places)
    ouroloop.uninstall()
    assert all(vars(place)[pair.name] is pair.standard for place in places)


@PAIRS
def test_in_a_module_that_took_it(pair, module):
    vars(module).update({pair.name: pair.standard, "renamed": pair.standard})
    ouroloop.install()
    assert vars(module)[pair.name] is vars(module)["renamed"] is pair.native
    ouroloop.uninstall()
    assert vars(module)[pair.name] is vars(module)["renamed"] is pair.standard


@PAIRS
def test_in_a_module_imported_since(pair, module):
    ouroloop.install()
    exec(f"from asyncio import {pair.name} as taken", vars(module))
    assert module.taken is pair.native
    ouroloop.uninstall()
    assert module.taken is pair.standard


@PAIRS
def test_a_module_that_took_the_native_one_keeps_it(pair, module):
    module.taken = pair.native
    ouroloop.install()
    assert module.taken is pair.native
    ouroloop.uninstall()
    assert module.taken is pair.native


def test_the_ways_of_importing():
    standard = Task
    ouroloop.install()
    assert HERE.Task is taken_package.Task is taken_submodule.Task is ouroloop.Task
    assert HERE.RenamedFuture is asyncio.futures.Future is ouroloop.Future
    assert HERE.NativeTask is ouroloop.Task
    ouroloop.uninstall()
    assert HERE.Task is asyncio.Task is standard
    assert HERE.RenamedFuture is asyncio.Future is not ouroloop.Future
    assert HERE.NativeTask is ouroloop.Task is not standard


def test_a_module_that_is_gone_by_then_is_restored_too(module):
    module.Task = asyncio.Task
    ouroloop.install()
    del sys.modules[module.__name__]
    ouroloop.uninstall()
    assert module.Task is asyncio.Task


def test_what_a_program_put_there_since_stays(module):
    module.Task = asyncio.Task
    ouroloop.install()
    module.Task = int
    ouroloop.uninstall()
    assert module.Task is int


def test_twice_is_once(module):
    module.Task = standard = asyncio.Task
    ouroloop.install()
    ouroloop.install()
    assert module.Task is asyncio.Task is ouroloop.Task
    ouroloop.uninstall()
    assert module.Task is asyncio.Task is standard
    ouroloop.uninstall()
    assert module.Task is asyncio.Task is standard


def test_again_and_again_leaves_nothing_behind(module):
    module.Task = asyncio.Task
    before = None
    for _ in range(6):
        ouroloop.install()
        ouroloop.uninstall()
        gc.collect()
        before, now = len(gc.get_objects()), before
    assert now is not None
    assert abs(before - now) < 20


def test_refusal_leaves_everything(module):
    module.Task = asyncio.Task

    async def main():
        for function in (ouroloop.install, ouroloop.uninstall):
            with pytest.raises(RuntimeError, match="from a running event loop"):
                function()

    asyncio.run(main())
    assert module.Task is asyncio.Task is not ouroloop.Task
    ouroloop.install()
    asyncio.run(main())
    assert module.Task is asyncio.Task is ouroloop.Task


def test_many_threads_at_once():
    def back_and_forth():
        for _ in range(5):
            ouroloop.install()
            ouroloop.uninstall()

    threads = [threading.Thread(target=back_and_forth) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ouroloop.uninstall()
    for pair in REPLACED:
        assert vars(asyncio)[pair.name] is pair.standard


def test_a_lazy_module_sleeps_on(module):
    class Lazy(types.ModuleType):
        def __getattribute__(self, name):
            raise AssertionError(f"touched: {name}")

    module.__class__ = Lazy
    ouroloop.install()
    ouroloop.uninstall()
    module.__class__ = types.ModuleType


def test_odd_entries_among_the_modules(monkeypatch):
    class Pretender:
        __dict__ = property(lambda _self: pytest.fail("looked into"))

    monkeypatch.setitem(sys.modules, "odd_none", None)
    monkeypatch.setitem(sys.modules, "odd_object", Pretender())
    ouroloop.install()
    assert asyncio.Task is ouroloop.Task


def test_what_stays_standard():
    kept = [
        *("AbstractEventLoop", "BaseEventLoop", "Handle", "TimerHandle", "Server", "current_task"),
        *("all_tasks", "get_running_loop", "get_event_loop", "set_event_loop", "TimeoutError"),
        *("CancelledError", "InvalidStateError", "QueueEmpty", "QueueFull", "BrokenBarrierError"),
        *("iscoroutine", "_enter_task", "_leave_task", "_register_task", "_unregister_task"),
    ]
    before = [vars(asyncio)[name] for name in kept]
    private = asyncio.tasks._CTask, asyncio.futures._CFuture, asyncio.tasks._PyTask
    ouroloop.install()
    assert [vars(asyncio)[name] for name in kept] == before
    assert (asyncio.tasks._CTask, asyncio.futures._CFuture, asyncio.tasks._PyTask) == private
    assert sys.modules["_asyncio"].Task is asyncio.tasks._CTask


def test_modules_of_ouroloop_are_left_alone():
    def theirs():
        return {
            (full_name, name): id(value)
            for full_name, module in sys.modules.items()
            if full_name.partition(".")[0] == "ouroloop"
            for name, value in vars(module).items()
            if not name.startswith("__") and any(value is v for p in NATIVE for v in p[1:])
        }

    before = theirs()
    ouroloop.install()
    assert theirs() == before


def make_stock_loop():
    return asyncio.SelectorEventLoop()


@pytest.mark.parametrize("make_loop", [make_stock_loop, ouroloop.new_event_loop])
@pytest.mark.parametrize("debug", [False, True])
def test_programs_go_on_working(make_loop, debug):
    async def child(number, queue, lock):
        async with lock:
            await asyncio.sleep(0)
        queue.put_nowait(number)
        return number

    async def main():
        queue, lock = asyncio.Queue(), asyncio.Lock()
        children = [asyncio.create_task(child(number, queue, lock)) for number in range(3)]
        assert all(isinstance(task, asyncio.Task) for task in children)
        assert asyncio.all_tasks() == {*children, current_task()}
        assert await asyncio.gather(*children) == [0, 1, 2]
        assert [await queue.get() for _ in children] == [0, 1, 2]
        future = asyncio.get_running_loop().create_future()
        assert isinstance(future, asyncio.Future)
        assert type(future) is ouroloop.Future
        asyncio.get_running_loop().call_soon(future.set_result, "answer")
        assert await asyncio.shield(future) == "answer"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            inside = group.create_task(asyncio.to_thread(int, "7"))
        done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(0, 1))])
        assert (len(done), pending) == (1, set())
        return inside.result(), type(asyncio.current_task())

    ouroloop.install()
    with asyncio.Runner(loop_factory=make_loop, debug=debug) as runner:
        assert runner.run(main()) == (7, ouroloop.Task)


def test_streams_and_servers_on_a_stock_loop():
    async def greet(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        assert type(server) is asyncio.Server
        async with server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"hello\n")
            assert await reader.read() == b"hello\n"
            writer.close()
            await writer.wait_closed()

    ouroloop.install()
    with asyncio.Runner(loop_factory=make_stock_loop) as runner:
        runner.run(main())


def test_subprocesses_on_a_stock_loop():
    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input())", stdin=-1, stdout=-1
        )
        return await process.communicate(b"hello\n")

    ouroloop.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # child watchers, on 3.12
        loop = make_stock_loop()
        asyncio.set_event_loop(loop)
        try:
            assert loop.run_until_complete(main()) == (b"hello\n", None)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def test_objects_made_before_go_on_working():
    loop = make_stock_loop()
    future, queue, event = loop.create_future(), asyncio.Queue(), asyncio.Event()

    async def main():
        await event.wait()
        return await future, await queue.get()

    task = loop.create_task(main())
    loop.run_until_complete(asyncio.sleep(0))
    ouroloop.install()
    event.set()
    future.set_result(1)
    queue.put_nowait(2)
    assert loop.run_until_complete(asyncio.wait_for(task, 5)) == (1, 2)
    ouroloop.uninstall()
    assert loop.run_until_complete(asyncio.gather(task)) == [(1, 2)]
    loop.close()


def test_asyncio_again_from_its_files_is_its_own_affair():
    """A copy of a submodule that a program loads for itself keeps what it defines."""
    spec = importlib.util.find_spec("asyncio.locks")
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    before = copy.Lock
    ouroloop.install()
    assert copy.Lock is before is not asyncio.locks.Lock


def test_the_renamed_import_is_used():
    assert RenamedFuture is asyncio.Future
    assert NativeTask is ouroloop.Task


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12 brought eager tasks")
def test_the_eager_factory_stays_a_python_function() -> None:
    """Libraries recognise it by its code; a native loop knows it and makes native tasks."""
    program = """
        import asyncio, ouroloop
        before = asyncio.eager_task_factory
        ouroloop.install()
        assert asyncio.eager_task_factory is before
        assert asyncio.eager_task_factory.__code__
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
