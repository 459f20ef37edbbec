"""What the extension module tells a free-threaded interpreter: it wants the GIL."""

import ctypes
import sys

import ouroloop._native
import pytest

PY_MOD_GIL = 4
PY_MOD_GIL_USED = 0


class Slot(ctypes.Structure):
    _fields_ = [("slot", ctypes.c_int), ("value", ctypes.c_void_p)]


class Definition(ctypes.Structure):
    """A ``PyModuleDef``."""

    _fields_ = [
        ("base", ctypes.c_byte * (object.__basicsize__ + 3 * ctypes.sizeof(ctypes.c_void_p))),
        ("name", ctypes.c_char_p),
        ("doc", ctypes.c_char_p),
        ("size", ctypes.c_ssize_t),
        ("methods", ctypes.c_void_p),
        ("slots", ctypes.POINTER(Slot)),
    ]


@pytest.mark.skipif(
    not (3, 13) <= sys.version_info < (3, 15),
    reason="the slot came with 3.13; 3.15 has them in another place",
)
def test_the_gil_is_asked_for() -> None:
    library = ctypes.PyDLL(ouroloop._native.__file__)
    library.PyInit__native.restype = ctypes.POINTER(Definition)
    definition = library.PyInit__native().contents
    assert definition.name.endswith(b"_native")
    slots = {}
    for slot in definition.slots:
        if not slot.slot:
            break
        slots[slot.slot] = slot.value or 0
    assert slots[PY_MOD_GIL] == PY_MOD_GIL_USED
