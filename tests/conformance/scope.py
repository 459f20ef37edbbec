"""What is run and what may fail: ``scope.toml`` and ``expected_failures.toml``."""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Rules:
    """Patterns over test names (``file.Class.test``), each with its reason."""

    entries: tuple[tuple[re.Pattern[str], str], ...]

    @classmethod
    def of(cls, tables: list[dict[str, Any]]) -> Self:
        """Keep the entries that hold for the running Python."""
        return cls(
            tuple(
                (re.compile(table["match"]), table["reason"])
                for table in tables
                if VERSION in table.get("versions", [VERSION])
            )
        )

    def reason(self, test: str) -> str | None:
        """Return why ``test`` is concerned, or ``None`` where it is not."""
        return next((reason for pattern, reason in self.entries if pattern.match(test)), None)


def files() -> list[str]:
    """Return the test files in scope, as far as this Python has them, the largest first: they take longest."""
    import test.test_asyncio

    folder = Path(next(iter(test.test_asyncio.__path__)))
    paths = {name: folder / f"{name}.py" for name in _load("scope")["files"]}
    found = [name for name, path in paths.items() if path.exists()]
    return sorted(found, key=lambda name: paths[name].stat().st_size, reverse=True)


def excluded() -> Rules:
    """Return the tests that are not run."""
    return Rules.of(_load("scope")["exclude"])


def expected_failures() -> Rules:
    """Return the tests that have to fail on Ouroloop."""
    return Rules.of(_load("expected_failures").get("failure", []))


def short_name(test_id: str) -> str:
    """Turn unittest's ``test.test_asyncio.test_x.Class.test`` into ``test_x.Class.test``."""
    return test_id.replace("test.test_asyncio.", "")


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / f"{name}.toml").read_text())
