"""``python -m ouroloop``: run an unmodified program with native loops inside asyncio.

The program gets what plain ``python`` would give it: ``sys.argv``, ``sys.path[0]``, a module ``__main__``
of its own (so that pickle and multiprocessing find its functions), exit codes, and tracebacks without
a trace of this runner. Child processes that it starts run plain ``python``.
"""

import builtins
import functools
import importlib.machinery
import importlib.util
import io
import linecache
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, NoReturn

import ouroloop

USAGE = "usage: python -m ouroloop [-h | -V] [-m MODULE | -c CODE | FILE | -] [ARGUMENT ...]"

HELP = f"""{USAGE}

Run a Python program that uses asyncio, unchanged, on Ouroloop's native event loop.

  FILE           a script, or a directory or zip file with a __main__.py
  -m MODULE      a module or package, as 'python -m' does
  -c CODE        the program itself
  -              the program comes from standard input (also without a terminal and no FILE)
  ARGUMENT ...   what the program finds in sys.argv[1:]
  -h, --help     print this text
  -V, --version  print the versions of Ouroloop and of Python

Options of the interpreter go before -m: python -X dev -m ouroloop FILE"""


def main() -> None:
    """Run the program that ``sys.argv`` names; ends as the program ends (``SystemExit``, its exception)."""
    run_program = _parse(sys.argv[1:])
    ouroloop.install()
    try:
        run_program()
    except SystemExit:
        raise
    except BaseException as failure:
        _hide_runner_in_report(failure)
        raise


def _parse(arguments: list[str]) -> Callable[[], None]:
    """Return what runs the program, with ``sys.argv`` already set; exits on ``-h``, ``-V`` and misuse."""
    option, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if option in ("-h", "--help"):
        _print_and_exit(HELP)
    if option in ("-V", "--version"):
        _print_and_exit(f"ouroloop {ouroloop.__version__} (Python {sys.version.split()[0]})")
    for flag, run in (("-m", _run_module), ("-c", _run_code)):
        if option.startswith(flag):
            operands = rest if option == flag else [option.removeprefix(flag), *rest]
            if not operands:
                _fail(f"argument expected for the {flag} option\n{USAGE}")
            sys.argv = [flag, *operands[1:]]
            return functools.partial(run, operands[0])
    if option == "-" or (not arguments and not sys.stdin.isatty()):
        sys.argv = [option, *rest]
        return _run_stdin
    if not arguments:
        _fail(f"a program is expected\n{USAGE}")
    if option.startswith("-"):
        _fail(f"unknown option {option}\n{USAGE}")
    sys.argv = arguments
    return functools.partial(_run_path, option)


def _run_module(name: str) -> None:
    _new_main()
    # The function that `python -m` itself calls: the same messages, and the same frames in a traceback.
    _run_module_as_main(name)


def _run_code(code: str) -> None:
    _set_path0("")
    namespace = _new_main(__loader__=importlib.machinery.BuiltinImporter)
    _execute(code.encode(), "<string>", namespace)


def _run_stdin() -> None:
    _set_path0("")
    namespace = _new_main(
        __loader__=importlib.machinery.BuiltinImporter, __file__="<stdin>", __cached__=None
    )
    _execute(sys.stdin.buffer.read(), "<stdin>", namespace)


def _run_path(name: str) -> None:
    path = os.getcwd() if name == "." else os.path.join(os.getcwd(), name)
    if pkgutil.get_importer(path) is not None:
        # sys.path needs the container itself even under -P: __main__ is imported from there.
        if sys.flags.safe_path:
            sys.path.insert(0, path)
        else:
            sys.path[0] = path
        _new_main()
        _run_module_as_main("__main__", alter_argv=False)
        return
    try:
        with io.open_code(path) as file:
            program = file.read()
    except OSError as error:
        _fail(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}")
    _set_path0(os.path.dirname(os.path.realpath(path)))
    if program.startswith(importlib.util.MAGIC_NUMBER):
        compiled = importlib.machinery.SourcelessFileLoader("__main__", path)
        namespace = _new_main(__loader__=compiled, __file__=path, __cached__=None)
        exec(compiled.get_code("__main__") or "", namespace)
        return
    source = importlib.machinery.SourceFileLoader("__main__", path)
    _execute(program, path, _new_main(__loader__=source, __file__=path, __cached__=None))


def _execute(program: bytes, filename: str, namespace: dict[str, Any]) -> None:
    code = compile(program, filename, "exec", dont_inherit=True)
    if filename == "<string>" and sys.version_info >= (3, 13):
        # From 3.13 on a traceback shows the source lines of a -c program.
        lines = program.decode().splitlines(keepends=True)
        linecache.cache[filename] = (len(program), None, lines, filename)
    exec(code, namespace)


def _new_main(**attributes: object) -> dict[str, Any]:
    """Put a fresh ``__main__`` in the place of this runner's and return its namespace.

    ``attributes`` are set where this version of Python gives a program of that kind such an attribute.
    """
    runners = vars(sys.modules["__main__"])
    module = ModuleType("__main__")
    namespace = vars(module)
    if "__annotations__" in runners:
        namespace["__annotations__"] = {}
    namespace["__builtins__"] = builtins
    if "__cached__" not in runners:
        attributes.pop("__cached__", None)
    namespace.update(attributes)
    sys.modules["__main__"] = module
    return namespace


def _set_path0(entry: str) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = entry


def _run_module_as_main(name: str, *, alter_argv: bool = True) -> None:
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _hide_runner_in_report(failure: BaseException) -> None:
    """Have the interpreter's report of ``failure`` begin with the program's own first frame.

    The frames come off when the report is printed: until then unwinding adds the runner's again. The hook
    in force then is the program's own, and it is in force again before it is called.
    """
    programs = failure.__traceback__
    while programs is not None and programs.tb_frame.f_code.co_filename == __file__:
        programs = programs.tb_next
    hook = sys.excepthook

    def report(
        kind: type[BaseException], value: BaseException, traceback: TracebackType | None
    ) -> None:
        sys.excepthook = hook
        if value is failure:
            value.__traceback__ = traceback = programs
        hook(kind, value, traceback)

    sys.excepthook = report


def _print_and_exit(text: str) -> NoReturn:
    sys.stdout.write(text + "\n")
    sys.exit(0)


def _fail(text: str) -> NoReturn:
    """Print ``text`` as the interpreter prints its own complaints and exit with its status for them, 2."""
    sys.stderr.write(f"{sys.executable}: {text}\n")
    sys.exit(2)
