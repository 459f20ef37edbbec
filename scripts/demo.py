"""The tour of `make demo`: each example's output once, then its time on asyncio and on Ouroloop.

Run it with a Python that has Ouroloop installed. It fails when the two differ in what they print.
"""

import argparse
import ast
import importlib.util
import platform
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
ECHO_SERVER = EXAMPLES / "echo_server.py"
RUNNERS = {"asyncio": [sys.executable], "Ouroloop": [sys.executable, "-m", "ouroloop"]}
CONNECTIONS = 20
MESSAGES = 2_000
MESSAGE = bytes(range(256)) * 4
DEADLINE = 60.0

Address = tuple[str, int]


def run_example(runner: list[str], example: Path) -> str:
    """Run a program to its end; give all it printed."""
    command = [*runner, str(example)]
    outcome = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    if outcome.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {outcome.returncode}:\n{outcome.stderr}")
    return outcome.stdout


@contextmanager
def echo_server(runner: list[str]) -> Iterator[Address]:
    """Serve on a free port for as long as the block lasts."""
    command = [*runner, str(ECHO_SERVER), "127.0.0.1", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        first_line = server.stdout.readline()
        if not first_line:
            sys.exit(f"{' '.join(command)} did not start")
        host, port = first_line.split()[-1].rsplit(":", 1)
        yield host, int(port)
        # There is nothing to tidy up, and how a server ends is no part of the figures.
        server.terminate()
        server.communicate(timeout=DEADLINE)
    finally:
        server.kill()
        server.wait()


def exchange(address: Address) -> None:
    """Keep one message on its way on each connection until all were echoed byte for byte."""
    received: dict[socket.socket, bytearray] = {}
    remaining: dict[socket.socket, int] = {}
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            client = socket.create_connection(address, timeout=DEADLINE)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            received[client] = bytearray()
            remaining[client] = MESSAGES // CONNECTIONS
            selector.register(client, selectors.EVENT_READ)
            client.sendall(MESSAGE)
        while selector.get_map():
            ready = selector.select(DEADLINE)
            if not ready:
                sys.exit("the echo server has stopped answering")
            for key, _ in ready:
                client = key.fileobj  # type: ignore[assignment]
                chunk = client.recv(len(MESSAGE))
                received[client] += chunk
                if not chunk or not MESSAGE.startswith(received[client]):
                    sys.exit("the echo server has not sent back what it was sent")
                if len(received[client]) < len(MESSAGE):
                    continue
                received[client].clear()
                remaining[client] -= 1
                if remaining[client]:
                    client.sendall(MESSAGE)
                else:
                    selector.unregister(client)
                    client.close()


def seconds(work: Callable[[], object]) -> float:
    """The wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def show_example(example: Path) -> None:
    """Print what the example is about and its output, which must not depend on the runner."""
    explanation = ast.get_docstring(ast.parse(example.read_text())) or ""
    output = {name: run_example(runner, example) for name, runner in RUNNERS.items()}
    print(f"\n{example.name}: {explanation.splitlines()[0]}")
    if output["asyncio"] != output["Ouroloop"]:
        sys.exit(f"on asyncio:\n{output['asyncio']}\non Ouroloop:\n{output['Ouroloop']}")
    for line in output["Ouroloop"].splitlines():
        print("   ", line)


def time_example(example: Path, rounds: int) -> dict[str, float]:
    """Median wall time under each runner, in alternation so that both meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in RUNNERS}
    for _ in range(rounds):
        for name, runner in RUNNERS.items():
            times[name].append(seconds(partial(run_example, runner, example)))
    return {name: statistics.median(values) for name, values in times.items()}


def time_echo(rounds: int) -> dict[str, float]:
    """Median wall time of the whole exchange with a server that is already up."""
    times: dict[str, list[float]] = {name: [] for name in RUNNERS}
    for _ in range(rounds):
        for name, runner in RUNNERS.items():
            with echo_server(runner) as address:
                exchange(address)  # a first exchange, so that a cold server is not what is timed
                times[name].append(seconds(partial(exchange, address)))
    return {name: statistics.median(values) for name, values in times.items()}


def print_row(label: str, times: dict[str, float]) -> None:
    """One line of the table, in milliseconds."""
    print(f"{label:<34}" + "".join(f"{times[name] * 1e3:>10.1f} ms" for name in RUNNERS))


def main() -> None:
    """Show every example, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="runs of which the median counts")
    rounds: int = parser.parse_args().rounds
    if importlib.util.find_spec("ouroloop") is None:
        sys.exit(f"{sys.executable} has no ouroloop; `make demo` builds it and then runs this")

    examples = sorted(path for path in EXAMPLES.glob("*.py") if path != ECHO_SERVER)
    print(f"Each program as it is, on Ouroloop; stock asyncio prints the same ({len(examples)}).")
    for example in examples:
        show_example(example)

    print(f"\nWall time, median of {rounds}, CPython {platform.python_version()}")
    print("Programs from start to exit: starting Python and their own sleeps are included.\n")
    print(f"{'':<34}" + "".join(f"{name:>13}" for name in RUNNERS))
    for example in examples:
        print_row(example.stem, time_example(example, rounds))

    print(f"\necho_server.py, already running: {MESSAGES} messages of {len(MESSAGE)} bytes over")
    print(f"{CONNECTIONS} connections, the time of the client (plain Python) included.\n")
    times = time_echo(rounds)
    print_row("echo_server", times)
    rates = "".join(f"{MESSAGES / times[name]:>11,.0f}/s" for name in RUNNERS)
    print(f"{'messages':<34}{rates}")


if __name__ == "__main__":
    main()
