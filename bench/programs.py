"""The processes of a run: the load generator, the floor and the servers."""

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.loops import ROOT

FLOOR = "floor"
START_SECONDS = 30
LOAD_SECONDS = 300


class RunError(Exception):
    """A server or the load on it failed; the text says how."""


@dataclass(frozen=True)
class Binaries:
    """Where cargo has put the two Rust programs."""

    load: Path
    floor: Path


@dataclass(frozen=True)
class Server:
    """A server that accepts connections."""

    pid: int
    port: int

    @property
    def address(self) -> str:
        """The address in the form that the load generator takes."""
        return f"127.0.0.1:{self.port}"


@functools.cache
def binaries() -> Binaries:
    """Build the Rust programs, or find that they are up to date.

    Without the headers of OpenSSL they cannot speak TLS, and a case that needs it fails by itself.
    """
    command = ["cargo", "build", "--release", "--target-dir", "target"]
    command += ["--manifest-path", "bench/load/Cargo.toml"]
    if _has_openssl():
        command += ["--features", "tls"]
    build = subprocess.run(
        [*command, "--message-format", "json-render-diagnostics"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    messages = [json.loads(line) for line in build.stdout.splitlines()]
    built = {
        message["target"]["name"]: Path(message["executable"])
        for message in messages
        if message.get("executable")
    }
    return Binaries(built["load"], built["floor"])


def _has_openssl() -> bool:
    probe = ["pkg-config", "--exists", "openssl"]
    try:
        return subprocess.run(probe, check=False).returncode == 0
    except FileNotFoundError:
        return False


@functools.cache
def certificate() -> Path:
    """Make a key and a certificate for this run; answer their file, which goes with the process."""
    import trustme

    folder = tempfile.TemporaryDirectory(prefix="ouroloop-bench-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "server.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    return path


@functools.cache
def processors() -> tuple[int, int] | None:
    """One processor for the server and one for its load, if there are two."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else None


@contextmanager
def serving(module: str, loop: str, *, udp: bool = False, tls: bool = False) -> Iterator[Server]:
    """Run a server of ``bench.servers`` on the given loop, or the floor, until the block ends."""
    if loop == FLOOR:
        command = [str(binaries().floor), *(["--udp"] if udp else [])]
    else:
        command = [sys.executable, "-m", f"bench.servers.{module}", "--loop", loop]
    command += ["--certificate", str(certificate())] if tls else []
    if (pair := processors()) is not None:
        command += ["--cpu", str(pair[0])]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
        try:
            try:
                port = _announced_port(process)
            except RunError as error:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                raise RunError("; ".join([str(error), *last])) from None
            yield Server(process.pid, port)
        finally:
            process.kill()
            process.communicate()


def load(*arguments: object) -> dict[str, Any]:
    """Run the load generator to its end and answer its report."""
    command = [str(binaries().load), *map(str, arguments)]
    if (pair := processors()) is not None:
        command += ["--cpu", str(pair[1])]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=LOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"the load did not end within {LOAD_SECONDS} s") from None
    if child.returncode != 0:
        raise RunError(child.stderr.strip())
    report: dict[str, Any] = json.loads(child.stdout)
    return report


def _announced_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], START_SECONDS)[0]:
        raise RunError(f"the server did not start within {START_SECONDS} s")
    line = process.stdout.readline()
    if not line:
        raise RunError("the server ended at its start")
    return int(line)
