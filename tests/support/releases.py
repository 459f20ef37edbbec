"""What the stock library of the running patch release has been repaired of."""

import sys

Release = tuple[int, int, int]


def stock_has(*releases: Release) -> bool:
    """Whether stock asyncio has what came with these patch releases, one for each minor version that got it.

    Minor versions after the last of them have had it from the start.
    """
    running = sys.version_info[:3]
    return running >= next(
        (release for release in releases if release[:2] == running[:2]), max(releases)
    )
