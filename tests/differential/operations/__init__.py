"""What each operation of the little language does; importing this package fills the table."""

from . import (
    callbacks,
    combinators,
    control,
    coroutines,
    futures,
    primitives,
    queues,
    scopes,
    tasks,
)

__all__ = [
    "callbacks",
    "combinators",
    "control",
    "coroutines",
    "futures",
    "primitives",
    "queues",
    "scopes",
    "tasks",
]
