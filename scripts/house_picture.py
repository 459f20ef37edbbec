"""Draws the rooms of the crates from their imports: ``python scripts/house_picture.py [--check]``.

A row is a floor, the ground at the bottom; floors are the groups of ``mod`` lines in ``lib.rs``, as ``floors.py`` reads them. Where there
are no groups, a room stands one floor above the highest that it imports from, circles cut where the fewest names go through.
A thin arrow is an import from below; what other arrows imply is left out. A red one climbs, or looks across.

``--check`` draws nothing and fails if the pictures are not those of today's imports.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

from floors import MOD, ROOT, Crate, floors_of

FIGURES = ROOT / "docs" / "figures"
HOUSES = {
    "crates/ouroloop/src": ("house-engine.svg", "ouroloop, the engine"),
    "crates/ouroloop-python/src": ("house-extension.svg", "ouroloop-python, the object model"),
}

Edge = tuple[str, str]
"""A room, and one that it imports from."""

Piece = list[tuple[float, float]]
"""A line by its ends, or a curve by its ends with the two points between that it leans to."""

FONT = "ui-monospace, 'SF Mono', Menlo, 'DejaVu Sans Mono', monospace"
LETTER = 7.9
PAD, BOX, GAP = 13.0, 30.0, 26.0
BETWEEN = 62.0
THREAD = 13.0
"""How far from its neighbours an arrow passes through a floor."""
LEFT, RIGHT, ROOF, FOOT = 84.0, 28.0, 74.0, 44.0
WIDEST_LEGEND = 470.0
SWEEPS = 24
STEPS = 40

INK, PALE, WALL, THIN, RED = "#2b2f36", "#7b828c", "#5b7ba8", "#9aa5b4", "#c44e52"
BANDS = ("#f4f6f9", "#fafbfc")


@dataclass
class House:
    """Rooms by floor, and who imports from whom."""

    floors: dict[str, int]
    stated: bool
    weights: dict[Edge, int]

    @property
    def up(self) -> list[Edge]:
        """What climbs, or looks across."""
        return sorted(edge for edge in self.weights if not self._is_down(edge))

    @property
    def down(self) -> list[Edge]:
        """What goes down, but for what follows from the others."""
        below = defaultdict(set)
        for room, other in filter(self._is_down, self.weights):
            below[room].add(other)
        reached: dict[str, set[str]] = {}
        for room in sorted(below, key=self.floors.__getitem__):
            reached[room] = set().union(
                *({other, *reached.get(other, ())} for other in below[room])
            )
        return sorted(
            (room, other)
            for room, others in below.items()
            for other in others
            if not any(other in reached.get(between, ()) for between in others)
        )

    def _is_down(self, edge: Edge) -> bool:
        return self.floors[edge[0]] > self.floors[edge[1]]


def house_of(root: Path) -> House:
    """Read a crate's sources."""
    crate = Crate(root)
    room = {file: module[0] if module else "" for module, file in crate.files.items()}
    names: dict[Edge, set[tuple[str, str]]] = defaultdict(set)
    for file, others in crate.graph.items():
        for other, items in others.items():
            ends = room[file], room[other]
            if all(ends) and ends[0] != ends[1]:
                names[ends].update((other, item) for item in items)
    weights = {edge: len(items) for edge, items in sorted(names.items())}
    lib = (root / "lib.rs").read_text()
    floors = floors_of(lib)
    rooms = sorted(floors or MOD.findall(lib))
    return House(floors or levels(rooms, weights), bool(floors), weights)


def levels(rooms: Sequence[str], weights: dict[Edge, int]) -> dict[str, int]:
    """Give each room the floor above the highest that it imports from; circles are cut by `order`."""
    place = {room: number for number, room in enumerate(order(rooms, weights))}
    floors: dict[str, int] = {}
    for room in sorted(rooms, key=place.__getitem__):
        below = [
            floors[other] for one, other in weights if one == room and place[other] < place[room]
        ]
        floors[room] = max(below, default=0) + 1
    return floors


def order(rooms: Sequence[str], weights: dict[Edge, int]) -> list[str]:
    """Put the rooms in a row, the ground first, so that few names are imported from further on."""
    left = set(rooms)
    first: list[str] = []
    last: list[str] = []

    def weight(edges: Iterable[Edge]) -> int:
        return sum(weights[edge] for edge in edges if left.issuperset(edge))

    while left:
        imports = {room: weight(edge for edge in weights if edge[0] == room) for room in left}
        imported = {room: weight(edge for edge in weights if edge[1] == room) for room in left}
        if ground := sorted(room for room in left if not imports[room]):
            first += ground
            left.difference_update(ground)
        elif roof := sorted(room for room in left if not imported[room]):
            last[:0] = roof
            left.difference_update(roof)
        else:
            room = max(sorted(left), key=lambda room: imported[room] - imports[room])
            first.append(room)
            left.remove(room)
    row = first + last
    while (better := _moved(row, weights)) is not None:
        row = better
    return row


