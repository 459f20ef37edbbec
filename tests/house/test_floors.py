"""The check of the floors, on crates of a few lines."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "floors.py"
CRATE = "crates/house/src"
FLOORS = "mod ground;\n\nmod left;\nmod right;\n\npub mod roof;\n"

Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return ``check(files, allowed="[]")``: what the command says of a crate of these files, without its name."""
    script = tmp_path / "scripts" / "floors.py"
    script.parent.mkdir()
    shutil.copy(SCRIPT, script)

    def run(files: dict[str, str], allowed: str = "[]") -> list[str]:
        root = tmp_path / CRATE
        shutil.rmtree(root, ignore_errors=True)
        for name, text in {"lib.rs": FLOORS, **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        script.with_suffix(".toml").write_text(f'"{CRATE}" = {allowed}\n')
        command = [sys.executable, str(script)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        faults = done.stdout.splitlines()
        assert not done.stderr
        assert done.returncode == bool(faults)
        return [fault.removeprefix(f"{CRATE}: ") for fault in faults]

    return run


def of_circles(*sizes: int, allowed: str = "[]") -> str:
    return f"there are circles of {list(sizes)} files, and floors.toml says {allowed}"


def test_down_is_the_way(check: Check) -> None:
    assert not check(
        {
            "ground.rs": "pub struct Stone;",
            "left.rs": "use crate::ground::Stone;\npub fn build(_: Stone) {}",
            "right/mod.rs": "mod inner;\npub use inner::Deep;",
            "right/inner.rs": "use super::super::ground::{self, Stone as Brick};\npub struct Deep(Brick, ground::Stone);",
            "roof.rs": "use crate::{left::build, right::Deep};\nfn up(_: Deep) { build(crate::ground::Stone) }",
        }
    )


def test_a_climb(check: Check) -> None:
    files = {"ground.rs": "fn lift() { crate::roof::tile() }", "roof.rs": "pub fn tile() {}"}
    assert check(files) == ["ground.rs climbs to roof.rs for tile"]


def test_a_look_across(check: Check) -> None:
    files = {
        "left.rs": "use crate::right::{Window, Door};\nstruct Wall(Window, Door);",
        "right.rs": "pub struct Window;\npub(crate) struct Door;",
    }
    assert check(files) == ["left.rs looks across to right.rs for Door, Window"]


def test_a_circle(check: Check) -> None:
    files = {
        "roof.rs": "mod one;\nmod two;\nmod three;",
        "roof/one.rs": "use super::two::Two;\npub struct One(Two);",
        "roof/two.rs": "use super::three::Three;\npub struct Two(Box<Three>);",
        "roof/three.rs": "use super::one::One;\npub struct Three(Option<One>);",
    }
    told = "circle of 3 files, such as roof/one.rs -> roof/two.rs -> roof/three.rs -> roof/one.rs"
    assert check(files) == [told, of_circles(3)]


def test_a_circle_through_a_face(check: Check) -> None:
    """The face itself is no part of it: what it shows is defined elsewhere."""
    files = {
        "roof/mod.rs": "mod one;\nmod two;\npub use one::One;\npub use two::*;\npub use two::Two as Second;",
        "roof/one.rs": "use super::Second;\npub struct One(Second);",
        "roof/two.rs": "pub struct Two(Box<crate::roof::One>);",
    }
    told = "circle of 2 files, such as roof/one.rs -> roof/two.rs -> roof/one.rs"
    assert check(files) == [told, of_circles(2)]


def test_a_climb_through_a_face(check: Check) -> None:
    files = {
        "left.rs": "pub use crate::right::Window;\nstruct Wall(Window);",
        "right.rs": "pub struct Window;",
    }
    assert check(files) == ["left.rs looks across to right.rs for Window"]


@pytest.mark.parametrize(
    "text",
    [
        "// use crate::roof::tile;",
        "/* crate::roof::tile\n */",
        'const TEXT: &str = "crate::roof::tile";',
        'const TEXT: &str = r#"a " crate::roof::tile"#;',
        "#[cfg(test)]\nmod tests { use crate::roof::tile; }",
        "#[cfg(all(test, not(loom)))]\nmod tests { use crate::roof::tile; }",
        "pub use crate::roof::tile;",
    ],
)
def test_what_does_not_count(check: Check, text: str) -> None:
    """Comments, strings, tests, and a name that is only shown."""
    assert not check({"ground.rs": text, "roof.rs": "pub fn tile() {}"})


def test_one_group_states_no_order(check: Check) -> None:
    files = {
        "lib.rs": "#[macro_use]\nmod ground;\n#[cfg(unix)]\nmod roof;\n\npub use roof::tile;\n",
        "ground.rs": "use crate::roof::tile;\nfn lift() { tile() }",
        "roof.rs": "pub fn tile() {}",
    }
    assert not check(files)


def test_the_allowance_falls_with_the_circles(check: Check) -> None:
    files = {
        "roof/mod.rs": "mod one;\nmod two;",
        "roof/one.rs": "use super::two::Two;\npub struct One(Two);",
        "roof/two.rs": "pub struct Two(Box<super::one::One>);",
    }
    assert not check(files, "[2]")
    assert check(files, "[3]")[-1] == of_circles(2, allowed="[3]")
    assert check(files, "[2, 2]")[-1] == of_circles(2, allowed="[2, 2]")
    assert check({}, "[2]") == [of_circles(allowed="[2]")]


def test_the_crates_themselves() -> None:
    subprocess.run([sys.executable, str(SCRIPT)], check=True)
