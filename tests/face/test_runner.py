"""``python -m ouroloop``: the same program with and without it."""

import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LOOK_AROUND = """\
import sys
print(sorted((name, type(value).__name__) for name, value in globals().items()))
print(__name__, globals().get("__file__"), getattr(__spec__, "name", None))
print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals())
"""
FAIL = """\
def fail():
    1 / 0
fail()
"""
CHAINED = """\
def first():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("second") from error
try:
    first()
except ValueError:
    raise ExceptionGroup("third", [OSError(1), TypeError("a")])
"""
OWN_HOOK = """\
import sys
def hook(kind, value, traceback):
    print(kind.__name__, value, traceback.tb_frame.f_code.co_filename, sys.excepthook is hook)
sys.excepthook = hook
1 / 0
"""
LAST_THINGS = """\
import atexit, sys, threading
def late():
    threading.main_thread().join()
    raise LookupError("in a thread")
def last():
    print(sys.modules["__main__"].VALUE, sys.excepthook is sys.__excepthook__)
VALUE = 3
atexit.register(last)
threading.Thread(target=late, name="late").start()
raise RuntimeError("in main")
"""
SYNTAX_ERROR = "x = (\n"
EXIT_SEVEN = "import sys; sys.exit(7)"
EXIT_TEXT = "import sys; sys.exit('a last word')"
INTERRUPT = "raise KeyboardInterrupt"

PROGRAMS = {
    "look_around": LOOK_AROUND,
    "fail": FAIL,
    "chained": CHAINED,
    "own_hook": OWN_HOOK,
    "syntax_error": SYNTAX_ERROR,
    "exit_seven": EXIT_SEVEN,
    "exit_text": EXIT_TEXT,
    "interrupt": INTERRUPT,
}


def outcome(done: subprocess.CompletedProcess[str]):
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def compare(run_python):
    """Run the same arguments plainly and under the runner; they may not differ in anything."""

    def compare(*arguments, stdin="", interpreter=()):
        plain = run_python(*interpreter, *arguments, stdin=stdin)
        under_runner = run_python(*interpreter, "-m", "ouroloop", *arguments, stdin=stdin)
        assert outcome(under_runner) == outcome(plain)
        return plain

    return compare


@pytest.fixture(params=PROGRAMS)
def program(request, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAMS[request.param])
    return PROGRAMS[request.param]


def test_file(program, compare):
    compare("program.py", "a", "-b")


def test_module(program, compare):
    compare("-m", "program", "a", "-b")


def test_code(program, compare):
    compare("-c", program, "a", "-b")


def test_stdin(program, compare):
    compare("-", "a", stdin=program)
    compare(stdin=program)


@pytest.mark.parametrize("argument", ["./program.py", "folder", "packed.zip", "."])
def test_other_spellings_of_a_program(argument, compare, tmp_path):
    (tmp_path / "program.py").write_text(LOOK_AROUND)
    (tmp_path / "__main__.py").write_text(LOOK_AROUND)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(FAIL)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("__main__.py", LOOK_AROUND)
    compare(argument, "x")


def test_a_link_finds_its_neighbours(compare, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "neighbour.py").write_text("VALUE = 5")
    (tmp_path / "home" / "program.py").write_text("import neighbour; print(neighbour.VALUE)")
    (tmp_path / "link.py").symlink_to(tmp_path / "home" / "program.py")
    assert compare("link.py").stdout == "5\n"


