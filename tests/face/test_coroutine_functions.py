"""What native functions and methods say they are is what asyncio's are: ``inspect`` asks, and whoever wraps them."""

import asyncio
import copy
import functools
import inspect
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import ouroloop
import pytest
from ouroloop import _native

METHOD_DESCRIPTOR = 1 << 17
VECTORCALL = 1 << 11


def pairs() -> Iterator[tuple[str, Any, Any]]:
    """Whatever of asyncio's has a native counterpart, functions and methods."""
    for name in sorted(asyncio.__all__):
        standard, native = getattr(asyncio, name), getattr(ouroloop, name)
        if standard is native or name in {"EventLoop", "new_event_loop", "get_event_loop"}:
            continue
        if isinstance(standard, type):
            yield from methods(name, standard, native)
        elif callable(standard):
            yield name, standard, native
    yield from methods("Loop", asyncio.SelectorEventLoop, ouroloop.Loop)
    yield from methods("Server", asyncio.base_events.Server, _native.Server)


def methods(name: str, standard: type, native: type) -> Iterator[tuple[str, Any, Any]]:
    """Those that are functions in asyncio, special ones among them."""
    for method, function in inspect.getmembers(standard, inspect.isfunction):
        if hasattr(native, method):
            yield f"{name}.{method}", function, getattr(native, method)


PAIRS = {name: (standard, native) for name, standard, native in pairs()}
COROUTINES = [name for name, (it, _) in PAIRS.items() if inspect.iscoroutinefunction(it)]


