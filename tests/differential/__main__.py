"""``python -m tests.differential``: hunt for differences by hand."""

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Self

from .compare import compare
from .hunt import Hunt
from .worker import Pair

REGRESSIONS = Path(__file__).parent / "regressions"


def main() -> int:
    """Hunt for as long as is asked, print each kind of difference and keep its program."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--kinds", type=int, default=10, help="stop after so many kinds")
    parser.add_argument("--keep", type=Path, default=Path("target/differential"))
    parser.add_argument(
        "--isolated", action="store_true", help="each side in a process of its own; finds crashes"
    )
    parser.add_argument("--run", type=Path, nargs="+", help="compare these programs (JSON files)")
    chosen = parser.parse_args()

    with Pair() if chosen.isolated else _Here() as pair:
        if chosen.run:
            found = [pair.compare(json.loads(path.read_text())) for path in chosen.run]
            print(*(str(one or "no difference") for one in found), sep="\n\n")
            return 1 if any(found) else 0
        print(f"seed {chosen.seed}", flush=True)
        started = time.monotonic()
        hunt = Hunt(pair.compare, chosen.seed)
        hunt.run(chosen.seconds, most_kinds=chosen.kinds)
    for number, difference in enumerate(hunt.found.values(), start=1):
        chosen.keep.mkdir(parents=True, exist_ok=True)
        path = chosen.keep / f"{chosen.seed}-{number}.json"
        path.write_text(json.dumps(difference.program) + "\n")
        print(
            f"\n{number}. {difference}\nkept as {path}; to run it always, move it to {REGRESSIONS}"
        )
    took = time.monotonic() - started
    print(f"{hunt.examples} programs in {took:.0f} s, {len(hunt.found)} kinds of differences")
    return 1 if hunt.found else 0


class _Here:
    """Both sides in this process."""

    compare = staticmethod(compare)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    sys.exit(main())
