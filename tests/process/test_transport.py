"""Subprocess transports: what the protocol hears, signals, and orders that are refused."""

import asyncio
import logging
import re
import signal
import subprocess
import sys
import traceback
from typing import Any

import pytest

from tests.support.loops import Run, until

from .recorder import Recorder, child

WAITS = "import sys; sys.stdin.read()"


def test_the_life_of_a_child(run: Run) -> None:
    async def main() -> Recorder:
        protocol = await child("import sys; sys.stdout.write('out'); sys.stderr.write('err')")
        await until(lambda: "lost" in protocol.calls)
        transport = protocol.transport
        assert transport.get_returncode() == 0
        assert transport.get_protocol() is None
        assert isinstance(transport.get_extra_info("subprocess"), subprocess.Popen)
        transport.close()
        with pytest.raises(ProcessLookupError):
            transport.kill()
        return protocol

    protocol, reported = run(main())
    assert protocol.data == {1: b"out", 2: b"err"}
    assert protocol.calls[0] == "made"
    assert protocol.calls[-1] == "lost"
    for fd in (1, 2):
        assert protocol.calls.index(("data", fd)) < protocol.calls.index(("pipe lost", fd))
    assert set(protocol.calls[1:-1]) == {
        ("data", 1),
        ("data", 2),
        ("pipe lost", 0),
        ("pipe lost", 1),
        ("pipe lost", 2),
        "exited",
    }
    assert reported == []


def test_pipes_close_before_the_child_ends(run: Run) -> None:
    program = "import os, sys; os.close(1); os.close(2); sys.stdin.read(); sys.exit(7)"

    async def main() -> Recorder:
        protocol = await child(program)
        await until(lambda: {("pipe lost", 1), ("pipe lost", 2)} <= set(protocol.calls))
        assert protocol.transport.get_returncode() is None
        protocol.transport.get_pipe_transport(0).close()  # type: ignore[union-attr]
        await until(lambda: "lost" in protocol.calls)
        assert protocol.transport.get_returncode() == 7
        protocol.transport.close()
        return protocol

    assert run(main())[0].calls[-2:] == ["exited", "lost"]


def test_the_child_ends_before_its_pipes_close(run: Run) -> None:
    """A grandchild keeps them open."""
    program = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
        "'import sys; print(1, flush=True); sys.stdin.read()'])"
    )

    async def main() -> Recorder:
        protocol = await child(program)
        await until(lambda: "exited" in protocol.calls and protocol.data[1])
        assert protocol.transport.get_returncode() == 0
        assert "lost" not in protocol.calls
        stdin: Any = protocol.transport.get_pipe_transport(0)
        stdin.close()
        await until(lambda: "lost" in protocol.calls)
        protocol.transport.close()
        return protocol

    calls = run(main())[0].calls
    assert calls.index("exited") < calls.index(("pipe lost", 1))


@pytest.mark.parametrize("method", ["terminate", "kill", "send_signal"])
def test_signals(run: Run, method: str) -> None:
    sent = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL, "send_signal": signal.SIGUSR1}

    async def main() -> None:
        protocol = await child(WAITS)
        arguments = (signal.SIGUSR1,) if method == "send_signal" else ()
        getattr(protocol.transport, method)(*arguments)
        await until(lambda: "exited" in protocol.calls)
        assert protocol.transport.get_returncode() == -sent[method]
        protocol.transport.close()
        await until(lambda: "lost" in protocol.calls)

    run(main())


def test_close_kills(run: Run) -> None:
    async def main() -> None:
        protocol = await child(WAITS)
        assert not protocol.transport.is_closing()
        protocol.transport.close()
        protocol.transport.close()
        assert protocol.transport.is_closing()
        await until(lambda: "lost" in protocol.calls)
        assert protocol.transport.get_returncode() == -signal.SIGKILL

    run(main())


def test_closing_what_has_just_ended_keeps_its_status(
    run: Run, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    if "asyncio" in request.node.name:
        pytest.skip("asyncio's close() reads the status and then reports 255")

    async def main() -> None:
        protocol = await child("raise SystemExit(3)")
        process: Any = protocol.transport.get_extra_info("subprocess")
        process.wait()
        protocol.transport.close()
        await until(lambda: "lost" in protocol.calls)
        assert protocol.transport.get_returncode() == 3

    run(main())
    assert caplog.records == []


def test_representation(run: Run) -> None:
    async def main() -> list[str]:
        protocol = await child(WAITS, stderr=None)
        transport: Any = protocol.transport
        shown = [repr(transport)]
        stdin = repr(transport.get_pipe_transport(0).get_protocol())
        assert re.fullmatch(r"<WriteSubprocessPipeProto fd=0 pipe=<.*>>", stdin)
        assert transport.get_pipe_transport(2) is None
        assert transport.get_pipe_transport(5) is None
        transport.close()
        await until(lambda: "lost" in protocol.calls)
        shown.append(repr(transport))
        return [re.sub(r"\w*Transport|(?<==)\d+", "N", text) for text in shown]

    running, closed = run(main())[0]
    assert running == ("<N pid=N running stdin=<N fd=N idle bufsize=N> stdout=<N fd=N polling>>")
    assert closed == (
        "<N closed pid=N returncode=-9 stdin=<N closed fd=N closed> stdout=<N closed fd=N closed>>"
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"universal_newlines": True}, "universal_newlines must be False"),
    ({"bufsize": 1}, "bufsize must be 0"),
    ({"text": True}, "text must be False"),
    ({"encoding": "ascii"}, "encoding must be None"),
    ({"errors": "ignore"}, "errors must be None"),
]


