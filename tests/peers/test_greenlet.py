"""Greenlets: code that leaves a finalizer in another order than it entered."""

import gc
from typing import Any

import greenlet
import ouroloop


def test_long_chains_go_after_finalizers_that_crossed() -> None:
    loop: Any = ouroloop.new_event_loop()
    alive = 0

    class Leaf:
        def __init__(self) -> None:
            nonlocal alive
            alive += 1

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def leave(*_: object) -> None:
        (second if greenlet.getcurrent() is first else outside).switch()

    def drop() -> str:
        future = loop.create_future()
        future.set_exception(ValueError())
        del future
        return "dropped"

    outside = greenlet.getcurrent()
    first, second = greenlet.greenlet(drop), greenlet.greenlet(drop)
    loop.set_exception_handler(leave)
    first.switch()
    assert first.switch() == "dropped"
    assert second.switch() == "dropped"
    last = None
    for _ in range(2_000):
        future = loop.create_future()
        future.set_result((last, Leaf()))
        last = future
    del last, future
    gc.collect()
    assert alive == 0
    loop.close()
