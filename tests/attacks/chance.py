"""What decides: a seed's numbers, as cheaply as they can be had."""

import random
from collections.abc import Sequence
from typing import Any


class Chance:
    """Draws from one seed; the same draws in the same order each time."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random

    def odds(self, probability: float) -> bool:
        return self._draw() < probability

    def below(self, limit: int) -> int:
        return int(self._draw() * limit)

    def one(self, among: Sequence[Any]) -> Any:
        return among[int(self._draw() * len(among))]
