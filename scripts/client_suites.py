"""Runs real projects' own tests three times: on stock asyncio, on Ouroloop's loop, and after ``ouroloop.install()``.

    export CLIENT_SUITES=/path/to/clients
    .venv/bin/python scripts/client_suites.py            every suite named below
    .venv/bin/python scripts/client_suites.py anyio      one of them (any that the runner knows, too)

What is tested is the ``ouroloop`` that this interpreter imports: its folder is copied into each suite's virtual
environment, so build it first (``make lint``, ``maturin develop``). Prints for each suite how many tests passed and
failed, and the names of those that fail on Ouroloop only; the exit status is 1 if there are any.

The runner in the folder that ``CLIENT_SUITES`` names (``run_client_suite.py`` and its ``suites.py``) does the work and is no part of
the checkout; two suites of libraries that live on asyncio's object model are added to those that it knows.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ouroloop

RUNNER = "run_client_suite.py"
NAMES = ["anyio", "uvicorn", "tornado", "janus", "aioquic", "hypercorn", "aiojobs", "async-timeout"]

ASYNCIO_MODE = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
ADDED: dict[str, dict[str, Any]] = {
    "aiojobs": {
        "version": "1.4.0",
        "what": "a scheduler of tasks: limits, shielding, time-outs, closing",
        "install": ["aiojobs==1.4.0", "aiohttp", "pytest", "pytest-aiohttp", "pytest-asyncio"],
        "remove": ["aiojobs"],
        "patch": "selector",
        "tests": ["tests"],
        "args": ASYNCIO_MODE,
    },
    "async-timeout": {
        "version": "5.0.1",
        "what": "asyncio.timeout and what was before it",
        "install": ["async-timeout==5.0.1", "pytest", "pytest-asyncio"],
        "remove": ["async_timeout"],
        "patch": "selector",
        "tests": ["tests"],
        "args": ASYNCIO_MODE,
    },
}

INSTALLING = "import os; os.environ.get('OUROLOOP_INSTALL') and __import__('ouroloop').install()\n"
"""What a virtual environment's Python does first, before any module can take a name from asyncio."""


@dataclass(frozen=True)
class Way:
    """One way of running a suite."""

    title: str
    loop: str
    installs: bool = False


WAYS = [
    Way("stock", "stock"),
    Way("loop", "ouroloop:new_event_loop"),
    Way("installed", "ouroloop:new_event_loop", installs=True),
]


def main() -> int:
    """Run the suites and print what they gave."""
    parser = argparse.ArgumentParser(description="Real clients' suites, stock beside Ouroloop.")
    parser.add_argument("names", nargs="*", default=NAMES)
    chosen = parser.parse_args()
    source = find_runner()
    failed_somewhere = False
    with tempfile.TemporaryDirectory() as folder:
        runner = prepare_runner(source, Path(folder) / "clients")
        for name in chosen.names:
            results = [run(runner, name, way) for way in WAYS]
            failed_somewhere |= report(name, results)
    return 1 if failed_somewhere else 0


def find_runner() -> Path:
    """Return the folder of the runner, which the environment has to name."""
    named = os.environ.get("CLIENT_SUITES", "")
    if not named or not Path(named, RUNNER).is_file():
        raise SystemExit(f"CLIENT_SUITES has to name the folder of {RUNNER}; it is {named!r}")
    return Path(named)


def prepare_runner(source: Path, folder: Path) -> Path:
    """Copy the runner, and add the suites that it lacks."""
    shutil.copytree(source, folder)
    folder.chmod(0o755)
    suites = folder / "suites.py"
    suites.chmod(0o644)
    with suites.open("a") as file:
        file.write(f"\nSUITES.update({ADDED!r})\n")
    return folder / RUNNER


def run(runner: Path, name: str, way: Way) -> dict[str, Any]:
    """Run one suite in one way and return the runner's account of it."""
    python: str = getattr(sys, "_base_executable", sys.executable)
    command = [sys.executable, str(runner), name, "--python", python, "--loop", way.loop]
    environment = {key: value for key, value in os.environ.items() if key != "OUROLOOP_INSTALL"}
    subprocess.run([*command, "--prepare"], check=True, env=environment, stdout=subprocess.DEVNULL)
    put_ouroloop(name)
    if way.installs:
        environment["OUROLOOP_INSTALL"] = "1"
    account = runner.with_name(f"{name}-{way.title}.json")
    answer = subprocess.run(
        [*command, "--json", str(account)],
        check=False,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if not account.exists():
        raise SystemExit(f"{name}, {way.title}: the runner gave no account\n{answer.stdout}")
    result: dict[str, Any] = json.loads(account.read_text())
    return result


def put_ouroloop(name: str) -> None:
    """Copy Ouroloop into the suite's virtual environment."""
    base = Path(os.environ.get("CLIENT_SUITES_DIR", Path(tempfile.gettempdir()) / "client-suites"))
    version = "".join(map(str, sys.version_info[:2]))
    for packages in base.glob(f"venvs/{name}-py{version}/lib/python*/site-packages"):
        shutil.rmtree(packages / "ouroloop", ignore_errors=True)
        shutil.copytree(Path(ouroloop.__file__).parent, packages / "ouroloop")
        (packages / "ouroloop_install.pth").write_text(INSTALLING)


def report(name: str, results: list[dict[str, Any]]) -> bool:
    """Print a suite's results; return whether Ouroloop fails where stock asyncio does not."""
    stock = set(results[0]["failures"])
    differs = False
    print(f"{name} {results[0]['version']}")
    for way, result in zip(WAYS, results, strict=True):
        failed = result["failed"] + result["errors"]
        kinds = ", ".join(f"{count} {kind}" for kind, count in result["kinds"].items())
        print(f"  {way.title:10} {result['passed']:5} passed {failed:4} failed   loops: {kinds}")
        new = sorted(set(result["failures"]) - stock)
        differs |= bool(new) or result["passed"] + len(new) < results[0]["passed"]
        for failure in new:
            print(f"             only here: {failure}")
        if new:
            print(f"             output: {result['run']}/out.txt")
    sys.stdout.flush()
    return differs


if __name__ == "__main__":
    sys.exit(main())
