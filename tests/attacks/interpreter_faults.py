"""``python -m tests.attacks.interpreter_faults``: programs of the standard library alone that crash or hang an interpreter.

What an attack meets there is not this project's. Each program is told by how it ends on the interpreter that runs this.
"""

import subprocess
import sys

from .verdict import Ending, Verdict, judge

SECONDS = 10

REFERENCES_THAT_DIE_TOGETHER = """
import gc, weakref

class Watched: pass

class Owner:
    def __del__(self): references.clear()

references = []
gc.disable()
watched = Watched()
references.extend(weakref.ref(watched, print) for _ in range(40))
owner = Owner()
owner.itself = owner
del owner
young = [[] for _ in range(5)]
gc.set_threshold(1)
gc.enable()
del watched  # counts the references, makes a tuple for them, and by that a collection ends them
"""

A_COLLECTION_WITHIN_A_COLLECTION = """
import gc

class Owner:
    def __del__(self):
        young = [[self.other] for _ in range(3)]
        look()
        del young

def look(): pass

gc.disable()
for _ in range(200):
    one, two = Owner(), Owner()
    one.other, two.other = two, one
    one.cycle, two.cycle = (one, two), [one, two]
del one, two
gc.set_threshold(1)
gc.enable()
young = [[], [], []]; gc.collect()  # one is asked for, and another one is due
"""

A_TASK_WITHOUT_A_LOOP = """
import asyncio, _asyncio

async def main(): pass

loop = asyncio.new_event_loop()
task = _asyncio.Task(main(), loop=loop)
try: task.__init__(main())  # no loop runs here
except RuntimeError: pass
del task
"""

A_CALLBACK_AFTER_THE_END = """
import ctypes, weakref

def told(reference): return len("")

reference = weakref.ref(bytes.maketrans, told)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(reference))  # it outlives its module, as one in a frozen cycle does
"""

PROGRAMS = {
    "references that die together": REFERENCES_THAT_DIE_TOGETHER,
    "a collection within a collection": A_COLLECTION_WITHIN_A_COLLECTION,
    "a callback after the end": A_CALLBACK_AFTER_THE_END,
    "a task without a loop": A_TASK_WITHOUT_A_LOOP,
}


def ending_of(program: str) -> Verdict:
    """Run a program to its end, or to that of its time."""
    command = [sys.executable, "-W", "ignore", "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(Ending.HANG, "killed")
    return judge(done.returncode, done.stderr)


def main() -> None:
    """Tell how each program ends."""
    print(f"CPython {sys.version.split()[0]}")
    for name, program in PROGRAMS.items():
        verdict = ending_of(program)
        print(f"    {name}: {verdict.ending.value} {verdict.told}".rstrip())


if __name__ == "__main__":
    main()
