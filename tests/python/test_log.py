"""The log of the sessions goes to ``logging.getLogger("talkwire")``, without what anybody said."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import talkwire
from helpers import run, say_text, until
from talkwire import _log, _process, sync
from talkwire.testing import LocalServer

TEXT = {"type": "realtime", "output_modalities": ["text"]}
SECRET = "a-secret-word"


class Lines(logging.Handler):
    """Keeps what it is told, and tells whoever waits for more."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.records: list[logging.LogRecord] = []
        self.told = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.told.set()

    def text(self) -> str:
        return "\n".join(record.getMessage() for record in self.records)

    async def wait_for(self, words: str) -> None:
        while words not in self.text():
            self.told.clear()
            await self.told.wait()


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, lines = logging.getLogger("talkwire"), Lines()
    logger.addHandler(lines)
    before = logger.level
    yield lines
    logger.removeHandler(lines)
    logger.setLevel(before)


def test_lines_come_while_a_connection_is_open_and_say_nothing_that_was_said(lines: Lines) -> None:
    logging.getLogger("talkwire").setLevel(logging.DEBUG)

    async def main() -> None:
        async with LocalServer() as server:
            connected = talkwire.connect(server.url, api_key=SECRET, session=TEXT)
            async with connected as connection, asyncio.timeout(30):
                await lines.wait_for("ready session")
                await say_text(connection, SECRET)
                await until(connection, "response.done")
                await lines.wait_for("received response.done")
            assert "end closed" in lines.text()

    run(main())
    assert SECRET not in lines.text()
    levels = {record.levelno for record in lines.records}
    assert levels == {logging.DEBUG, logging.INFO}
    times = [record.created for record in lines.records]
    assert times == sorted(times) and times[0] > 1_700_000_000


def test_the_level_of_the_logger_says_how_much_is_logged(lines: Lines) -> None:
    async def talk(level: int) -> list[int]:
        logging.getLogger("talkwire").setLevel(level)
        lines.records.clear()
        async with (
            LocalServer() as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            await say_text(connection, "hello")
            await until(connection, "response.done")
        return [record.levelno for record in lines.records]

    assert run(talk(logging.ERROR)) == []
    assert set(run(talk(logging.INFO))) == {logging.INFO}
    pieces = run(talk(5))
    assert 5 in pieces and logging.DEBUG in pieces


def test_a_server_that_cannot_be_reached_is_a_warning(lines: Lines) -> None:
    logging.getLogger("talkwire").setLevel(logging.NOTSET)

    async def main() -> None:
        with pytest.raises(talkwire.ConnectError):
            async with talkwire.connect("ws://127.0.0.1:1/", recovery={"budget_ms": 0}):
                pass

    run(main())
    warnings = [record.getMessage() for record in lines.records]
    assert any("down" in warning for warning in warnings), warnings
    assert {record.levelno for record in lines.records} == {logging.WARNING}


def test_threads_get_the_log_of_what_they_hold(lines: Lines) -> None:
    logging.getLogger("talkwire").setLevel(logging.INFO)
    with LocalServer() as server, sync.connect(server.url, session=TEXT):
        assert "ready session" in lines.text()
    assert "end closed" in lines.text()


def test_nobody_is_told_who_did_not_ask(capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        with pytest.raises(talkwire.ConnectError):
            async with talkwire.connect("ws://127.0.0.1:1/", recovery={"budget_ms": 0}):
                pass

    run(main())
    assert capfd.readouterr() == ("", "")


def test_threads_are_told_why_an_opening_failed(lines: Lines) -> None:
    with pytest.raises(talkwire.ConnectError):
        sync.connect("ws://127.0.0.1:1/", recovery={"budget_ms": 0}).enter()
    assert "down" in lines.text()


def test_a_filter_that_raises_costs_its_own_line_only(
    lines: Lines, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("talkwire")
    logger.setLevel(logging.INFO)

    def choosy(record: logging.LogRecord) -> bool:
        if "ready session" in record.getMessage():
            raise LookupError("no such line")
        return True

    logger.addFilter(choosy)
    try:
        with LocalServer() as server, sync.connect(server.url, session=TEXT):
            pass
    finally:
        logger.removeFilter(choosy)
    assert "ready session" not in lines.text() and "end closed" in lines.text()
    assert "LookupError: no such line" in capfd.readouterr().err


def test_a_connection_that_is_forgotten_is_not_watched_any_more() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with LocalServer() as server:
            connection = await talkwire.connect(server.url, session=TEXT).enter()
            assert _log._loops[loop] == 1
            with pytest.warns(ResourceWarning, match="unclosed"):
                del connection
                gc.collect()
            await asyncio.sleep(0)
            assert _log._loops[loop] == 0

    run(main())


def test_a_loop_does_not_turn_for_the_log_of_an_interpreter_that_exits(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger("talkwire").setLevel(logging.DEBUG)

    async def main() -> None:
        watched = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
        async with (
            asyncio.timeout(30),
            LocalServer() as server,
            talkwire.connect(server.url, session=TEXT) as connection,
        ):
            assert _log._log is not None and _log._log.fd() in watched
            with monkeypatch.context() as patch:
                patch.setattr(_process, "_is_exiting", True)
                await say_text(connection, "hello")
                while _log._log.fd() in watched:
                    await asyncio.sleep(0)

    run(main())


CHILD = """
import atexit, logging, os, sys
atexit.register(lambda: print("end", connection.end and connection.end.why, flush=True))
import talkwire
from talkwire.testing import LocalServer
server = LocalServer().start()
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    server.stop()
    os._exit(os.waitstatus_to_exitcode(status))
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
connection = talkwire.sync.connect(server.url).enter()
"""


def test_a_child_that_is_the_first_to_open_a_session_has_its_log_and_its_end_at_exit() -> None:
    command = [sys.executable, "-W", "ignore", "-c", CHILD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ready session" in done.stdout
    assert done.stdout.splitlines()[-1] not in ("", "end None")