def _moved(row: list[str], weights: dict[Edge, int]) -> list[str] | None:
    """Move one room to where fewer names go up, if there is such a place."""

    def climbing(row: list[str]) -> int:
        place = {room: number for number, room in enumerate(row)}
        return sum(names for (one, other), names in weights.items() if place[other] > place[one])

    now = climbing(row)
    for room in row:
        others = [other for other in row if other != room]
        for place in range(len(row)):
            moved = [*others[:place], room, *others[place:]]
            if climbing(moved) < now:
                return moved
    return None


@dataclass(eq=False)
class Spot:
    """Something on a floor: a room, or an arrow that passes through."""

    floor: int
    name: str = ""
    x: float = 0.0
    above: list["Spot"] = field(default_factory=list)
    below: list["Spot"] = field(default_factory=list)

    @property
    def width(self) -> float:
        """How much of the floor it takes."""
        return len(self.name) * LETTER + 2 * PAD if self.name else 0.0

    @property
    def lean(self) -> float:
        """How hard it is to move: arrows are to be straight before rooms are in the middle."""
        return 1.0 if self.name else 4.0


@dataclass(eq=False)
class Arrow:
    """From a room to one that it imports from, by the spots between: from the upper to the lower."""

    way: list[Spot]
    climbs: bool
    title: str


