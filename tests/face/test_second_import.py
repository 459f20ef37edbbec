"""The native module is made once: importing it again gives the same classes, and another interpreter is refused."""

from tests.conftest import RunPython

AGAIN = """
import asyncio, gc, sys
import ouroloop

first = ouroloop
names = [name for name in sys.modules if name.partition(".")[0] == "ouroloop"]
classes = {name: (each, each.__basicsize__, each.__dictoffset__)
           for name, each in vars(ouroloop._native).items() if isinstance(each, type)}

async def tasks_with_attributes():
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(500)]
    for task in tasks:
        task.mine = [task]
    await asyncio.gather(*tasks)

first.run(tasks_with_attributes())
for _ in range(4):
    for name in names:
        sys.modules.pop(name, None)
    import ouroloop
    assert ouroloop is not first
    for name, (each, size, dictionary) in classes.items():
        assert getattr(ouroloop._native, name) is each
        assert (each.__basicsize__, each.__dictoffset__) == (size, dictionary), name
    for module in (first, ouroloop):
        module.run(tasks_with_attributes())
    gc.collect()
print("the same")
"""

FAILED = """
import asyncio.tasks

kept = asyncio.tasks._enter_task
del asyncio.tasks._enter_task
for _ in range(2):
    try:
        import ouroloop
    except (AttributeError, ImportError) as error:
        print(type(error).__name__)
    asyncio.tasks._enter_task = kept
"""

SUBINTERPRETER = """
import asyncio, sys
import ouroloop

attempt = '''
try:
    import ouroloop
except ImportError:
    print("refused", flush=True)
'''
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    makers = [lambda: interpreters.create("legacy"), lambda: interpreters.create("isolated")]
else:
    import _xxsubinterpreters as interpreters
    makers = [lambda: interpreters.create(isolated=False), lambda: interpreters.create(isolated=True)]
for make in makers:
    other = make()
    interpreters.run_string(other, attempt)
    interpreters.destroy(other)
ouroloop.run(asyncio.sleep(0.001))
print("ran")
"""


def test_an_import_anew_makes_no_class_anew(run_python: RunPython) -> None:
    """Existing objects keep their size, and old and new modules work side by side."""
    done = run_python("-c", AGAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the same\n"


def test_a_making_that_failed_is_not_tried_again(run_python: RunPython) -> None:
    """Some of the classes are made by then."""
    done = run_python("-c", FAILED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["AttributeError", "ImportError"]


def test_subinterpreters_are_refused(run_python: RunPython) -> None:
    """An interpreter that may not have the classes gets an ``ImportError`` and harms nobody."""
    done = run_python("-c", SUBINTERPRETER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused", "refused", "ran"]
