"""A descriptor is closed once, by whom it belongs to: also where letting go of the socket object fails."""

import pytest

from tests.conftest import RunPython
from tests.support.loops import FACTORIES

PROGRAM = """
import asyncio, gc, os, socket, sys
import ouroloop
make = asyncio.SelectorEventLoop if sys.argv[1] == "asyncio" else ouroloop.new_event_loop
how = sys.argv[2]

class Refusing(socket.socket):
    def _refuse(self):
        if how == "error":
            raise RuntimeError("refused")
        if how == "interrupt":
            raise KeyboardInterrupt
    def detach(self):
        self._refuse()
        return super().detach()
    def close(self):
        self._refuse()
        super().close()

loop = make()
loop.set_exception_handler(lambda loop, context: None)
first, second = socket.socketpair()
end = Refusing(fileno=first.detach())
end.setblocking(False)
transport, protocol = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=end))
number = end.fileno()
assert number >= 0
transport.abort()
for _ in range(3):
    try:
        loop.run_until_complete(asyncio.sleep(0))
    except (RuntimeError, KeyboardInterrupt):
        pass
if end.fileno() >= 0:
    socket.socket._real_close(end)
other = os.open(os.devnull, os.O_RDONLY)
assert other == number, (other, number)
identity = os.fstat(other)
del end, transport, protocol
gc.collect()
loop.call_soon(loop.stop)
loop.run_forever()
loop.close()
del loop
gc.collect()
assert os.path.samestat(os.fstat(other), identity)
os.close(other)
print("closed once")
"""


@pytest.mark.parametrize("how", ["quietly", "error", "interrupt"])
@pytest.mark.parametrize("side", FACTORIES)
def test_a_number_that_is_somebody_elses_by_now(run_python: RunPython, side: str, how: str) -> None:
    done = run_python("-W", "ignore", "-c", PROGRAM, side, how)
    assert (done.returncode, done.stdout) == (0, "closed once\n"), done.stderr
