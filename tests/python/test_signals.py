"""Ctrl-C, SIGTERM and exceptions end a session as what they are: a close by the application."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest
from helpers import program
from talkwire.testing import LocalServer

PATIENCE_S = 30

PROGRAM = """
import asyncio, signal, sys, talkwire

async def main():
    global connection
    if "SIGTERM" in sys.argv:
        # What a program does that is to be stopped by its supervisor.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with talkwire.connect(sys.argv[1]) as connection:
        async for event in connection:
            if event.type == "session.created":
                print("open", flush=True)
            if "RAISE" in sys.argv:
                raise LookupError
try:
    asyncio.run(main())
except asyncio.CancelledError:
    pass
finally:
    end = connection.end
    print(end.who, end.why, end.expected)
"""


def closes(server: LocalServer) -> list[dict[str, Any]]:
    return [entry["event"] for entry in server.journal() if entry["name"] == "closed"]


@pytest.mark.parametrize(
    ("how", "number", "last"),
    [
        ("SIGINT", signal.SIGINT, "KeyboardInterrupt"),
        ("SIGTERM", signal.SIGTERM, ""),
        ("RAISE", None, "LookupError"),
    ],
)
def test_a_program_that_is_stopped_closes_its_session(
    how: str, number: signal.Signals | None, last: str
) -> None:
    with LocalServer() as server:
        with program(sys.executable, "-c", PROGRAM, server.url, how) as stopped:
            assert stopped.stdout is not None
            if number is not None:
                assert stopped.stdout.readline() == "open\n"
                stopped.send_signal(number)
            out, err = stopped.communicate(timeout=PATIENCE_S)
        assert out.endswith("app closed True\n")
        assert last in err
        # The server was told so by a closing handshake.
        (closed,) = closes(server)
        assert (closed["by"], closed["code"]) == ("client", 1000)
