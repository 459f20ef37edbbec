"""A kernel that refuses: system calls that fail in one thread, by a filter of seccomp's.

A filter stays as long as its thread, so what is to fail and then to succeed runs first in a thread of
its own, then in another one.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

NUMBERS: Final = {
    "x86_64": (0xC000003E, {"accept4": 288, "sendto": 44, "sendmsg": 46, "sendmmsg": 307}),
    "aarch64": (0xC00000B7, {"accept4": 242, "sendto": 206, "sendmsg": 211, "sendmmsg": 269}),
}
"""The audit name of each machine, and its numbers of system calls."""

NO_DESCRIPTOR: Final = 0x7FFFFFFF
"""A number that no file has."""

_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _filter(calls: Sequence[str], descriptor: int, error: int) -> bytes:
    """A program that fails ``calls`` on one descriptor."""
    machine, numbers = NUMBERS[platform.machine()]
    wanted = [numbers[call] for call in calls]
    code = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 0, len(wanted) + 4, machine), (_LOAD, 0, 0, _NUMBER)]
    for place, number in enumerate(wanted):
        left = len(wanted) - place - 1
        # The last one that does not match goes to the end, where everything is allowed.
        code.append((_EQUAL, left, 0 if left else 3, number))
    code += [
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, descriptor),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _refuse(calls: Sequence[str], descriptor: int, error: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = _filter(calls, descriptor, error)
    program = _Program(len(instructions) // 8, instructions)
    for arguments in (
        (_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def call_refused(calls: Sequence[str], descriptor: int, error: int, body: Callable[[], Any]) -> Any:
    """Call ``body`` in a thread in which ``calls`` on ``descriptor`` fail with ``error``."""
    outcome: list[Any] = []

    def target() -> None:
        try:
            _refuse(calls, descriptor, error)
            outcome.extend((body(), None))
        except BaseException as problem:
            outcome.extend((None, problem))

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    answer, problem = outcome
    if problem is not None:
        raise problem
    return answer


def can_refuse() -> bool:
    """Whether this system lets a thread install such a filter."""
    if sys.platform != "linux" or platform.machine() not in NUMBERS:
        return False
    try:
        call_refused(["accept4"], NO_DESCRIPTOR, errno.EPERM, lambda: None)
    except OSError:
        return False
    return True