@pytest.mark.parametrize(("keywords", "message"), REFUSED)
def test_refused_keywords(run: Run, keywords: dict[str, Any], message: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=f"^{message}$"):
            await loop.subprocess_exec(Recorder, "true", **keywords)
        with pytest.raises(ValueError, match=f"^{message}$"):
            await loop.subprocess_shell(Recorder, "true", **keywords)

    run(main())


def test_a_shell_where_none_belongs(run: Run) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=r"^shell must be False$"):
            await loop.subprocess_exec(Recorder, "true", shell=True)
        with pytest.raises(ValueError, match=r"^shell must be True$"):
            await loop.subprocess_shell(Recorder, "true", shell=False)
        with pytest.raises(ValueError, match=r"^cmd must be a string$"):
            await loop.subprocess_shell(Recorder, ["true"])

    run(main())


def test_keywords_of_popen(run: Run, tmp_path: Any) -> None:
    program = "import os, sys; print(os.getcwd(), os.environ['WORD'], os.getsid(0) == os.getpid())"

    async def main() -> bytes:
        protocol = await child(
            program,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env={"WORD": "given"},
            start_new_session=True,
        )
        await until(lambda: "lost" in protocol.calls)
        protocol.transport.close()
        return protocol.data[1]

    assert run(main())[0].decode().split() == [str(tmp_path), "given", "True"]


@pytest.mark.parametrize("method", ["subprocess_exec", "subprocess_shell"])
def test_who_blocks_while_a_child_is_spawned(
    run: Run, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Detectors of blocking calls recognise asyncio's spawning by its frame."""
    known: list[bool] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            callers = [frame for frame, _ in traceback.walk_stack(sys._getframe())]
            known.append(
                any(
                    frame.f_code.co_filename.endswith("asyncio/base_events.py")
                    and frame.f_code.co_name == method
                    for frame in callers
                )
            )
            super().__init__(*args, **keywords)

    async def main() -> int:
        if method == "subprocess_exec":
            process = await asyncio.create_subprocess_exec("true")
        else:
            process = await asyncio.create_subprocess_shell("true")
        return await process.wait()

    monkeypatch.setattr(subprocess, "Popen", Popen)
    assert run(main()) == (0, [])
    assert known == [True]


def test_a_program_that_is_not_there(run: Run) -> None:
    async def main() -> str:
        try:
            await asyncio.create_subprocess_exec("/not/there")
        except FileNotFoundError as error:
            return "".join(traceback.format_exception(error))
        return ""

    shown = run(main())[0]
    assert "asyncio/base_events.py" in shown
    assert "No such file or directory: '/not/there'" in shown


def test_standard_streams_are_pipes(run: Run) -> None:
    program = (
        "import sys; data = open('/dev/stdin', 'rb').read();"
        "open('/proc/self/fd/1', 'wb').write(data.upper())"
    )

    async def main() -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdin=-1, stdout=-1
        )
        output, _ = await process.communicate(b"through the file system")
        return output

    assert run(main())[0] == b"THROUGH THE FILE SYSTEM"


def test_an_error_of_the_protocol_is_reported(run: Run) -> None:
    class Refusing(Recorder):
        def process_exited(self) -> None:
            super().process_exited()
            raise ZeroDivisionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Refusing, "true")
        await until(lambda: "lost" in protocol.calls)
        transport.close()

    (context,) = run(main())[1]
    assert isinstance(context["exception"], ZeroDivisionError)


def test_debug_mode_logs(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        protocol = await child(WAITS, "secret", stderr=subprocess.STDOUT)
        protocol.transport.close()
        await until(lambda: "lost" in protocol.calls)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(main(), debug=True)
    # Put into words when it was logged: the transport shows otherwise by now.
    texts = [record.message for record in caplog.records]
    assert f"execute program {sys.executable!r} stdin=<pipe> stdout=stderr=<pipe>" in texts
    expected = (
        r"process '.*' created: pid \d+",
        r"execute program '.*': <.*SubprocessTransport pid=\d+ running .*>",
        r"Close running child process: kill <.*SubprocessTransport closed pid=.*>",
        r"<.*SubprocessTransport closed pid=\d+ running .*> exited with return code -9",
    )
    for pattern in expected:
        assert any(re.fullmatch(pattern, text) for text in texts), pattern
    assert not any("secret" in text for text in texts)
