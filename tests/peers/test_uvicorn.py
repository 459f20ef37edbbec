"""uvicorn from its command line: with a native loop by name, and with what ``install()`` gives."""

import re
import signal
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("uvicorn")

APP = """\
import asyncio

async def app(scope, receive, send):
    loop = type(asyncio.get_running_loop())
    body = f"{loop.__module__}.{loop.__qualname__}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


BY_NAME = ["-m", "uvicorn", "--loop", "ouroloop:new_event_loop"]
INSTALLED = [
    *("-c", "import ouroloop; ouroloop.install(); import uvicorn; uvicorn.main()"),
    *("--loop", "none"),
]


@pytest.mark.parametrize("start", [BY_NAME, INSTALLED], ids=["by-name", "installed"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_uvicorn_serves_on_a_native_loop(http, start, tmp_path):
    (tmp_path / "website.py").write_text(APP)
    command = [
        *(sys.executable, *start, "website:app", "--app-dir", str(tmp_path)),
        *("--port", "0", "--http", http, "--lifespan", "off", "--no-access-log"),
    ]
    server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log = []
    try:
        for line in server.stderr:
            log.append(line)
            if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                break
        else:
            pytest.fail("".join(log))
        with urllib.request.urlopen(found[1], timeout=30) as response:
            assert response.read() == b"ouroloop._loop.Loop"
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    finally:
        server.kill()
        server.communicate()
