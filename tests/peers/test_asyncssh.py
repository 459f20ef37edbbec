"""asyncssh on both sides: a command, a file there and back, a forwarded port."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .conftest import HOST

asyncssh = pytest.importorskip("asyncssh")

DATA = random.Random(22).randbytes(1_500_000)


async def reverse(process: Any) -> None:
    """Answer the input's lines backwards, and a word on the side."""
    async for line in process.stdin:
        process.stdout.write(line.rstrip("\n")[::-1] + "\n")
    process.stderr.write(process.command)
    process.exit(7)


class Server(asyncssh.SSHServer):
    """Forwards any port."""

    def connection_requested(self, *_: object) -> bool:
        return True


@pytest.fixture(scope="module")
def key():
    return asyncssh.generate_private_key("ssh-ed25519")


@contextlib.asynccontextmanager
async def connected(key: Any) -> AsyncIterator[Any]:
    """Serve one client, and be it."""
    allowed = asyncssh.import_authorized_keys(key.export_public_key().decode())
    server = await asyncssh.listen(
        HOST,
        0,
        server_factory=Server,
        server_host_keys=[key],
        authorized_client_keys=allowed,
        process_factory=reverse,
        sftp_factory=True,
    )
    known = asyncssh.import_known_hosts(f"* {key.export_public_key().decode()}")
    async with (
        server,
        asyncssh.connect(
            *(HOST, server.get_port()),
            username="snake",
            client_keys=[key],
            known_hosts=known,
            config=[],
            agent_path=None,
        ) as connection,
    ):
        yield connection


def test_a_command_reads_writes_and_ends(run, key):
    lines = [f"{number} ouroloop" for number in range(2000)]

    async def main():
        async with connected(key) as connection:
            return await connection.run("backwards", input="\n".join(lines) + "\n")

    done = run(main())
    assert done.stdout.splitlines() == [line[::-1] for line in lines]
    assert (done.stderr, done.exit_status) == ("backwards", 7)


def test_a_file_goes_there_and_back(run, key, tmp_path):
    names = {name: tmp_path / name for name in ("here", "there", "again")}
    names["here"].write_bytes(DATA)

    async def main():
        async with connected(key) as connection, connection.start_sftp_client() as sftp:
            await sftp.put(str(names["here"]), str(names["there"]))
            await sftp.get(str(names["there"]), str(names["again"]))

    run(main())
    assert names["there"].read_bytes() == DATA
    assert names["again"].read_bytes() == DATA


def test_a_forwarded_port_leads_to_the_server_behind(run, key):
    async def count(reader, writer):
        writer.write(str(len(await reader.read())).encode())
        writer.close()
        await writer.wait_closed()

    async def main():
        async with await asyncio.start_server(count, HOST, 0) as behind:
            port = behind.sockets[0].getsockname()[1]
            async with (
                connected(key) as connection,
                await connection.forward_local_port(HOST, 0, HOST, port) as forwarder,
            ):
                reader, writer = await asyncio.open_connection(HOST, forwarder.get_port())
                writer.write(DATA)
                writer.write_eof()
                answer = await reader.read()
                writer.close()
                await writer.wait_closed()
                return answer

    assert run(main()) == str(len(DATA)).encode()
