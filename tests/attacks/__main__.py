"""``python -m tests.attacks``: attack the native objects at random, each batch in a process of its own."""

import argparse
import itertools
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .driver import Attack, Batch, consecutive, limit
from .regressions import REGRESSIONS, regressions

EPILOG = """\
Each line of a finding ends with the command that replays it. With --trace N a replay prints the last N calls
that were made before the end, with the classes and addresses of their arguments; with --shrink it looks for
the shortest beginning of the batch that still ends badly; with --gdb it prints the stack.

Modes:
  --starve     allocations fail at random while calls are made (needs _testcapi; CPython's own
               functions do not all survive that: look at the stack before you believe)
  --valgrind   under valgrind's memcheck with PYTHONMALLOC=malloc; use --batch 2000
  --asan       with libasan preloaded, for a module built with it:
                 RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address maturin develop
  --python P   with another interpreter, a debug build for instance, that has the module
"""


def main() -> int:
    """Run until the calls are made or the time is over, and tell each batch that ended badly."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.attacks",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--calls", type=int, help="how many calls to make in all")
    parser.add_argument("--seed", type=int, help="the first batch's; the next ones follow")
    parser.add_argument("--batch", type=int, default=20_000, help="calls of a batch (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--installed", action="store_true", help="always with ouroloop.install()")
    parser.add_argument("--no-regressions", action="store_true", help=f"without {REGRESSIONS.name}")
    parser.add_argument("--starve", action="store_true")
    parser.add_argument("--valgrind", action="store_true")
    parser.add_argument("--asan", action="store_true")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this batch only")
    parser.add_argument("--trace", type=int, metavar="N", help="of a replay")
    parser.add_argument("--shrink", action="store_true", help="a replay")
    parser.add_argument("--gdb", action="store_true", help="a replay")
    chosen = parser.parse_args()

    options = [name for name in ("installed", "starve") if getattr(chosen, name)]
    options += ["unlimited"] if chosen.valgrind or chosen.asan else []
    with _attack(chosen, tuple(f"--{name}" for name in options)) as attack:
        return _run(chosen, attack) if chosen.replay is None else _replay(chosen, attack)


def _run(chosen: argparse.Namespace, attack: Attack) -> int:
    seed = random.randrange(1 << 32) if chosen.seed is None else chosen.seed
    seconds = 60.0 if chosen.seconds is None and chosen.calls is None else chosen.seconds
    print(f"seed {seed}", flush=True)
    kept = [] if chosen.no_regressions else regressions(attack.options)
    batches = itertools.chain(kept, consecutive(seed, chosen.batch, attack.options))
    started = time.monotonic()
    made = count = 0
    endings: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for outcome in attack.run(batches, chosen.jobs, limit(chosen.calls, seconds)):
        made += outcome.made
        count += 1
        endings[outcome.verdict.ending.value] += 1
        if outcome.verdict.bad:
            print(outcome.account(attack.python), flush=True)
            places[outcome.verdict.place or "elsewhere"] += 1
    took = time.monotonic() - started
    print(f"{made:,} calls in {count} batches, {took:.0f} s ({made / took:,.0f} a second)")
    print(", ".join(f"{ending}: {times}" for ending, times in endings.most_common()))
    for place, times in places.most_common():
        print(f"{times:>6} {place}")
    return 1 if places else 0


def _attack(chosen: argparse.Namespace, options: tuple[str, ...]) -> Attack:
    attack = Attack(chosen.python, options)
    if chosen.valgrind:
        attack.environment["PYTHONMALLOC"] = "malloc"
        attack.before = shlex.split("valgrind --quiet --error-exitcode=9 --exit-on-first-error=yes")
        attack.patience *= 20
    if chosen.asan:
        library = subprocess.run(
            ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        # CPython keeps what it does not free; the interposed allocator sees only malloc's memory.
        attack.environment |= {"LD_PRELOAD": library, "PYTHONMALLOC": "malloc"}
        attack.environment["ASAN_OPTIONS"] = (
            "detect_leaks=0:allocator_may_return_null=1:handle_segv=0"
        )
        attack.patience *= 5
    return attack


def _replay(chosen: argparse.Namespace, attack: Attack) -> int:
    batch = Batch(chosen.replay, chosen.batch, attack.options)
    if chosen.shrink:
        batch = attack.fewest_calls(batch) or batch
    if chosen.gdb and shutil.which("gdb"):
        attack.before = ["gdb", "-quiet", "-batch", "-ex", "handle SIGALRM SIGUSR1 SIGCHLD SIGPIPE nostop noprint pass",
                         "-ex", "run", "-ex", "bt 40", "--args", *attack.before]  # fmt: skip
        attack.patience *= 3
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "trace") if chosen.trace else None
        outcome = attack.run_one(batch, path)
        print(outcome.errors)
        if path is not None:
            print(*path.read_text(errors="replace").splitlines()[-chosen.trace :], sep="\n")
    print(outcome.account(attack.python), flush=True)
    return 1 if outcome.verdict.bad else 0


if __name__ == "__main__":
    sys.exit(main())
