"""CPython's parametrised test classes, once more with the loop's side's own types.

The suite runs its cases for the C and for the Python ``Task`` and ``Future`` by subclasses that name the types.
The same is done here for ours, on CPython's own test loop. On the stock side the new classes name the C types, so
that each new test has its counterpart to be compared with.
"""

import asyncio
import types
import unittest
from dataclasses import dataclass
from typing import Any
from unittest import mock

_tasks_module: Any = asyncio.tasks
_futures_module: Any = asyncio.futures


@dataclass(frozen=True)
class Types:
    """The types of one side."""

    future: Any
    task: Any
    handle: Any
    timer_handle: Any


def add_to(module: Any, side: Types) -> None:
    """Add the classes to a test module, for the loader to find."""
    short = module.__name__.rpartition(".")[2]
    for case in _CASES.get(short, lambda _module, _side: [])(module, side):
        case.__module__ = module.__name__
        setattr(module, case.__name__, case)


def _case(name: str, *bases: type, **attributes: Any) -> type:
    return types.new_class(name, bases, exec_body=lambda namespace: namespace.update(attributes))


def _tasks(module: Any, side: Types) -> list[type]:
    base = (module.BaseTaskTests, module.test_utils.TestCase)
    python_task, python_future = _tasks_module._PyTask, _futures_module._PyFuture

    def named(task: Any, future: Any) -> dict[str, Any]:
        by_python = task is python_task
        # The Python functions have names of their own since 3.12 and 3.14.
        of_all = getattr(_tasks_module, "_py_all_tasks", asyncio.all_tasks)
        current = getattr(_tasks_module, "_py_current_task", asyncio.current_task)
        return {
            "Task": task,
            "Future": future,
            "all_tasks": staticmethod(of_all if by_python else asyncio.all_tasks),
            "current_task": staticmethod(current if by_python else asyncio.current_task),
        }

    def tests(name: str, task: Any, future: Any) -> type:
        return _case(f"{name}_Tests", *base, **named(task, future))

    def subclass_tests(name: str, task: Any, future: Any) -> Any:
        return module.add_subclass_tests(
            _case(f"{name}_SubclassTests", *base, **named(task, future))
        )

    ours = named(side.task, side.future)
    return [
        _case("NativeTask_NativeFuture_Tests", module.CTask_CFuture_Tests, **ours),
        subclass_tests("NativeTask_NativeFuture", side.task, side.future),
        tests("NativeTask_PyFuture", side.task, python_future),
        subclass_tests("NativeTask_PyFuture", side.task, python_future),
        tests("PyTask_NativeFuture", python_task, side.future),
        subclass_tests("PyTask_NativeFuture", python_task, side.future),
        tests("NativeTask_CFuture", side.task, _futures_module._CFuture),
        tests("CTask_NativeFuture", _tasks_module._CTask, side.future),
        _case(
            "NativeTask_CurrentLoopTests",
            module.BaseCurrentLoopTests,
            module.test_utils.TestCase,
            current_task=staticmethod(asyncio.current_task),
            new_task=lambda self, coro: side.task(coro, loop=self.loop),
        ),
    ]


def _futures(module: Any, side: Types) -> list[type]:
    case = module.test_utils.TestCase

    class SubFuture(side.future):  # type: ignore[misc,name-defined]
        pass

    return [
        _case("NativeFutureTests", module.CFutureTests, cls=side.future),
        _case("NativeSubFutureTests", module.BaseFutureTests, case, cls=SubFuture),
        *(
            _case(
                f"{name}DoneCallbackTests",
                module.BaseFutureDoneCallbackTests,
                case,
                _new_future=lambda self, future=future: future(loop=self.loop),
            )
            for name, future in (("NativeFuture", side.future), ("NativeSubFuture", SubFuture))
        ),
        _case(
            "NativeFutureInheritanceTests",
            module.BaseFutureInheritanceTests,
            case,
            _get_future_cls=lambda _self: side.future,
        ),
    ]


def _futures2(module: Any, side: Types) -> list[type]:
    bases = (module.FutureTests, unittest.IsolatedAsyncioTestCase)
    return [_case("NativeFutureTests", *bases, cls=side.task)]


def _eager(module: Any, side: Types) -> list[type]:
    case = module.test_utils.TestCase
    return [
        _case(
            "NativeEagerTaskFactoryLoopTests",
            module.EagerTaskFactoryLoopTests,
            case,
            Task=side.task,
        ),
        _case("NonEagerNativeTaskTests", module.BaseNonEagerTaskFactoryTests, case, Task=side.task),
        _case("EagerNativeTaskTests", module.BaseEagerTaskFactoryTests, case, Task=side.task),
    ]


def _events(module: Any, side: Types) -> list[type]:
    def in_place_of_stock(base: type) -> Any:
        def set_up(self: Any) -> None:
            for name, own in (("Handle", side.handle), ("TimerHandle", side.timer_handle)):
                patch = mock.patch.object(asyncio, name, own)
                patch.start()
                self.addCleanup(patch.stop)
            base.setUp(self)  # type: ignore[attr-defined]

        return set_up

    return [
        _case(f"Native{base.__name__}", base, setUp=in_place_of_stock(base))
        for base in (module.HandleTests, module.TimerTests)
    ]


_CASES = {
    "test_tasks": _tasks,
    "test_futures": _futures,
    "test_futures2": _futures2,
    "test_eager_task_factory": _eager,
    "test_events": _events,
}
