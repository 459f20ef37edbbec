"""Makes objects come to lie elsewhere: asyncio iterates over sets of tasks, whose order follows from addresses."""

import asyncio
import random

from .world import Frame

RERUNS = 12
"""So often stock asyncio runs a program again, each time in a memory stirred anew."""


def stir(seed: int) -> list[object]:
    """Return objects that leave holes in memory, so that the next ones come to lie elsewhere."""
    chance = random.Random(seed)
    loop = asyncio.new_event_loop()
    made: list[object] = []
    for number in range(600):
        made += [loop.create_future(), tuple(range(number % 20)), bytearray(100)]
        # The frame of a coroutine lies within it.
        coroutine = Frame.run(None, [])  # type: ignore[arg-type]
        coroutine.close()
        made.append(coroutine)
    loop.close()
    chance.shuffle(made)
    return made[: len(made) // 2]
