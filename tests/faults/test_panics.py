"""Objects of the program's that answer what theirs never would: an error, not the end of the process."""

import textwrap

import pytest

from tests.conftest import RunPython

HEAD = """
    import asyncio, socket, ssl, sys, ouroloop

    def pair():
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        return ends
    """

PROGRAMS = {
    "a socket that has sent more than it was given": """
        class Boasting(socket.socket):
            def send(self, data, flags=0):
                return len(data) + 100
        async def main():
            loop = asyncio.get_running_loop()
            one, two = pair()
            boasting = Boasting(fileno=one.detach())
            try:
                await loop.sock_sendall(boasting, b"data")
            except ValueError:
                return
            raise AssertionError
        """,
    "a socket that changes its class half-way": """
        class Slow(socket.socket):
            __slots__ = ()
            def send(self, data, flags=0):
                self.__class__ = socket.socket
                return len(data) - 1
        async def main():
            loop = asyncio.get_running_loop()
            one, two = pair()
            slow = Slow(fileno=one.detach())
            await loop.sock_sendall(slow, b"data")
            assert await loop.sock_recv(two, 10) == b"a"
        """,
    "data that gets shorter between two sends": """
        class Slow(socket.socket):
            __slots__ = ()
            def send(self, data, flags=0):
                sent = len(data) - 1
                data.release() if isinstance(data, memoryview) else None
                shrinking.clear()
                shrinking.extend(b"1")
                self.__class__ = socket.socket
                return sent
        shrinking = bytearray(b"a long piece of data")
        async def main():
            loop = asyncio.get_running_loop()
            one, two = pair()
            try:
                await loop.sock_sendall(Slow(fileno=one.detach()), shrinking)
            except ValueError:
                pass
        """,
    "a TLS object that reads more than it is asked for": """
        class Boasting(ssl.SSLObject):
            def read(self, size=1024, buffer=None):
                return bytes(1 << 20)
            def do_handshake(self):
                pass
            def getpeercert(self, binary_form=False):
                return {}
            def cipher(self):
                return None
            def compression(self):
                return None
        class Reader(asyncio.BufferedProtocol):
            def connection_made(self, transport):
                pass
            def get_buffer(self, hint):
                return bytearray(10)
            def buffer_updated(self, count):
                assert count <= 10
            def connection_lost(self, error):
                self.lost.set_result(error)
        async def main():
            loop = asyncio.get_running_loop()
            told = []
            loop.set_exception_handler(lambda loop, context: told.append(context))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.sslobject_class = Boasting
            one, two = pair()
            reader = Reader()
            reader.lost = loop.create_future()
            await loop.create_connection(lambda: reader, sock=one, ssl=context, server_hostname="")
            two.send(b"anything")
            error = await asyncio.wait_for(reader.lost, 10)
            assert isinstance(error, ValueError), error
            assert told
        """,
    "a TLS object that has written more than it was given": """
        class Boasting(ssl.SSLObject):
            def write(self, data):
                return len(data) + 100
            def do_handshake(self):
                pass
            def getpeercert(self, binary_form=False):
                return {}
            def cipher(self):
                return None
            def compression(self):
                return None
        async def main():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.sslobject_class = Boasting
            one, two = pair()
            reader, writer = await asyncio.open_connection(
                sock=one, ssl=context, server_hostname="", ssl_handshake_timeout=5
            )
            for _ in range(10):
                writer.write(b"data")
                writer.write(bytes(100_000))
                await asyncio.sleep(0)
            assert writer.transport.get_write_buffer_size() == 0
            writer.transport.abort()
        """,
}


@pytest.mark.parametrize("mode", ["loop", "installed"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_odd_answers(run_python: RunPython, program: str, mode: str) -> None:
    tail = """
    if sys.argv[1] == "installed":
        ouroloop.install()
    ouroloop.run(asyncio.wait_for(main(), 10))
    """
    done = run_python("-c", "".join(map(textwrap.dedent, (HEAD, program, tail))), mode)
    assert "panic" not in done.stderr.lower().replace("panicexception", "")
    assert done.returncode == 0, done.stderr
