"""What a trace says about a value: everything but addresses, source lines and running numbers."""

import asyncio
import re
import weakref
from collections.abc import Mapping
from typing import Any

Described = Any
"""Data that JSON can hold."""

CHAIN = 4
"""So many links of ``__cause__`` and ``__context__`` are looked at."""


class Describer:
    """Describes values; one for each run, since it numbers what has no name of its own."""

    def __init__(self) -> None:
        self._labels: dict[int, tuple[Any, str]] = {}
        self._numbers: dict[str, str] = {}

    def name(self, thing: Any, label: str) -> None:
        """Let ``label`` stand for ``thing`` wherever it appears."""
        self._labels[id(thing)] = (weakref.ref(thing), label)

    def label(self, thing: Any) -> str | None:
        """Return the label of ``thing``, if it has one."""
        reference, label = self._labels.get(id(thing), (None, None))
        return label if reference is not None and reference() is thing else None

    def text(self, text: str) -> str:
        """Return ``text`` without what differs from run to run."""
        text = re.sub(r"0x[0-9a-f]+", "0x", text)
        text = re.sub(r"\bTask-\d+", lambda found: self._number(found[0]), text)
        text = re.sub(r" (created )?at (/[^ ,>\])]*|<\w+>):\d+", "", text)
        text = re.sub(r"\.\.\.[\w/]*\.py:\d+", "...", text)
        text = re.sub(r"when=[\d.]+", "when=…", text)
        # One object listens to both sides of a shield.
        text = text.replace(
            "shield.<locals>._outer_done_callback", "shield.<locals>._inner_done_callback"
        )
        # What chains two futures is a method here, not a function of a function's.
        text = text.replace("_chain_future.<locals>.", "_Chain.")
        return re.sub(r"\b_?(UnixSelectorEventLoop|Loop)\b", "EventLoop", text)

    def _number(self, name: str) -> str:
        return self._numbers.setdefault(name, f"Task-#{len(self._numbers) + 1}")

    def value(self, value: Any) -> Described:
        """Describe any value that an operation gave."""
        match value:
            case None | bool() | int():
                return value
            case float():
                return "a time"
            case str():
                return self.text(value)
            case BaseException():
                return self.error(value)
            case list() | tuple():
                return [self.value(item) for item in value]
            case set() | frozenset():
                return ["set", sorted((self.value(item) for item in value), key=str)]
            case dict():
                return self.mapping(value)
        if label := self.label(value):
            return label
        if asyncio.isfuture(value):
            if isinstance(value, asyncio.Task):
                return self.text(f"Task {value.get_name()}")
            return "Future"
        return self.text(f"a {type(value).__name__}")

    def mapping(self, mapping: Mapping[Any, Any]) -> Described:
        """Describe what has keys, in their order."""
        return {str(key): self.value(item) for key, item in mapping.items()}

    def error(self, error: BaseException, depth: int = CHAIN) -> Described:
        """Describe an exception: type, message, members, and what it came from."""
        described: dict[str, Described] = {
            "type": type(error).__name__,
            "text": self.text(str(error)),
        }
        if not isinstance(error, BaseExceptionGroup):
            described["args"] = [self.text(repr(argument)) for argument in error.args]
        else:
            described["members"] = [self.error(member, depth) for member in error.exceptions]
        if notes := getattr(error, "__notes__", None):
            described["notes"] = [self.text(note) for note in notes]
        if depth and error.__cause__ is not None:
            described["cause"] = self.error(error.__cause__, depth - 1)
        elif depth and error.__context__ is not None:
            described["context"] = self.error(error.__context__, depth - 1)
            described["suppressed"] = error.__suppress_context__
        return described
