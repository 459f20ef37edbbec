"""Handles of ``call_soon_threadsafe``: what runs in the loop's thread is not cancelled meanwhile (3.14)."""

import asyncio
import sys
import threading

import ouroloop
import pytest

if sys.version_info < (3, 14):
    pytest.skip("Python 3.14 brought the promise", allow_module_level=True)


@pytest.fixture(params=[asyncio.SelectorEventLoop, ouroloop.new_event_loop])
def loop(request):
    loop = request.param()
    yield loop
    loop.close()


def in_other_threads(number, function):
    threads = [threading.Thread(target=function) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("method", ["cancel", "cancelled"])
@pytest.mark.parametrize("number", [1, 3])
def test_other_threads_wait_for_the_end(loop, method, number):
    started, about_to_ask, order = threading.Event(), threading.Semaphore(0), []

    def callback():
        started.set()
        for _ in range(number):
            about_to_ask.acquire()
        # The others are at the door or a moment before it: either way they must not get in.
        started.wait(0.05)
        threading.Event().wait(0.05)
        order.append("end")
        loop.call_soon(loop.stop)

    def ask():
        started.wait()
        about_to_ask.release()
        order.append(getattr(handle, method)())

    handle = loop.call_soon_threadsafe(callback)
    threads = in_other_threads(number, ask)
    loop.run_forever()
    for thread in threads:
        thread.join(30)
    assert order[0] == "end"
    assert len(order) == number + 1
    assert handle.cancelled() is (method == "cancel")


def test_the_loop_s_own_thread_does_not_wait(loop):
    def callback():
        handle.cancel()
        seen.append(handle.cancelled())
        loop.stop()

    seen = []
    handle = loop.call_soon_threadsafe(callback)
    loop.run_forever()
    assert seen == [True]


def test_a_handle_that_is_made_anew_lets_the_others_in(loop):
    started, asked = threading.Event(), threading.Event()

    def callback():
        started.set()
        asked.wait()
        # The other thread is at the door or a moment before it.
        threading.Event().wait(0.05)
        handle.__init__(print, (), loop)
        loop.call_soon(loop.stop)

    def ask():
        started.wait()
        asked.set()
        handle.cancel()

    handle = loop.call_soon_threadsafe(callback)
    threads = in_other_threads(1, ask)
    loop.run_forever()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_failing_callback_lets_the_others_in(loop):
    started, asked = threading.Event(), threading.Event()
    loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))
    failures = []

    def callback():
        started.set()
        asked.wait()
        loop.call_soon(loop.stop)
        raise ZeroDivisionError

    def ask():
        started.wait()
        asked.set()
        handle.cancel()

    handle = loop.call_soon_threadsafe(callback)
    (thread,) = in_other_threads(1, ask)
    loop.run_forever()
    thread.join(30)
    assert not thread.is_alive()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


def test_cancelled_before_it_runs(loop):
    handle = loop.call_soon_threadsafe(pytest.fail, "cancelled before")
    (thread,) = in_other_threads(1, handle.cancel)
    thread.join()
    assert handle.cancelled()
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_other_handles_do_not_guard(loop):
    """``call_soon`` makes no such promise: its handle answers at once."""
    started, answered = threading.Event(), threading.Event()

    def callback():
        started.set()
        assert answered.wait(30)
        loop.stop()

    def ask():
        started.wait()
        handle.cancelled()
        answered.set()

    handle = loop.call_soon(callback)
    (thread,) = in_other_threads(1, ask)
    loop.run_forever()
    thread.join()


def test_its_class(loop):
    handle = loop.call_soon_threadsafe(print)
    assert isinstance(handle, asyncio.Handle)
    assert isinstance(handle, asyncio.events._ThreadSafeHandle)
    assert not isinstance(loop.call_soon(print), asyncio.events._ThreadSafeHandle)
    assert repr(handle).startswith("<_ThreadSafeHandle ")
    handle.cancel()
    assert repr(handle) == "<_ThreadSafeHandle cancelled>"


def test_a_reused_handle_starts_anew():
    loop = ouroloop.new_event_loop()
    for _ in range(100):
        loop.call_soon_threadsafe(int)
        assert not isinstance(loop.call_soon(int), asyncio.events._ThreadSafeHandle)
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
