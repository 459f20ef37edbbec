"""What several of the commands take."""

import argparse
from collections.abc import Sequence


class SomeOf:
    """An argument that names some of a few things, separated by commas."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def __call__(self, text: str) -> list[str]:
        """Split the text, or refuse it."""
        names = text.split(",")
        if unknown := set(names) - set(self.known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return names
