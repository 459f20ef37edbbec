"""Checks that files of a crate import downwards only: ``python scripts/floors.py [CRATE/src …]``.

The order of floors is that of the ``mod`` lines in a crate's ``lib.rs``: groups between blank lines, the ground first. A room
(a file or a folder beside ``lib.rs``) may name what stands in an earlier group; rooms of one group do not know each
other. Inside a room files may name each other, but not in a circle. A crate whose ``mod`` lines are one group states no order;
then only circles are looked for.

A ``pub use`` is a face and no import: a name is followed to the file that defines it. What only tests name does not count,
nor does a method that is called on a type: that is what ``pub(super)`` is for.

Circles that are known stand in ``floors.toml`` beside this file, by size; the check fails when one grows, when there
is another one, and when there is less than is allowed, so that the allowance falls with them.
"""

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = Path(__file__).with_suffix(".toml")

Module = tuple[str, ...]
"""A module's path in its crate; ``()`` is ``lib.rs``."""
Graph = dict[str, dict[str, set[str]]]
"""File, file that it names, what it names there."""

NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|[bc]?r(#*)".*?"\1|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'', re.DOTALL
)
TESTS = re.compile(r"^#\[cfg\((?:all\()?test\b", re.MULTILINE)
PUBLIC = r"(?:pub(?:\([^)]*\))? +)?"
ITEM = re.compile(
    rf"^{PUBLIC}(?:(?:unsafe|async|const|extern \"\") +)*"
    r"(?:struct|enum|trait|fn|const|static|type|union|macro_rules!) +(?:mut +)?(\w+)",
    re.MULTILINE,
)
USE = re.compile(r"^ *(pub(?:\([^)]*\))? +)?use +([^;]+);", re.MULTILINE)
MOD = re.compile(rf"^(?: *#\[[^\]]*\])* *{PUBLIC}mod +(\w+);", re.MULTILINE)
PATH = re.compile(r"(?<![\w:])((?:\w+::)+\w+)")

LONGEST_FACE = 8
"""As many re-exports are followed one after another."""


def paths_of(tree: str, before: Module = ()) -> Iterator[tuple[Module, str]]:
    """Yield the paths of a ``use`` tree, each with the name that it binds."""
    head, brace, rest = tree.strip().partition("{")
    parts = tuple(part.strip() for part in head.split("::") if part.strip())
    if not brace:
        if parts:
            name, _, alias = parts[-1].partition(" as ")
            yield (*before, *parts[:-1], name.strip()), alias.strip() or name.strip()
        return
    depth, start = 0, 0
    inner = rest[: rest.rindex("}")] + ","
    for place, letter in enumerate(inner):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and not depth:
            yield from paths_of(inner[start:place], before + parts)
            start = place + 1


class Crate:
    """A crate's files: what each defines, shows and names."""

    def __init__(self, root: Path) -> None:
        self.files: dict[Module, str] = {}
        self._text: dict[Module, str] = {}
        for path in sorted(root.rglob("*.rs")):
            name = path.relative_to(root).as_posix()
            parts = tuple(name.removesuffix(".rs").removesuffix("/mod").split("/"))
            module = () if parts == ("lib",) else parts
            self.files[module] = name
            self._text[module] = _code_of(path.read_text())
        self._items = {module: set(ITEM.findall(text)) for module, text in self._text.items()}
        self._uses = {module: list(self._uses_of(module)) for module in self.files}
        self.graph: Graph = defaultdict(lambda: defaultdict(set))
        for module, file in self.files.items():
            for named in self._named_by(module):
                home, item = self._home_of(named)
                if item and home != module:
                    self.graph[file][self.files[home]].add(item)

    def _absolute(self, module: Module, path: Module) -> Module | None:
        """Return a path from the crate's root on; none if it leads out of the crate."""
        match path:
            case ("crate", *rest):
                return tuple(rest)
            case ("self", *rest):
                return (*module, *rest)
            case ("super", "super", *rest):
                return self._absolute(module[:-1], ("super", *rest))
            case ("super", *rest):
                return (*module[:-1], *rest)
            case (first, *_) if (*module, first) in self.files:
                return (*module, *path)
        return None

    def _uses_of(self, module: Module) -> Iterator[tuple[str, Module, bool]]:
        """Yield what a file's ``use`` lines bind: the name, its path, and whether it is shown to others."""
        for public, tree in USE.findall(self._text[module]):
            for path, name in paths_of(tree):
                absolute = self._absolute(module, path)
                if absolute is not None:
                    yield name, absolute, bool(public)

    def _named_by(self, module: Module) -> Iterator[Module]:
        """Yield the paths that a file names: by ``use``, unless only to show it, and in its code."""
        body = MOD.sub("", USE.sub("", self._text[module]))
        bound: dict[str, Module] = {}
        for name, used, public in self._uses[module]:
            bound[name] = used
            if not public or re.search(rf"\b{re.escape(name)}\b", body):
                yield used
        for written in PATH.findall(body):
            first, *rest = written.split("::")
            known = bound.get(first)
            path = (*known, *rest) if known else self._absolute(module, (first, *rest))
            if path:
                yield path

    def _home_of(self, path: Module, faces: int = LONGEST_FACE) -> tuple[Module, str]:
        """Find the module that defines what ``path`` names, and its name there: none if it names a module."""
        for cut in range(len(path), -1, -1):
            module, rest = path[:cut], path[cut:]
            if module not in self.files:
                continue
            if not rest:
                break
            shown = self._uses[module] if rest[0] not in self._items[module] else []
            for name, other, _ in shown:
                if faces and name == rest[0] and other != path:
                    return self._home_of((*other, *rest[1:]), faces - 1)
            return module, rest[0]
        return (), ""