class Drawing:
    """A house with a place for everything."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.rooms = {name: Spot(floor, name) for name, floor in sorted(house.floors.items())}
        self.rows: dict[int, list[Spot]] = {
            floor: [spot for spot in self.rooms.values() if spot.floor == floor]
            for floor in range(1, max(house.floors.values()) + 1)
        }
        self.arrows = [self._arrow(edge, climbs=False) for edge in house.down]
        self.arrows += [self._arrow(edge, climbs=True) for edge in house.up]
        self._sort()
        self._place()

    def _arrow(self, edge: Edge, *, climbs: bool) -> Arrow:
        ends = [self.rooms[name] for name in edge]
        upper, lower = reversed(ends) if ends[1].floor > ends[0].floor else ends
        way = [upper]
        for floor in range(upper.floor - 1, lower.floor, -1):
            way.append(Spot(floor))
            self.rows[floor].append(way[-1])
        way.append(lower)
        if upper.floor != lower.floor:
            for one, other in pairwise(way):
                one.below.append(other)
                other.above.append(one)
        return Arrow(way, climbs, " → ".join(edge))

    def _sort(self) -> None:
        """Order each floor so that few arrows cross."""
        best, fewest = self._orders(), self._crossings()
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            for floor in sorted(self.rows, reverse=down):
                row = self.rows[floor]
                places = {
                    spot: _mean(
                        [self._place_of(other) for other in (spot.above if down else spot.below)]
                    )
                    for spot in row
                }
                known = iter(
                    sorted(
                        (s for s in row if places[s] is not None), key=lambda s: places[s] or 0.0
                    )
                )
                self.rows[floor] = [spot if places[spot] is None else next(known) for spot in row]
            self._swap()
            if (crossings := self._crossings()) < fewest:
                best, fewest = self._orders(), crossings
        self.rows = best

    def _swap(self) -> None:
        """Exchange neighbours as long as that takes a crossing away."""
        for row in self.rows.values():
            better = True
            while better:
                better = False
                for place in range(len(row) - 1):
                    one, other = row[place : place + 2]
                    if self._crossed(one, other) > self._crossed(other, one):
                        row[place : place + 2] = other, one
                        better = True

    def _crossed(self, left: Spot, right: Spot) -> int:
        return sum(
            self._place_of(its) < self._place_of(mine)
            for mines, others in ((left.above, right.above), (left.below, right.below))
            for mine in mines
            for its in others
        )

    def _crossings(self) -> int:
        return sum(
            self._crossed(left, right)
            for row in self.rows.values()
            for place, left in enumerate(row)
            for right in row[place + 1 :]
        )

    def _orders(self) -> dict[int, list[Spot]]:
        return {floor: list(row) for floor, row in self.rows.items()}

    def _place_of(self, spot: Spot) -> float:
        row = self.rows[spot.floor]
        return row.index(spot) / max(len(row) - 1, 1)

    def _place(self) -> None:
        """Move everything under and over what it belongs to, as far as there is room."""
        for row in self.rows.values():
            _settle(row, [0.0] * len(row))
        for step in range(STEPS):
            for floor in sorted(self.rows, reverse=step % 2 == 0):
                row = self.rows[floor]
                _settle(row, [_wanted(spot) for spot in row])
        least = min(spot.x - spot.width / 2 for row in self.rows.values() for spot in row)
        for row in self.rows.values():
            for spot in row:
                spot.x += LEFT - least
        self.right = max(spot.x + spot.width / 2 for row in self.rows.values() for spot in row)


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _wanted(spot: Spot) -> float:
    """Where its neighbours would have it: in their middle, those that pass through counting most."""
    neighbours = [*spot.above, *spot.below]
    if not neighbours:
        return spot.x
    weights = [2.0 if not other.name else 1.0 for other in neighbours]
    total = sum(weight * other.x for weight, other in zip(weights, neighbours, strict=True))
    return total / sum(weights)


def _settle(row: list[Spot], wanted: list[float]) -> None:
    """Place a floor's spots as near to what is wanted as their order and their widths allow (least squares)."""
    offsets = [0.0]
    for left, right in pairwise(row):
        gap = GAP if left.name and right.name else THREAD
        offsets.append(offsets[-1] + left.width / 2 + gap + right.width / 2)
    blocks: list[tuple[float, float, int]] = []
    for spot, want, offset in zip(row, wanted, offsets, strict=True):
        blocks.append(((want - offset) * spot.lean, spot.lean, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            one, other = blocks.pop(), blocks.pop()
            blocks.append((one[0] + other[0], one[1] + other[1], one[2] + other[2]))
    starts = [total / lean for total, lean, count in blocks for _ in range(count)]
    for spot, start, offset in zip(row, starts, offsets, strict=True):
        spot.x = start + offset


def svg(house: House, title: str) -> str:
    """Draw a house."""
    return "\n".join(_Painter(house, title).lines()) + "\n"


class _Painter:
    def __init__(self, house: House, title: str) -> None:
        self.drawing = Drawing(house)
        self.house = house
        self.title = title
        self.top = max(self.drawing.rows)
        self.width = max(self.drawing.right + RIGHT, WIDEST_LEGEND, len(title) * LETTER + 2 * LEFT)
        self.height = ROOF + self.top * BOX + self.top * BETWEEN + FOOT

    def lines(self) -> Iterator[str]:
        """Yield the picture's lines, what is behind first."""
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(self.height)}"'
            f' width="{_n(self.width)}" height="{_n(self.height)}" font-family="{FONT}" font-size="13">'
        )
        yield f"<title>{escape(self.title)}: its rooms, and which import from which</title>"
        yield "<defs>"
        for name, colour in (("thin", THIN), ("red", RED)):
            yield (
                f'<marker id="{name}" viewBox="0 0 8 8" refX="7.2" refY="4" markerWidth="6.5" markerHeight="6.5"'
                f' orient="auto"><path d="M0.5 0.8 7.5 4 0.5 7.2 2.2 4Z" fill="{colour}"/></marker>'
            )
        yield "</defs>"
        yield f'<rect width="{_n(self.width)}" height="{_n(self.height)}" rx="8" fill="#ffffff"/>'
        yield from self._walls()
        yield from self._arrows()
        for spot in self.drawing.rooms.values():
            x, y = spot.x - spot.width / 2, self._y(spot.floor)
            yield (
                f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(spot.width)}" height="{_n(BOX)}" rx="5"'
                f' fill="#ffffff" stroke="{WALL}" stroke-width="1.3"/>'
            )
            yield f'<text x="{_n(spot.x)}" y="{_n(y + 19.5)}" text-anchor="middle" fill="{INK}">{spot.name}</text>'
        yield "</svg>"

    def _walls(self) -> Iterator[str]:
        """The roof with the title, a band for each floor, and what arrows mean."""
        left, right, middle = 12.0, self.width - 12, self.width / 2
        eaves = ROOF - 6
        yield (
            f'<path d="M{_n(left)} {_n(eaves)} {_n(middle)} 10 {_n(right)} {_n(eaves)}Z" fill="#e9edf3"'
            f' stroke="#d3dae4" stroke-linejoin="round"/>'
        )
        yield (
            f'<text x="{_n(middle)}" y="{_n(eaves - 11)}" text-anchor="middle" font-size="15" font-weight="600"'
            f' fill="{INK}">{escape(self.title)}</text>'
        )
        for floor in range(1, self.top + 1):
            y = self._y(floor) - BETWEEN / 2
            yield (
                f'<rect x="{_n(left)}" y="{_n(y)}" width="{_n(right - left)}" height="{_n(BOX + BETWEEN)}"'
                f' fill="{BANDS[floor % 2]}"/>'
            )
            name = "ground" if floor == 1 else f"floor {floor}"
            yield (
                f'<text x="{_n(left + 9)}" y="{_n(self._y(floor) + 19)}" font-size="11" fill="{PALE}">{name}</text>'
            )
        how = "as lib.rs states them" if self.house.stated else "by imports, lib.rs states none"
        legend = [f"Floors: {how}.", "An arrow: imports from; what others imply is left out."]
        if self.house.up:
            legend[0] += " Red: climbs, or looks across."
        for line, text in enumerate(legend):
            y = self.height - FOOT + 18 + 16 * line
            yield f'<text x="{_n(left + 9)}" y="{_n(y)}" font-size="11" fill="{PALE}">{text}</text>'

    def _arrows(self) -> Iterator[str]:
        ports = self._ports()
        for arrow in self.drawing.arrows:
            upper, lower = arrow.way[0], arrow.way[-1]
            across = upper.floor == lower.floor
            pieces = (self._across if across else self._along)(arrow, ports[arrow])
            if arrow.climbs and not across:
                pieces = [piece[::-1] for piece in reversed(pieces)]
            mark, colour = ("red", RED) if arrow.climbs else ("thin", THIN)
            yield (
                f'<path d="{_path(pieces)}" fill="none" stroke="{colour}" stroke-width="1.2"'
                f' marker-end="url(#{mark})"><title>{arrow.title}</title></path>'
            )

    def _ports(self) -> dict[Arrow, tuple[float, float]]:
        """Where each arrow leaves and enters: side by side, in the order of where they come from and go to."""
        sides: dict[tuple[Spot, bool], list[tuple[float, int, Arrow]]] = defaultdict(list)
        for number, arrow in enumerate(self.drawing.arrows):
            way = arrow.way
            same = way[0].floor == way[-1].floor
            sides[way[0], False].append((way[1].x, number, arrow))
            sides[way[-1], not same].append((way[-2].x, number, arrow))
        found: dict[tuple[Arrow, Spot], float] = {}
        for (spot, _), arrows in sides.items():
            step = min(12.0, (spot.width - 16) / max(len(arrows) - 1, 1))
            for place, (_, _, arrow) in enumerate(sorted(arrows, key=lambda entry: entry[:2])):
                found[arrow, spot] = spot.x + (place - (len(arrows) - 1) / 2) * step
        return {
            arrow: (found[arrow, arrow.way[0]], found[arrow, arrow.way[-1]])
            for arrow in self.drawing.arrows
        }

    def _along(self, arrow: Arrow, ports: tuple[float, float]) -> list[Piece]:
        x, y = ports[0], self._y(arrow.way[0].floor) + BOX
        pieces: list[Piece] = []
        for spot in arrow.way[1:]:
            aim, below = (ports[1] if spot.name else spot.x), self._y(spot.floor)
            half = (below - y) / 2
            pieces.append([(x, y), (x, y + half), (aim, below - half), (aim, below)])
            x, y = aim, below
            if not spot.name:
                y += BOX
                pieces.append([(x, below), (x, y)])
        return pieces

    def _across(self, arrow: Arrow, ports: tuple[float, float]) -> list[Piece]:
        one, other = arrow.way
        y = self._y(one.floor) + BOX
        depth = y + min(BETWEEN * 0.55, 16 + abs(one.x - other.x) / 12)
        return [[(ports[0], y), (ports[0], depth), (ports[1], depth), (ports[1], y)]]

    def _y(self, floor: int) -> float:
        return ROOF + BETWEEN / 2 + (self.top - floor) * (BOX + BETWEEN)


def _path(pieces: list[Piece]) -> str:
    (x, y), *_ = pieces[0]
    path = f"M{_n(x)} {_n(y)}"
    for _, *points in pieces:
        path += "C" if len(points) == 3 else "L"
        path += " ".join(f"{_n(x)} {_n(y)}" for x, y in points)
    return path


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def main() -> int:
    """Draw the crates' houses, or compare them with what is drawn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail if a picture is not today's")
    parser.add_argument("--out", type=Path, default=FIGURES, metavar="FOLDER")
    arguments = parser.parse_args()
    stale = []
    for source, (name, title) in HOUSES.items():
        picture = svg(house_of(ROOT / source), title)
        path: Path = arguments.out / name
        if not arguments.check:
            path.write_text(picture)
        elif not path.exists() or path.read_text() != picture:
            stale.append(name)
    for name in stale:
        print(f"{name} is not what the imports are: run python scripts/house_picture.py")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