def asyncio_says(function: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return asyncio.iscoroutinefunction(function)


@pytest.mark.parametrize("name", PAIRS)
def test_kind(name: str) -> None:
    standard, native = PAIRS[name]
    for ask in (
        inspect.iscoroutinefunction,
        asyncio_says,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        callable,
    ):
        assert ask(native) == ask(standard), ask
        assert ask(functools.partial(native)) == ask(functools.partial(standard))


def test_there_are_many() -> None:
    assert len(COROUTINES) > 60
    assert not {"gather", "Loop.run_in_executor", "Lock.release"} & set(COROUTINES)


@pytest.mark.parametrize("name", COROUTINES)
def test_coroutine_functions_are_functions(name: str) -> None:
    standard, native = PAIRS[name]
    assert inspect.isfunction(native)
    assert inspect.isroutine(native)
    assert native.__name__ == standard.__name__
    assert native.__qualname__ == standard.__qualname__
    assert isinstance(native.__module__, str)
    assert isinstance(native.__code__, types.CodeType)
    assert native.__code__.co_name == standard.__name__
    assert native.__code__.co_flags & inspect.CO_COROUTINE
    assert native.__annotations__ == {}
    assert native.__closure__ is None
    assert repr(native).startswith(f"<function {standard.__qualname__} at 0x")


@pytest.mark.parametrize("name", COROUTINES)
def test_calls_go_as_the_interpreter_likes_them(name: str) -> None:
    flags = type(PAIRS[name][1]).__flags__
    assert flags & METHOD_DESCRIPTOR
    assert flags & VECTORCALL


def test_bound_methods() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue, reader = ouroloop.Queue(), ouroloop.StreamReader(loop=loop)
        for method in (queue.get, queue.put, reader.read, loop.create_server, loop.sock_recv):
            assert inspect.iscoroutinefunction(method)
            assert asyncio_says(method)
            assert inspect.ismethod(method)
            assert inspect.iscoroutinefunction(functools.partial(method))
        assert queue.get == queue.get
        assert queue.get.__self__ is queue
        assert queue.get.__func__ is ouroloop.Queue.get
        assert not inspect.iscoroutinefunction(queue.get_nowait)
        assert not inspect.iscoroutinefunction(loop.run_in_executor)
        await queue.put(1)
        get = queue.get
        assert await get() == 1
        assert await ouroloop.Queue.put(queue, 2) is None
        assert await ouroloop.Queue.get(queue) == 2

    ouroloop.run(main())


def test_subclasses_and_wrong_objects() -> None:
    class Special(ouroloop.Lock):
        pass

    async def main() -> None:
        lock = Special()
        assert await lock.acquire() is True
        assert await ouroloop.Lock.acquire.__get__(Special(), Special)() is True
        for wrong in ((), (ouroloop.Event(),), (lock, 1)):
            with pytest.raises(TypeError):
                ouroloop.Lock.acquire(*wrong)
        with pytest.raises(TypeError):
            lock.acquire(blocking=False)
        with pytest.raises(TypeError):
            ouroloop.sleep()

    ouroloop.run(main())
    assert inspect.iscoroutinefunction(Special.acquire)
    assert Special.acquire is ouroloop.Lock.acquire


def test_in_a_class_a_function_becomes_a_method() -> None:
    class Clock:
        tick = ouroloop.sleep
        still = staticmethod(ouroloop.sleep)

    async def main() -> None:
        assert await Clock.tick(0, "a") == "a"
        assert await Clock().still(0, "b") == "b"
        assert inspect.ismethod(Clock().tick)

    ouroloop.run(main())


def test_iteration_of_a_reader() -> None:
    async def main() -> list[bytes]:
        reader = ouroloop.StreamReader(loop=asyncio.get_running_loop())
        reader.feed_data(b"a\nb\n")
        reader.feed_eof()
        first = await reader.__anext__()
        return [first, *[line async for line in reader]]

    assert ouroloop.run(main()) == [b"a\n", b"b\n"]
    assert inspect.iscoroutinefunction(ouroloop.StreamReader.__anext__)


def test_attributes_and_copies() -> None:
    sleep = ouroloop.sleep
    assert copy.copy(sleep) is copy.deepcopy(sleep) is sleep
    assert pickle.loads(pickle.dumps(sleep)) is sleep
    assert copy.deepcopy(ouroloop.Lock.acquire) is ouroloop.Lock.acquire
    sleep.seen = True
    try:
        assert sleep.__dict__ == {"seen": True}
        assert functools.wraps(sleep)(lambda: None).__name__ == "sleep"
    finally:
        del sleep.seen
    with pytest.raises(AttributeError):
        _ = sleep.nothing
    with pytest.raises(TypeError):
        sleep.__code__ = 1


CASES: list[tuple[str, Callable[[Any], Any]]] = [
    ("sleep", lambda function: function(0, "slept")),
    ("wait_for", lambda function: function(asyncio.sleep(0, 1), timeout=5)),
    ("to_thread", lambda function: function(sorted, [2, 1], reverse=True)),
]


@pytest.mark.parametrize(("name", "call"), CASES)
def test_the_code_works(name: str, call: Callable[[Any], Any]) -> None:
    """Tools make functions of it, with the namespace and the defaults that go with it."""
    native = getattr(ouroloop, name)
    copied = types.FunctionType(
        native.__code__, native.__globals__, name, native.__defaults__, native.__closure__
    )
    copied.__kwdefaults__ = native.__kwdefaults__

    async def main() -> list[Any]:
        return [await call(function) for function in (getattr(asyncio, name), native, copied)]

    expected, *ours = ouroloop.run(main())
    assert ours == [expected, expected]


WRAPPED = """
import asyncio, types
import ouroloop
if {install}:
    ouroloop.install()
calls = []
def wrap(function):
    # As profilers do: the function keeps its identity and gets other code.
    inner = types.FunctionType(
        function.__code__, function.__globals__, "inner", function.__defaults__, function.__closure__
    )
    inner.__kwdefaults__ = function.__kwdefaults__
    def outer(*args, **kwargs):
        calls.append(function.__name__)
        return inner(*args, **kwargs)
    code = outer.__code__
    function.__globals__["_calls"] = calls
    function.__globals__.setdefault("_inner", {{}})[function.__name__] = inner
    source = (
        f"def f(*args, **kwargs):\\n _calls.append({{function.__name__!r}})\\n"
        f" return _inner[{{function.__name__!r}}](*args, **kwargs)"
    )
    made = {{}}
    exec(source, made)
    function.__code__ = made["f"].__code__
    function.__defaults__ = function.__kwdefaults__ = None
for function in (asyncio.shield, asyncio.as_completed, asyncio.TaskGroup.create_task, asyncio.create_task):
    wrap(function)
async def child(): return 1
async def main():
    assert await asyncio.shield(child()) == 1
    assert [await it for it in asyncio.as_completed([asyncio.create_task(child())])] == [1]
    async with asyncio.TaskGroup() as group:
        assert await group.create_task(child(), name="x") == 1
asyncio.run(main())
print(calls)
"""


def test_functions_can_be_wrapped_by_their_code() -> None:
    from subprocess import run

    traces = [
        run(
            [sys.executable, "-c", WRAPPED.format(install=install)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for install in (False, True)
    ]
    assert "shield" in traces[0]
    assert traces[0] == traces[1]
