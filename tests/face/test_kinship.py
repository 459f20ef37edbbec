"""``isinstance`` and ``issubclass`` between native objects, standard ones and subclasses of either."""

import abc
import asyncio
import inspect
import pickle
from typing import Generic, TypeVar
from unittest import mock

import ouroloop
import pytest
from ouroloop._names import NATIVE, REPLACED

T = TypeVar("T")
CLASSES = [pair for pair in NATIVE if inspect.isclass(pair.native)]
each_class = pytest.mark.parametrize("pair", CLASSES, ids=lambda pair: pair.name)


@pytest.fixture
def loop():
    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


async def nothing():
    pass


def of(cls, name, loop):
    """Make an object of a class, whose arguments its name tells."""
    match name:
        case "Task":
            task = cls(coroutine := nothing(), loop=loop)
            task._log_destroy_pending = False
            coroutine.close()
            return task
        case "Future":
            return cls(loop=loop)
        case "Handle":
            return cls(print, (), loop)
        case "TimerHandle":
            return cls(1.0, print, (), loop)
        case "Barrier":
            return cls(2)
        case "Timeout" | "StreamReaderProtocol":
            return cls(None)
        case "StreamWriter":
            return cls(mock.Mock(), mock.Mock(), None, loop)
        case "Server":
            pytest.skip("only loops make servers")
    return cls()


@each_class
@pytest.mark.parametrize("installed", [False, True])
def test_objects(pair, installed, loop):
    if installed:
        ouroloop.install()
    native, standard = (of(cls, pair.name, loop) for cls in (pair.native, pair.standard))
    for cls in (pair.native, pair.standard, vars(asyncio)[pair.name]):
        assert isinstance(native, cls)
        assert isinstance(standard, cls) or cls is not pair.native
    assert isinstance(standard, pair.native)
    assert not isinstance(native, asyncio.SubprocessProtocol)
    assert not isinstance(3, pair.native)


@each_class
def test_classes(pair):
    assert issubclass(pair.standard, pair.native)
    assert issubclass(pair.native, pair.native)
    assert not issubclass(int, pair.native)


# Servers and, as their stubs have it, timeouts are final.
each_base = pytest.mark.parametrize(
    "pair",
    [pair for pair in CLASSES if pair.native.__flags__ & 1 << 10],
    ids=lambda pair: pair.name,
)


@each_base
def test_a_subclass_written_before_install(pair, loop):
    class Old(pair.standard):
        pass

    old = of(Old, pair.name, loop)
    ouroloop.install()
    for cls in (pair.native, pair.standard, vars(asyncio)[pair.name], Old):
        assert isinstance(old, cls)
        assert isinstance(of(Old, pair.name, loop), cls)
        assert issubclass(Old, cls)
    assert not isinstance(of(pair.native, pair.name, loop), Old)


@each_base
def test_a_subclass_of_the_native_class(pair, loop):
    class New(pair.native):
        pass

    class Mixed(pair.native, abc.ABC):
        pass

    class Parametrised(pair.native, Generic[T]):
        pass

    for cls in (New, Mixed, Parametrised):
        made = of(cls, pair.name, loop)
        assert isinstance(made, cls)
        assert isinstance(made, pair.native)
        assert type(made) is made.__class__ is cls
    assert not isinstance(of(pair.native, pair.name, loop), New)
    assert not isinstance(of(pair.standard, pair.name, loop), New)
    assert not isinstance(of(New, pair.name, loop), Mixed)


def test_tasks_are_futures(loop):
    for task_class in (asyncio.Task, ouroloop.Task):
        task = of(task_class, "Task", loop)
        for future_class in (asyncio.Future, ouroloop.Future):
            assert isinstance(task, future_class)
            assert issubclass(task_class, ouroloop.Future)
            assert not isinstance(of(future_class, "Future", loop), asyncio.Task)
            assert not isinstance(of(future_class, "Future", loop), ouroloop.Task)
    assert not issubclass(ouroloop.Future, ouroloop.Task)


def test_standard_subclasses_run_on_a_native_loop():
    class OldTask(asyncio.Task):
        pass

    class OldFuture(asyncio.Future):
        pass

    class OldQueue(asyncio.Queue):
        def _put(self, item):
            super()._put(item + 1)

    class OldLock(asyncio.Lock):
        pass

    class OldCondition(asyncio.Condition):
        pass

    async def child(queue, lock, condition):
        async with lock, condition:
            condition.notify_all()
        await queue.put(1)
        return await queue.get()

    async def main():
        loop = asyncio.get_running_loop()
        future = OldFuture(loop=loop)
        loop.call_soon(future.set_result, 40)
        work = child(OldQueue(), OldLock(), OldCondition())
        task = OldTask(work, loop=loop)
        assert isinstance(task, asyncio.Task)
        assert isinstance(future, asyncio.Future)
        return await future + await task

    ouroloop.install()
    assert asyncio.run(main()) == 42


def test_a_name_leads_to_the_class():
    ouroloop.install()
    for pair in REPLACED:
        if inspect.isclass(pair.native):
            assert pickle.loads(pickle.dumps(pair.native)) is pair.native


def test_abc_is_asked_once_a_class(loop):
    assert type(ouroloop.Task) is type(ouroloop.Future) is abc.ABCMeta
    assert isinstance(asyncio.Future(loop=loop), ouroloop.Future)


def test_only_classes_of_the_module_can_adopt():
    from ouroloop import _native

    class Plain:
        pass

    for cls in (int, abc.ABC.__class__):
        with pytest.raises(TypeError):
            _native.adopt(cls, Plain)
