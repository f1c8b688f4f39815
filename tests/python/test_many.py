"""Many sessions on one event loop."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter

import pytest
import talkwire
from helpers import Told, told
from talkwire import _native, _reader

SESSIONS = 500
EVENTS = 40
# Both ends of a session and what wakes it, with some to spare.
DESCRIPTORS = SESSIONS * 6


@pytest.fixture
def _descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"a process may have {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))


@pytest.mark.usefixtures("_descriptors")
@pytest.mark.timeout(180)
def test_each_of_500_sessions_gets_its_events_in_order_and_a_wake_up_for_each_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: Counter[str] = Counter()
    ready = _reader.Reader._batch

    def woken(reader: _reader.Reader) -> None:
        counts["wake-ups"] += 1
        ready(reader)

    class Counting:
        """Counts the batches that a native reader gives."""

        def __init__(self, native: _native.Reader) -> None:
            self.wakeup_fd, self.end, self._native = native.wakeup_fd, native.end, native

        def drain(self, *given: object) -> list[talkwire.Event]:
            taken = self._native.drain(*given)  # type: ignore[arg-type]
            counts["batches"] += bool(taken)
            counts["events"] += len(taken)
            return taken

    made = _reader.Reader.__init__
    monkeypatch.setattr(_reader.Reader, "_batch", woken)
    monkeypatch.setattr(
        _reader.Reader,
        "__init__",
        lambda self, native, *given: made(self, Counting(native), *given),  # type: ignore[arg-type]
    )
    all_there, numbers = asyncio.Event(), iter(range(SESSIONS))

    async def script(server: Told) -> None:
        number = next(numbers)
        await all_there.wait()
        for event in range(EVENTS):
            await server.say({"type": "tick", "session": number, "i": event})
            if event % 7 == number % 7:
                await asyncio.sleep(0)
        await server.say({"type": "last"})

    async def session(url: str, opened: asyncio.Barrier) -> tuple[int, list[int]]:
        async with talkwire.connect(url, recovery={"budget_ms": 0}) as connection:
            await opened.wait()
            all_there.set()
            await connection.recv()
            ticks = []
            async for event in connection:
                if event.type == "last":
                    break
                ticks.append((event.session, event.i))
        (number,) = {session for session, _ in ticks}
        return number, [i for _, i in ticks]

    async def main() -> list[tuple[int, list[int]]]:
        opened = asyncio.Barrier(SESSIONS)
        async with told(script) as url:
            return await asyncio.gather(*(session(url, opened) for _ in range(SESSIONS)))

    results = asyncio.run(main())
    assert sorted(number for number, _ in results) == list(range(SESSIONS))
    assert all(ticks == list(range(EVENTS)) for _, ticks in results)
    assert counts["events"] >= SESSIONS * (EVENTS + 2)
    assert counts["wake-ups"] <= counts["batches"]
