"""A PostgreSQL of the tests' own, in a folder of its own."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import HOST, Certificates

USER = "snake"
OTHER_USER = "nobody"  # who runs it for root: PostgreSQL refuses to


@dataclass(frozen=True)
class Postgres:
    """Where it listens: a folder with a Unix socket, and a port of the loopback with TLS."""

    folder: str
    port: int


def programs() -> Path:
    """Return the folder of ``initdb`` and ``pg_ctl``."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("PostgreSQL's initdb and pg_ctl are not here")


def owner() -> pwd.struct_passwd | None:
    """Return the user who runs the server, if it is not this one."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(OTHER_USER)
    except KeyError:
        pytest.skip(f"PostgreSQL does not run for root, and there is no user {OTHER_USER}")


@contextlib.contextmanager
def running_postgres(certificates: Certificates) -> Iterator[Postgres]:
    """Make a data base, serve it, and remove it."""
    binaries, user = programs(), owner()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        data = Path(folder) / "data"

        def call(program: str, *arguments: str) -> int:
            return subprocess.run(
                [binaries / program, "-D", data, *arguments],
                user=user and user.pw_uid,
                group=user and user.pw_gid,
                cwd=folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
                check=False,
            ).returncode

        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        assert call("initdb", "--no-sync", "--auth=trust", f"--username={USER}") == 0
        for name, source in [
            ("server.crt", certificates.certificate),
            ("server.key", certificates.key),
        ]:
            shutil.copyfile(source, data / name)
            (data / name).chmod(0o600)
            if user:
                os.chown(data / name, user.pw_uid, user.pw_gid)
        # Between finding a free port and listening there, somebody may take it.
        for _ in range(5):
            with socket.create_server((HOST, 0)) as reserved:
                port = reserved.getsockname()[1]
            settings = f"-h {HOST} -p {port} -k {folder} -c fsync=off -c ssl=on"
            if call("pg_ctl", "-w", "-s", "-l", f"{folder}/log", "-o", settings, "start") == 0:
                break
        else:
            pytest.fail((Path(folder) / "log").read_text())
        try:
            yield Postgres(folder, port)
        finally:
            assert call("pg_ctl", "-w", "-s", "-m", "fast", "stop") == 0
