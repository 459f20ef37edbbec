"""Programs run by a Python of their own, on stock asyncio and on ours, to their exit."""

import subprocess
import sys


def outputs(program: str) -> tuple[str, str]:
    """Return what ``program`` writes on stock asyncio and after ``ouroloop.install()``; both have to end well."""
    stock, native = (
        subprocess.run(
            [sys.executable, "-W", "ignore", *how, "-c", program],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for how in ([], ["-m", "ouroloop"])
    )
    return stock, native
