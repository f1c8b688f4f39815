"""Where a connection leads: credentials that are asked for, endpoints to fall back to, and the record
of the last steps."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest
import talkwire
from helpers import run, say_text, until
from talkwire.testing import LocalServer

PATIENCE_S = 30
TEXT = {"output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}
CUT = {"faults": [{"when": {"sent": "response.done"}, "do": "drop"}]}
KEY = "t1.good"


def nowhere() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/realtime"


@pytest.mark.parametrize("is_coroutine", [True, False])
def test_a_credential_is_asked_for_before_each_dial(is_coroutine: bool) -> None:
    threads: list[threading.Thread] = []

    def key() -> str:
        threads.append(threading.current_thread())
        return KEY

    async def key_later() -> str:
        await asyncio.sleep(0)
        return key()

    async def main() -> None:
        with LocalServer(script=CUT, api_key=KEY) as server:
            source = key_later if is_coroutine else key
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(server.url, api_key=source, session=TEXT) as connection,
            ):
                await say_text(connection, "good day")
                await until(connection, "session.recovered")

    run(main())
    assert len(threads) == 2
    assert all((t is threading.main_thread()) == is_coroutine for t in threads)


def test_connections_of_one_manager_are_asked_apart() -> None:
    keys = 0

    async def key() -> str:
        nonlocal keys
        keys += 1
        return KEY

    async def main() -> None:
        with LocalServer(script=CUT, api_key=KEY) as server:
            manager = talkwire.connect(server.url, api_key=key, session=TEXT)
            async with asyncio.timeout(PATIENCE_S):
                first, second = await manager.enter(), await manager.enter()
                await first.close()
                await say_text(second, "good day")
                await until(second, "session.recovered")
                await second.close()

    run(main())
    assert keys == 3


def test_why_there_is_no_credential_is_why_there_is_no_connection() -> None:
    async def fails_with(error: Exception) -> talkwire.RealtimeError:
        async def key() -> str:
            raise error

        with LocalServer(api_key=KEY) as server:
            with pytest.raises(talkwire.RealtimeError) as caught:
                async with asyncio.timeout(PATIENCE_S), talkwire.connect(server.url, api_key=key):
                    pass
            return caught.value

    async def main() -> None:
        passing = await fails_with(OSError("the token service is away"))
        assert passing.kind == "unreachable" and "token service" in str(passing)
        refused = talkwire.AuthError("the account is closed")
        assert (await fails_with(refused)).kind == "auth"

    run(main())


def test_leaving_while_a_credential_is_fetched_leaves_nothing_behind() -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def key() -> str:
            began.set()
            await asyncio.Event().wait()
            return KEY

        with LocalServer(api_key=KEY) as server:
            manager = talkwire.connect(server.url, api_key=key)
            opening = asyncio.create_task(manager.enter())
            await began.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        assert asyncio.all_tasks() == {asyncio.current_task()} or await settled()

    async def settled() -> bool:
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0)
        return True

    run(main())


def test_a_connection_goes_on_at_an_endpoint_to_fall_back_to() -> None:
    async def main() -> None:
        with LocalServer(profile="openai", api_key=KEY) as other:
            own = LocalServer(profile="yandex", api_key=KEY)
            own.start()
            fallback = talkwire.connect(
                other.url, dialect="openai", api_key=KEY, session={"instructions": "Be brief."}
            )
            async with (
                asyncio.timeout(PATIENCE_S),
                talkwire.connect(
                    own.url, api_key=KEY, session=TEXT, fallbacks=[fallback]
                ) as connection,
            ):
                await say_text(connection, "good day")
                await until(connection, "response.done")
                own.kill()
                recovered = (await until(connection, "session.recovered"))[-1]
                assert recovered.endpoint == 1
                await say_text(connection, "good bye")
                assert any(
                    e.type == "response.output_text.done" and e.text == "good bye"
                    for e in await until(connection, "response.done")
                )

    run(main())


def test_an_end_that_nobody_asked_for_leaves_a_record(tmp_path: Path) -> None:
    async def main() -> str:
        with LocalServer(script=CUT) as server:
            connection = await talkwire.connect(
                server.url, session=TEXT, recovery={"budget_ms": 0}, flight_dir=str(tmp_path)
            ).enter()
            async with asyncio.timeout(PATIENCE_S):
                await say_text(connection, "a private word")
                with pytest.raises(talkwire.ConnectionClosedError):
                    while True:
                        await connection.recv()
                await connection.close()
            return connection.flight_record()

    record = run(main())
    (written,) = tmp_path.iterdir()
    assert written.read_text() == record and "private" not in record
    names = [json.loads(line)["name"] for line in record.splitlines()]
    assert "response.create" in names and "session.created" in names
