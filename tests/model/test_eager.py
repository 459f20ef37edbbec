"""``eager_task_factory`` on native and on stock loops."""

import asyncio
import contextvars
import inspect
import sys

import ouroloop
import pytest

from tests.support.releases import stock_has

if sys.version_info < (3, 12):
    pytest.skip("Python 3.12 brought eager tasks", allow_module_level=True)

FACTORIES = {
    "standard": asyncio.eager_task_factory,
    "made": asyncio.create_eager_task_factory(ouroloop.Task),
}
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "ouroloop": ouroloop.new_event_loop}


@pytest.fixture(params=[(f, loop) for f in FACTORIES for loop in LOOPS], ids="-".join)
def run(request):
    factory, loop = request.param

    def run(main):
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.get_loop().set_task_factory(FACTORIES[factory])
            return runner.run(main)

    run.native = (factory, loop) != ("standard", "asyncio")
    run.factory = FACTORIES[factory]
    return run


def test_a_task_starts_at_once(run):
    seen = []

    async def child():
        seen.append(asyncio.current_task().get_coro().__name__)
        await asyncio.sleep(0)
        seen.append("later")
        return "answer"

    async def main():
        own = asyncio.current_task()
        task = asyncio.create_task(child())
        assert seen == ["child"]
        assert asyncio.current_task() is own
        assert (type(task) is ouroloop.Task) is run.native
        assert task in asyncio.all_tasks()
        assert await task == "answer"
        assert asyncio.get_running_loop().get_task_factory() is run.factory

    run(main())
    assert seen == ["child", "later"]


def test_what_ends_at_once_is_done(run):
    async def answer():
        return 42

    async def fault():
        raise ZeroDivisionError

    async def main():
        assert asyncio.create_task(answer()).result() == 42
        task = asyncio.create_task(fault())
        assert type(task.exception()) is ZeroDivisionError
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_name_and_context(run):
    variable = contextvars.ContextVar("variable", default="outside")

    async def child():
        seen = variable.get()
        variable.set("changed")
        return seen

    async def main():
        context = contextvars.copy_context()
        context.run(variable.set, "inside")
        task = asyncio.create_task(child(), name="named", context=context)
        assert task.get_name() == "named"
        assert await task == "inside"
        assert context[variable] == "changed"
        assert variable.get() == "outside"

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 14), reason="older than Python 3.14")
def test_keywords(run):
    seen = []

    async def child():
        seen.append("started")

    async def main():
        loop = asyncio.get_running_loop()
        task = loop.create_task(child(), eager_start=False)
        assert seen == []
        await task
        coroutine = child()
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            await loop.create_task(coroutine, colour="red")
        coroutine.close()

    run(main())


def test_not_while_the_loop_is_at_rest():
    loop = ouroloop.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    seen = []

    async def child():
        seen.append("started")

    task = loop.create_task(child())
    assert seen == []
    loop.run_until_complete(task)
    assert seen == ["started"]
    loop.close()


def test_wrong_arguments():
    loop = ouroloop.new_event_loop()
    for factory in FACTORIES.values():
        loop.set_task_factory(factory)
        with pytest.raises(TypeError, match="a coroutine was expected, got 1"):
            loop.create_task(1)
    loop.close()


def test_no_python_frame_between(monkeypatch):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        depths = []

        async def child():
            depths.append(sys._getframe(1).f_code.co_name)

        asyncio.get_running_loop().create_task(child())
        return depths

    assert ouroloop.run(main()) == ["main"]


@pytest.mark.parametrize("loop_factory", LOOPS.values(), ids=LOOPS)
def test_other_keywords_as_the_running_release_has_them(loop_factory):
    """They came with 3.13.3 and go to the task, or to the factory."""
    parameters = inspect.signature(asyncio.BaseEventLoop.create_task).parameters.values()
    takes = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    assert takes == stock_has((3, 13, 3))
    seen = []
    passed = []

    async def child():
        seen.append("started")

    def factory(loop, coroutine, **keywords):
        passed.append({name: keywords[name] for name in keywords if name != "name"})
        return asyncio.Task(coroutine, loop=loop, **keywords)

    async def main():
        loop = asyncio.get_running_loop()
        coroutine = child()
        if not takes:
            with pytest.raises(TypeError, match="unexpected keyword argument 'eager_start'"):
                await loop.create_task(coroutine, eager_start=True)
            coroutine.close()
            return
        task = loop.create_task(coroutine, eager_start=True, name="named")
        assert seen == ["started"]
        assert task.get_name() == "named"
        loop.set_task_factory(factory)
        task = loop.create_task(child(), eager_start=True)
        assert seen == ["started", "started"]
        assert passed == [{"eager_start": True}]

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
