"""``getaddrinfo``, ``getnameinfo``, and which hosts need neither."""

import asyncio
import logging
import re
import socket
from typing import Any

import pytest

from tests.support.loops import Run


def test_getaddrinfo_answers_what_socket_answers(run: Run) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    assert run(main()) == socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


def test_getaddrinfo_has_every_keyword(run: Run) -> None:
    keywords = {
        "family": socket.AF_INET,
        "type": socket.SOCK_DGRAM,
        "proto": socket.IPPROTO_UDP,
        "flags": socket.AI_PASSIVE,
    }

    async def main() -> Any:
        return await asyncio.get_running_loop().getaddrinfo(None, 0, **keywords)

    assert run(main()) == socket.getaddrinfo(None, 0, **keywords)


def test_getaddrinfo_refuses_other_keywords(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with pytest.raises(TypeError, match="unexpected keyword argument 'kind'"):
            await loop.getaddrinfo("127.0.0.1", 80, kind=socket.SOCK_STREAM)

    run(main())


def test_getaddrinfo_raises_what_socket_raises(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await asyncio.get_running_loop().getaddrinfo("127.0.0.1", "no such service")

    run(main())


def test_getaddrinfo_asks_the_present_function(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: args)

    async def main() -> Any:
        return await asyncio.get_running_loop().getaddrinfo("a", "b", type=1)

    assert run(main()) == ("a", "b", 0, 1, 0, 0)


def test_getnameinfo_answers_what_socket_answers(run: Run) -> None:
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        return await loop.getnameinfo(("127.0.0.1", 80), flags)

    assert run(main()) == ("127.0.0.1", "80")


def test_both_run_in_the_loops_executor(run: Run) -> None:
    async def main() -> list[Any]:
        loop: Any = asyncio.get_running_loop()
        calls: list[Any] = []

        def run_in_executor(executor: Any, *call: Any) -> Any:
            calls.append((executor, *call))
            return asyncio.sleep(0, "answer")

        loop.run_in_executor = run_in_executor
        assert await loop.getaddrinfo("host", 1) == "answer"
        assert await loop.getnameinfo(("host", 1), 2) == "answer"
        del loop.run_in_executor
        return calls

    assert run(main()) == [
        (None, socket.getaddrinfo, "host", 1, 0, 0, 0, 0),
        (None, socket.getnameinfo, ("host", 1), 2),
    ]


@pytest.mark.parametrize(("slow", "level"), [(10, logging.DEBUG), (0, logging.INFO)])
def test_debug_mode_tells_how_long_it_took(
    run: Run, caplog: pytest.LogCaptureFixture, slow: float, level: int
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = slow
        await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET, type=socket.SOCK_STREAM)
        loop.slow_callback_duration = 10

    run(main(), debug=True)
    asked = "127.0.0.1:80, family=<AddressFamily.AF_INET: 2>, type=<SocketKind.SOCK_STREAM: 1>"
    records = [record for record in caplog.records if "address info" in record.getMessage()]
    first, second = (record.getMessage() for record in records)
    assert first == f"Get address info {asked}"
    took = re.escape(f"Getting address info {asked} took ") + r"\d+\.\d{3}ms: \[\(.*\)\]"
    assert re.fullmatch(took, second)
    assert records[1].levelno == level


class Asked(Exception):
    """The loop's ``getaddrinfo`` was called."""


def names(host: Any, port: Any, **keywords: Any) -> Any:
    raise Asked(host, port, keywords)


@pytest.mark.parametrize(
    ("host", "port", "keywords"),
    [
        ("localhost", 80, {}),
        (None, 80, {}),
        ("127.0.0.1", "http", {}),
        ("127.0.0.1", b"80x", {}),
        ("::1%lo", 80, {}),
        ("::1", 80, {"family": socket.AF_INET}),
        ("127.0.0.1", 80, {"proto": socket.IPPROTO_ICMP}),
        ("127.1", 80, {}),
    ],
)
def test_names_are_looked_up(run: Run, host: Any, port: Any, keywords: dict[str, Any]) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.getaddrinfo = names
        with pytest.raises(Asked) as asked:
            await loop.create_connection(asyncio.Protocol, host, port, **keywords)
        del loop.getaddrinfo
        defaults = {"family": 0, "type": socket.SOCK_STREAM, "proto": 0, "flags": 0}
        assert asked.value.args == (host, port, defaults | keywords)

    run(main())


@pytest.mark.parametrize(
    ("host", "port", "keywords", "expected"),
    [
        ("127.0.0.1", 80, {}, ("127.0.0.1", 80)),
        (b"127.0.0.1", 80, {}, ("127.0.0.1", 80)),
        ("127.0.0.1", "80", {}, ("127.0.0.1", 80)),
        ("127.0.0.1", b"80", {}, ("127.0.0.1", 80)),
        ("127.0.0.1", "", {}, ("127.0.0.1", 0)),
        ("127.0.0.1", None, {}, ("127.0.0.1", 0)),
        ("127.0.0.1", 80, {"family": socket.AF_INET}, ("127.0.0.1", 80)),
        ("127.0.0.1", 80, {"proto": socket.IPPROTO_TCP}, ("127.0.0.1", 80)),
        ("::1", 80, {}, ("::1", 80, 0, 0)),
        ("::1", 80, {"family": socket.AF_INET6}, ("::1", 80, 0, 0)),
    ],
)
def test_addresses_are_not_looked_up(
    run: Run, host: Any, port: Any, keywords: dict[str, Any], expected: Any
) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        tried = []

        async def sock_connect(sock: socket.socket, address: Any) -> None:
            tried.append(address)
            raise OSError("not today")

        loop.getaddrinfo = names
        loop.sock_connect = sock_connect
        with pytest.raises(OSError, match="not today"):
            await loop.create_connection(asyncio.Protocol, host, port, **keywords)
        del loop.getaddrinfo, loop.sock_connect
        assert tried == [expected]

    run(main())


@pytest.mark.parametrize("host", [5, 1.5])
def test_a_host_that_is_no_text_is_a_type_error(run: Run, host: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, 80)

    run(main())
