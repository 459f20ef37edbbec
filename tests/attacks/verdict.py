"""How a batch ended, and what of it is a defect."""

import re
import signal
from dataclasses import dataclass
from enum import Enum


class Ending(Enum):
    """What a batch's process came to."""

    GOOD = "good"
    CRASH = "crash"
    PANIC = "panic"
    FATAL = "fatal error"
    ERROR = "error that no program may see"
    HANG = "hang"
    REPORT = "report"
    FAILURE = "failure of the attack itself"


@dataclass(frozen=True)
class Verdict:
    """An ending, with the line that tells most of it."""

    ending: Ending
    told: str = ""
    place: str = ""
    """Where in this project it was, as far as the errors say."""

    @property
    def bad(self) -> bool:
        return self.ending is not Ending.GOOD


OF_OURS = re.compile("a bug in ouroloop|^Already (?:mutably )?borrowed")
"""What a RuntimeError says that is a defect of this project, and not of the program."""

TOLD = (
    (Ending.FATAL, re.compile(r"^Fatal Python error: (?!Segmentation|Aborted|Bus|Illegal).*$", re.MULTILINE)),
    (Ending.PANIC, re.compile(r"^.*(?:panicked at|PanicException|panic in a function).*$", re.MULTILINE)),
    (Ending.REPORT, re.compile(r"^.*(?:AddressSanitizer(?! failed to allocate)|ERROR SUMMARY: [1-9]|memory allocation of).*$", re.MULTILINE)),
    # A bytearray for which there was no memory says that it has exported buffers, whoever asked for it.
    (Ending.ERROR, re.compile(r"^SystemError: (?!deallocated bytearray).*$|^RuntimeError: Already (?:mutably )?borrowed.*$|^.*a bug in ouroloop.*$|^one object for two$", re.MULTILINE)),
    # What a debugger says.
    (Ending.CRASH, re.compile(r"received signal SIG(?:SEGV|ABRT|BUS|ILL).*$", re.MULTILINE)),
    (Ending.HANG, re.compile(r"^Timeout \(.*$", re.MULTILINE)),
)  # fmt: skip
PLACE = re.compile(r"crates/ouroloop[^\s:]*:\d+")


def judge(status: int | None, errors: str) -> Verdict:
    """Judge a process by its exit status, None if it had to be killed, and by what it wrote to standard error."""
    if status is None:
        return Verdict(Ending.HANG, "killed")
    for ending, pattern in TOLD:
        found = pattern.search(errors)
        if found:
            place = PLACE.search(errors, found.start())
            return Verdict(ending, found[0].strip()[:200], place[0] if place else "")
    if status < 0:
        return Verdict(Ending.CRASH, signal.Signals(-status).name)
    if status:
        return Verdict(Ending.FAILURE, f"status {status}: {errors.strip()[-200:]}")
    return Verdict(Ending.GOOD)
