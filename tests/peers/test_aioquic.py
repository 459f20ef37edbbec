"""aioquic on both sides: streams over datagrams."""

import asyncio
import random

import pytest

from .conftest import HOST

quic = pytest.importorskip("aioquic.asyncio")
configuration = pytest.importorskip("aioquic.quic.configuration")


def echo(reader, writer):
    async def serve():
        writer.write(await reader.read())
        writer.write_eof()

    task = asyncio.ensure_future(serve())
    TASKS.add(task)
    task.add_done_callback(TASKS.discard)


TASKS: set[object] = set()


def test_streams_of_one_connection_come_back_whole(run, certificates):
    bodies = [random.Random(size).randbytes(size) for size in (0, 1, 5000, 300_000)]

    async def talk(client, body):
        reader, writer = await client.create_stream()
        writer.write(body)
        writer.write_eof()
        return await reader.read()

    async def main():
        ours = configuration.QuicConfiguration(is_client=False, alpn_protocols=["echo"])
        ours.load_cert_chain(certificates.certificate, certificates.key)
        theirs = configuration.QuicConfiguration(is_client=True, alpn_protocols=["echo"])
        theirs.load_verify_locations(cadata=certificates.authority.cert_pem.bytes())
        server = await quic.serve(HOST, 0, configuration=ours, stream_handler=echo)
        port = server._transport.get_extra_info("sockname")[1]
        async with quic.connect(HOST, port, configuration=theirs) as client:
            await client.ping()
            answers = await asyncio.gather(*(talk(client, body) for body in bodies))
        server.close()
        return answers

    assert run(main()) == bodies
