"""`examples/echo_server.py` as a child process, watched from outside."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAM = Path(__file__).parents[2] / "examples" / "echo_server.py"
DEADLINE = 30.0
POLL_INTERVAL = 0.01


def eventually(condition: Callable[[], bool]) -> bool:
    """Poll a condition of another process until it holds; False when the deadline passes."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_INTERVAL)
    return True


@contextmanager
def interrupts_inherited() -> Iterator[None]:
    """Start children that heed SIGINT, which a shell lets its background jobs ignore.

    An ignored signal stays ignored in a child; a handled one starts with its default there.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, inherited)


class EchoProcess:
    """The server on a free port of the loopback interface, from `with` to its Ctrl-C."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = [*command, str(PROGRAM), "127.0.0.1", "0"]
        # Files, because a pipe that nobody reads would stop the server once it is full.
        self._stdout = folder / "stdout"
        self._stderr = folder / "stderr"

    def __enter__(self) -> Self:
        with (
            self._stdout.open("w") as stdout,
            self._stderr.open("w") as stderr,
            interrupts_inherited(),
        ):
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        if not eventually(lambda: bool(self.lines()) or self._process.poll() is not None):
            self._process.kill()
        if not self.lines():
            self._process.wait()
            raise AssertionError(f"the server did not start:\n{self._stderr.read_text()}")
        host, port = self.lines()[0].removeprefix("serving on ").rsplit(":", 1)
        self.address = (host, int(port))
        self._descriptors_at_start = self._descriptors()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
            self._process.wait()
            return
        self._process.send_signal(signal.SIGINT)
        try:
            status = self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        assert self._stderr.read_text() == ""
        assert status == 0

    def lines(self) -> list[str]:
        """The complete lines that the server has printed so far."""
        text = self._stdout.read_text()
        return [line[:-1] for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def assert_ended(self, connections: int) -> None:
        """Wait until so many connections are reported as ended and all descriptors are closed."""
        assert eventually(lambda: len(self.lines()) == 1 + connections), self.lines()[-1]
        # Socket inodes differ from one to the next, so equal means the very same open files.
        closed = eventually(lambda: self._descriptors() == self._descriptors_at_start)
        assert closed, f"at start {self._descriptors_at_start}, now {self._descriptors()}"

    def _descriptors(self) -> dict[str, str]:
        """What each open descriptor of the server stands for."""
        targets = {}
        for entry in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                targets[entry.name] = str(entry.readlink())
            except FileNotFoundError:
                continue  # closed between the listing and the look
        return targets
