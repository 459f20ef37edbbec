"""Sessions that are resumed, keys that change, and certificates chosen by name."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import NAME, Contexts
from tests.support.loops import Run, until
from tests.support.protocols import Echo, Recorder

from .peers import Refilling, connect, serving


class Resuming(ssl.SSLContext):
    """Offers ``session``: asyncio itself has no argument for it."""

    session: ssl.SSLSession | None = None

    def wrap_bio(self, *args: Any, **keywords: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **keywords, session=self.session)


@pytest.mark.parametrize("kind", [Recorder, Refilling])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(
    run: Run, contexts: Contexts, version: ssl.TLSVersion, kind: type[Any]
) -> None:
    """In TLS 1.3 the server's tickets come after the handshake, with the data."""

    async def main() -> None:
        context = Resuming(ssl.PROTOCOL_TLS_CLIENT)
        contexts.authority.configure_trust(context)
        context.minimum_version = context.maximum_version = version
        reused = []
        async with serving(contexts, Echo) as (address, made):
            for number in range(3):
                client = await connect(contexts, kind, address, ssl=context)
                client.transport.write(b"hello" * 10_000)
                await until(lambda client=client: client.data == b"hello" * 10_000)  # type: ignore[misc]
                tls = client.transport.get_extra_info("ssl_object")
                assert tls.version() == version.name.replace("v1_", "v1.")
                server_tls = made[number].transport.get_extra_info("ssl_object")
                assert tls.session_reused == server_tls.session_reused
                reused.append(tls.session_reused)
                context.session = tls.session
                client.transport.close()
                await until(lambda client=client: client.lost)  # type: ignore[misc]
                assert client.lost == [None]
        assert reused == [False, True, True]

    run(main())


def test_the_server_chooses_its_certificate_by_name(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        others = {
            name: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for name in ("a.example", "b.example")
        }
        for name, context in others.items():
            contexts.authority.issue_cert(name).configure_cert(context)
        context = contexts.server()

        def choose(tls: ssl.SSLObject, name: str, context: ssl.SSLContext) -> int | None:
            if name == "nobody.example":
                return ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            if name in others:
                tls.context = others[name]
            return None

        context.sni_callback = choose
        async with serving(contexts, Echo, ssl=context) as (address, made):
            for name in (*others, NAME):
                client = await connect(contexts, Recorder, address, server_hostname=name)
                peercert = client.transport.get_extra_info("peercert")
                assert peercert["subjectAltName"] == (("DNS", name),)
                # The context is another than that with which the session was made.
                client.transport.write(b"hello")
                await until(lambda client=client: client.data == b"hello")  # type: ignore[misc]
                client.transport.close()
                await until(lambda client=client: client.lost)  # type: ignore[misc]
            # The server's last word may be lost with the connection, as under asyncio.
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await connect(contexts, Recorder, address, server_hostname="nobody.example")
            await until(lambda: len(made) == 4)
            assert made[3].calls == []

    run(main())


def test_an_error_of_the_name_callback(run: Run, contexts: Contexts) -> None:
    """The handshake fails; the error is Python's to report, since OpenSSL stands in between."""
    heard: list[Any] = []

    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        context = contexts.server()
        context.sni_callback = fail
        async with serving(contexts, Echo, ssl=context) as (address, made):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await connect(contexts, Recorder, address)
            await until(lambda: made)
            assert made[0].calls == []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda it: heard.append(it.exc_type))
        run(main())
    assert heard == [ZeroDivisionError]


@contextlib.asynccontextmanager
async def openssl_client(
    contexts: Contexts, address: tuple[str, int], tmp_path: Path, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the program ``openssl`` as a client that takes commands by single letters."""
    authority = tmp_path / "authority.pem"
    contexts.authority.cert_pem.write_to_path(str(authority))
    process = await asyncio.create_subprocess_exec(
        "openssl",
        "s_client",
        "-connect",
        f"{address[0]}:{address[1]}",
        "-servername",
        NAME,
        "-CAfile",
        str(authority),
        *arguments,
        stdin=-1,
        stdout=-1,
        stderr=-1,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the program openssl")


@needs_openssl
def test_keys_that_change(run: Run, contexts: Contexts, tmp_path: Path) -> None:
    """TLS 1.3: one side updates its keys and has the other do the same, in mid-stream."""

    async def main() -> None:
        async with (
            serving(contexts, Echo) as (address, made),
            openssl_client(contexts, address, tmp_path, "-tls1_3") as client,
        ):
            assert client.stdin is not None
            await until(lambda: made and made[0].calls)
            for number in range(5):
                # `k` updates the client's keys, `K` the server's, too.
                client.stdin.write(b"k\n" if number % 2 else b"K\n")
                await asyncio.sleep(0.02)
                client.stdin.write(b"hello %d\n" % number)
                expected = b"".join(b"hello %d\n" % known for known in range(number + 1))
                await until(lambda expected=expected: made[0].data == expected)  # type: ignore[misc]
            # It has read what the server wrote by its new keys.
            client.stdin.write(b"Q\n")
            output, said = await client.communicate()
            assert b"hello 4\n" in output
            assert (output + said).count(b"KEYUPDATE") == 5

    run(main())


@needs_openssl
@pytest.mark.parametrize("forbidden", [False, True])
def test_renegotiation_is_refused(
    run: Run, contexts: Contexts, tmp_path: Path, forbidden: bool
) -> None:
    """TLS 1.2: a client that asks for another handshake gets none and harms nobody else."""

    async def main() -> None:
        context = contexts.server()
        if forbidden:
            context.options |= ssl.OP_NO_RENEGOTIATION
        async with serving(contexts, Echo, ssl=context) as (address, made):
            async with openssl_client(contexts, address, tmp_path, "-tls1_2") as client:
                assert client.stdin is not None
                client.stdin.write(b"hello\n")
                await until(lambda: made and made[0].data == b"hello\n")
                client.stdin.write(b"R\n")
                # The program takes the refusal for an error, and leaves.
                output, complaint = await asyncio.wait_for(client.communicate(), 10)
                assert b"RENEGOTIATING" in output + complaint
                assert b"no renegotiation" in complaint.replace(b"_", b" ")
            await until(lambda: made[0].lost)
            assert made[0].data == b"hello\n"
            other = await connect(contexts, Recorder, address)
            other.transport.write(b"hello")
            await until(lambda: other.data == b"hello")
            other.transport.close()
            await until(lambda: other.lost)

    run(main())
