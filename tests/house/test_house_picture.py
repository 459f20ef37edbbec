"""The picture of the rooms, on crates of a few lines."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
ENGINE, EXTENSION = "crates/ouroloop/src", "crates/ouroloop-python/src"
FLOORS = "mod ground;\n\nmod left;\nmod right;\n\npub mod roof;\n"
FILES = {
    "ground.rs": "pub struct Stone;",
    "left.rs": "use crate::ground::Stone;\npub struct Wall(Stone);",
    "right.rs": "pub struct Door(crate::ground::Stone);",
    "roof.rs": "use crate::{ground::Stone, left::Wall, right::Door};\npub struct Tile(Stone, Wall, Door);",
}
RED = "#c44e52"

Draw = Callable[..., str]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs the script in a folder of its own, where both crates have the files above."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    for name in ("house_picture.py", "floors.py"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts")
    for crate in (ENGINE, EXTENSION):
        (tmp_path / crate).mkdir(parents=True)
        for name, text in {"lib.rs": FLOORS, **FILES}.items():
            (tmp_path / crate / name).write_text(text)

    def run(*arguments: str, hashes: str = "0") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(tmp_path / "scripts" / "house_picture.py"), *arguments],
            env={"PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def draw(command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Draw:
    """Return ``draw(files, **how)``: the engine's picture with these files changed."""

    def run(files: dict[str, str], hashes: str = "0") -> str:
        for name, text in files.items():
            (tmp_path / ENGINE / name).write_text(text)
        done = command(hashes=hashes)
        assert not done.stderr
        assert done.returncode == 0
        return (tmp_path / "docs" / "figures" / "house-engine.svg").read_text()

    return run


def arrows(picture: str) -> dict[str, str]:
    """Map each arrow to its colour."""
    found = re.findall(r'stroke="(#\w+)"[^>]*><title>(.*?)</title></path>', picture)
    return {title: colour for colour, title in found}


def heights(picture: str) -> dict[str, float]:
    """Map each room to how far down it stands."""
    found = re.findall(
        r'<text x="[\d.]+" y="([\d.]+)" text-anchor="middle" fill="#\w+">(\w+)<', picture
    )
    return {name: float(y) for y, name in found}


def test_rooms_stand_on_floors(draw: Draw) -> None:
    y = heights(draw({}))
    assert y["roof"] < y["left"] == y["right"] < y["ground"]


def test_what_others_imply_is_left_out(draw: Draw) -> None:
    found = arrows(draw({}))
    assert set(found) == {"left → ground", "right → ground", "roof → left", "roof → right"}
    assert RED not in found.values()


def test_what_climbs_or_looks_across_is_red(draw: Draw) -> None:
    picture = draw(
        {
            "ground.rs": "pub struct Stone(crate::roof::Tile);",
            "left.rs": "pub struct Wall(crate::right::Door);",
        }
    )
    red = {title for title, colour in arrows(picture).items() if colour == RED}
    assert red == {"ground → roof", "left → right"}
    assert "Red: climbs" in picture


def test_without_groups_floors_are_by_imports(draw: Draw) -> None:
    """The circle is cut where one name goes through, not two."""
    picture = draw(
        {
            "lib.rs": "mod ground;\nmod left;\nmod right;\nmod roof;\n",
            "ground.rs": "pub struct Stone;",
            "left.rs": "use crate::ground::Stone;\npub struct Wall(crate::right::Door, crate::right::Key, Stone);",
            "right.rs": "pub struct Door;\npub struct Key;\nfn open(_: crate::left::Wall) {}",
        }
    )
    y = heights(picture)
    assert y["roof"] < y["left"] < y["right"] == y["ground"]
    assert [title for title, colour in arrows(picture).items() if colour == RED] == ["right → left"]
    assert "lib.rs states none" in picture


def test_the_same_imports_give_the_same_picture(draw: Draw) -> None:
    assert draw({}, hashes="1") == draw({}, hashes="2")


def test_a_stale_picture_is_told(
    command: Callable[..., subprocess.CompletedProcess[str]], draw: Draw, tmp_path: Path
) -> None:
    assert command("--check").returncode == 1
    draw({})
    assert command("--check").returncode == 0
    (tmp_path / EXTENSION / "ground.rs").write_text("pub struct Stone(crate::roof::Tile);")
    stale = command("--check")
    assert stale.returncode == 1
    assert stale.stdout.startswith("house-extension.svg is not what the imports are")