def _code_of(text: str) -> str:
    """Return a file's text without comments, the content of strings, and its tests."""
    code = NOT_CODE.sub(lambda found: '""' if '"' in found[0] else " ", text)
    tests = TESTS.search(code)
    return code[: tests.start()] if tests else code


def floors_of(lib: str) -> dict[str, int]:
    """Read the floor of each room from the groups of ``mod`` lines."""
    groups = [group for block in re.split(r"\n\s*\n", lib) if (group := MOD.findall(block))]
    if len(groups) < 2:
        return {}
    return {room: floor for floor, group in enumerate(groups, 1) for room in group}


def climbs(crate: Crate, floors: dict[str, int]) -> Iterator[str]:
    """Yield what names a room that does not stand below."""
    room = {file: module[0] if module else "" for module, file in crate.files.items()}
    for file, others in sorted(crate.graph.items()):
        for other, names in sorted(others.items()):
            mine, its = floors.get(room[file]), floors.get(room[other])
            if mine and its and room[file] != room[other] and its >= mine:
                how = "climbs to" if its > mine else "looks across to"
                yield f"{file} {how} {other} for {', '.join(sorted(names))}"


@dataclass
class Circle:
    """Files that reach each other."""

    size: int
    way: list[str]
    """A shortest way round."""

    def __str__(self) -> str:
        return f"circle of {self.size} files, such as {' -> '.join([*self.way, self.way[0]])}"


def circles(graph: Graph) -> list[Circle]:
    """Return the circles of a crate, the largest first."""
    ways = {file: _ways_from(graph, file) for file in sorted(graph)}
    found: list[Circle] = []
    seen: set[str] = set()
    for start, before in ways.items():
        if start not in before or start in seen:
            continue
        members = {file for file in before if start in ways.get(file, ())}
        seen |= members
        way = min((_way_round(ways[file], file) for file in sorted(members)), key=len)
        found.append(Circle(len(members), way))
    return sorted(found, key=lambda circle: circle.size, reverse=True)


def _ways_from(graph: Graph, start: str) -> dict[str, str]:
    """Map all that ``start`` leads to, each to the file from which it is reached first."""
    before: dict[str, str] = {}
    line = [start]
    for file in line:
        for other in sorted(graph.get(file, ())):
            if other not in before:
                before[other] = file
                line.append(other)
    return before


def _way_round(before: dict[str, str], file: str) -> list[str]:
    way = [before[file]]
    while way[-1] != file:
        way.append(before[way[-1]])
    return way[::-1]


def check(root: Path, allowed: list[int]) -> Iterator[str]:
    """Yield what is wrong with the crate whose sources stand under ``root``."""
    crate = Crate(root)
    yield from climbs(crate, floors_of((root / "lib.rs").read_text()))
    found = circles(crate.graph)
    sizes = [circle.size for circle in found]
    if sizes != allowed:
        yield from map(str, found)
        yield f"there are circles of {sizes} files, and {ALLOWED.name} says {allowed}"


def main() -> int:
    """Check the crates that are named, or those that have an allowance."""
    allowed: dict[str, list[int]] = tomllib.loads(ALLOWED.read_text())
    faults = [
        f"{name}: {fault}"
        for name in sys.argv[1:] or allowed
        for fault in check(ROOT / name, allowed.get(name, []))
    ]
    print(*faults, sep="\n", end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
