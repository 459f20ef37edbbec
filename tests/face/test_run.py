"""``ouroloop.run``, ``new_event_loop`` and the loop class."""

import asyncio
import gc
import sys

import ouroloop
import pytest


async def running_loop_type():
    return type(asyncio.get_running_loop())


def test_run_returns_the_result_of_main_on_a_native_loop():
    assert ouroloop.run(running_loop_type()) is ouroloop.Loop


def test_run_passes_debug_on():
    async def debug():
        return asyncio.get_running_loop().get_debug()

    assert ouroloop.run(debug(), debug=True) is True
    assert ouroloop.run(debug(), debug=False) is False


def test_run_raises_what_main_raises():
    async def fail():
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        ouroloop.run(fail())


def test_run_closes_its_loop_and_cancels_what_is_left():
    left = []

    async def main():
        async def linger():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                left.append("cancelled")
                raise

        left.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    loop = ouroloop.run(main())
    assert loop.is_closed()
    assert left[0].cancelled()
    assert left[1:] == ["cancelled"]


def both_messages(call):
    """The error of ``call`` with asyncio's own run, then with ours."""
    answers = []
    for run in (asyncio.run, ouroloop.run):
        with pytest.raises(Exception) as caught:  # noqa: PT011 — which one is what is compared
            call(run)
        answers.append((caught.type, str(caught.value)))
    return answers


def test_run_refuses_a_non_coroutine_as_asyncio_does():
    stock, ours = both_messages(lambda run: run(42))
    assert ours == stock


def test_run_refuses_to_nest_as_asyncio_does():
    def call(run):
        async def outer():
            inner = running_loop_type()
            try:
                run(inner)
            finally:
                inner.close()

        asyncio.run(outer())

    stock, ours = both_messages(call)
    assert ours == stock


def test_new_event_loop_serves_as_loop_factory():
    with asyncio.Runner(loop_factory=ouroloop.new_event_loop) as runner:
        assert runner.run(running_loop_type()) is ouroloop.Loop


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run has loop_factory since 3.12")
def test_asyncio_run_takes_new_event_loop():
    made = asyncio.run(running_loop_type(), loop_factory=ouroloop.new_event_loop)
    assert made is ouroloop.Loop


def test_the_loop_is_an_abstract_event_loop():
    loop = ouroloop.new_event_loop()
    try:
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert issubclass(ouroloop.Loop, asyncio.AbstractEventLoop)
        loop.of_the_users = 1
        assert vars(loop)["of_the_users"] == 1
    finally:
        loop.close()


def test_a_loop_left_open_warns():
    loop = ouroloop.new_event_loop()
    with pytest.warns(ResourceWarning, match="unclosed event loop"):  # noqa: PT031
        del loop
        gc.collect()


def test_every_public_name_is_there():
    for name in ouroloop.__all__:
        assert getattr(ouroloop, name) is not None


def test_the_version_is_the_packages():
    from importlib.metadata import version

    assert ouroloop.__version__ == version("ouroloop")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ouroloop.nothing
