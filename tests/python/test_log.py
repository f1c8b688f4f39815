"""The log of the sessions goes to ``logging.getLogger("talkwire")``, without what anybody said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
import talkwire
from helpers import run, say_text, until
from talkwire import sync
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