def test_a_package_and_its_parts(compare, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("VALUE = 6")
    (package / "__main__.py").write_text("from . import part; print(part.VALUE, __package__)")
    assert compare("-m", "package").stdout == "6 package\n"


def test_bytecode(compare, run_python, tmp_path):
    (tmp_path / "program.py").write_text(FAIL)
    compile_it = "import py_compile; py_compile.compile('program.py', 'program.pyc')"
    assert run_python("-c", compile_it).returncode == 0
    compare("program.pyc")


@pytest.mark.parametrize("arguments", [["missing.py"], ["-m", "missing"], ["empty"]])
def test_a_program_that_is_not_there(arguments, compare, tmp_path):
    (tmp_path / "empty").mkdir()
    assert compare(*arguments).returncode != 0


@pytest.mark.parametrize("argument", ["-cimport sys; print(sys.argv)", "-mprogram"])
def test_an_option_with_its_value_attached(argument, compare, tmp_path):
    (tmp_path / "program.py").write_text("import sys; print(sys.argv)")
    compare(argument, "-m", "x")


def test_the_source_may_name_its_encoding(compare, tmp_path):
    program = "# coding: latin-1\nprint(ascii('\xe9'))\n".encode("latin-1")
    (tmp_path / "program.py").write_bytes(program)
    assert compare("program.py").stdout == "'\\xe9'\n"


def test_a_safe_path_stays_safe(compare, tmp_path):
    (tmp_path / "program.py").write_text("import sys; print(sys.path[0])")
    compare("program.py", interpreter=["-P"])


def test_what_happens_after_the_failure(compare, tmp_path):
    (tmp_path / "program.py").write_text(LAST_THINGS)
    assert compare("program.py").stdout == "3 True\n"


def test_the_program_runs_on_a_native_loop(run_python):
    program = (
        "import asyncio\nasync def main(): print(type(asyncio.get_running_loop()))\n"
        "asyncio.run(main())"
    )
    done = run_python("-m", "ouroloop", "-c", program)
    assert outcome(done) == (0, "<class 'ouroloop._loop.Loop'>\n", "")


def test_a_failure_inside_asyncio_begins_at_the_program(run_python, tmp_path):
    (tmp_path / "program.py").write_text(
        "import asyncio\nasync def main():\n    raise LookupError\nasyncio.run(main())\n"
    )
    lines = run_python("-m", "ouroloop", "program.py").stderr.splitlines()
    assert lines[1] == f'  File "{tmp_path / "program.py"}", line 4, in <module>'
    assert lines[-1] == "LookupError"


@pytest.mark.parametrize("way", ["file", "module"])
def test_spawned_workers_find_functions_of_main(way, run_python, tmp_path):
    (tmp_path / "program.py").write_text(
        "import asyncio, concurrent.futures, multiprocessing\n"
        "def square(number):\n"
        "    return number * number\n"
        "async def main():\n"
        "    spawn = multiprocessing.get_context('spawn')\n"
        "    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:\n"
        "        print(await asyncio.get_running_loop().run_in_executor(pool, square, 12))\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    arguments = ["program.py"] if way == "file" else ["-m", "program"]
    assert outcome(run_python("-m", "ouroloop", *arguments)) == (0, "144\n", "")


def test_functions_of_main_are_pickled_by_name(compare, tmp_path):
    (tmp_path / "program.py").write_text(
        "import pickle\ndef f(): pass\nprint(pickle.loads(pickle.dumps(f)) is f)\n"
    )
    assert compare("program.py").stdout == "True\n"


@pytest.fixture
def foreground():
    """SIGINT as a foreground process has it: a shell's background job hands it down as ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(arguments: list[str], folder: Path):
    """Run a program until it prints ``ready``, press Ctrl-C, and return its outcome."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, stderr


@pytest.mark.usefixtures("foreground")
def test_ctrl_c_ends_a_program_as_plain_python_does(tmp_path):
    # The signal is blocked until it is pending: so it strikes the same line in both runs.
    (tmp_path / "program.py").write_text(
        "import signal, time\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "print('ready', flush=True)\n"
        "while signal.SIGINT not in signal.sigpending():\n"
        "    time.sleep(0.001)\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])\n"
    )
    plain = interrupted(["program.py"], tmp_path)
    assert interrupted(["-m", "ouroloop", "program.py"], tmp_path) == plain
    assert plain[0] == -signal.SIGINT


@pytest.mark.usefixtures("foreground")
def test_ctrl_c_cancels_main(tmp_path):
    (tmp_path / "program.py").write_text(
        "import asyncio, sys\n"
        "async def main():\n"
        "    print('ready', flush=True)\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    except asyncio.CancelledError:\n"
        "        print('cancelled', file=sys.stderr)\n"
        "        raise\n"
        "asyncio.run(main())\n"
    )
    code, stderr = interrupted(["-m", "ouroloop", "program.py"], tmp_path)
    lines = stderr.splitlines()
    assert (code, lines[0], lines[-1]) == (-signal.SIGINT, "cancelled", "KeyboardInterrupt")
    assert "_runner.py" not in stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option, run_python):
    done = run_python("-m", "ouroloop", option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m ouroloop ")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option, run_python):
    done = run_python("-m", "ouroloop", option)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"ouroloop \d+\.\d+\.\d+\S* \(Python 3\.\d+\S*\)\n", done.stdout)


@pytest.mark.parametrize("arguments", [["-x"], ["-m"], ["-c"]])
def test_misuse(arguments, run_python):
    done = run_python("-m", "ouroloop", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m ouroloop " in done.stderr
