"""Children that are killed, or whose transport is closed, at every stage of their life."""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

from tests.support.descriptors import children
from tests.support.loops import Run, until

# Says when it runs, and writes without end.
ENDLESS = "import os\nwhile True: os.write(1, b'0123456789' * 1000)"
# Ends at once, but leaves its output to a child of its own, which ends with its input.
LEAVES = """
import os, sys
if os.fork() == 0:
    sys.stdin.read()
    os.write(1, b'last words')
"""


async def spawn(program: str, **keywords: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", program, stdin=-1, stdout=-1, **keywords
    )


def test_before_the_program_begins(run: Run) -> None:
    """It dies between fork and exec; spawning cannot tell that from a program that ran."""

    async def main() -> None:
        process = await spawn("pass", preexec_fn=lambda: os.kill(os.getpid(), signal.SIGKILL))
        assert await process.communicate(b"x" * 300_000) == (b"", None)
        assert process.returncode == -signal.SIGKILL

    run(main())


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
def test_after_some_turns(run: Run, turns: int) -> None:
    async def main() -> None:
        process = await spawn(ENDLESS)
        for _ in range(turns):
            await asyncio.sleep(0)
        process.kill()
        output, _ = await process.communicate(b"x" * 300_000)
        assert (b"0123456789" * (len(output) // 10 + 1)).startswith(output)
        assert process.returncode == -signal.SIGKILL

    run(main())


def test_while_it_writes(run: Run) -> None:
    """What it wrote before is delivered, up to the byte at which it was killed."""

    async def main() -> None:
        process = await spawn(ENDLESS)
        assert process.stdout is not None
        output = await process.stdout.readexactly(500_000)
        os.kill(process.pid, signal.SIGKILL)
        output += await process.stdout.read()
        assert (b"0123456789" * (len(output) // 10 + 1)).startswith(output)
        assert await process.wait() == -signal.SIGKILL

    run(main())


def test_after_its_end_but_before_that_of_its_pipes(run: Run) -> None:
    """Signals are refused or lost, by version; the pipes go on."""

    async def main() -> None:
        process = await spawn(LEAVES)
        await until(lambda: process.returncode is not None)
        assert process.returncode == 0
        for send in (process.kill, process.terminate, lambda: process.send_signal(signal.SIGINT)):
            send()
        assert await process.communicate(b"text") == (b"last words", None)
        with pytest.raises(ProcessLookupError):
            process.kill()

    run(main())


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("program", [ENDLESS, LEAVES, "pass"], ids=["runs", "left", "ended"])
def test_closing_the_transport(run: Run, program: str, turns: int) -> None:
    """It kills a child that runs; every waiter hears the end, and nothing stays open."""

    async def main() -> None:
        process = await spawn(program)
        transport: Any = process._transport  # type: ignore[attr-defined]
        waiting = [asyncio.ensure_future(process.wait()) for _ in range(3)]
        if program == "pass":
            await waiting[0]
        for _ in range(turns):
            await asyncio.sleep(0)
        transport.close()
        transport.close()
        (returncode,) = {await waiter for waiter in waiting}
        assert returncode in ({-signal.SIGKILL} if program == ENDLESS else {0, -signal.SIGKILL})
        # The reader of its output hears the end, too.
        assert process.stdout is not None
        await process.stdout.read()

    before = children()
    run(main())
    assert children() == before
