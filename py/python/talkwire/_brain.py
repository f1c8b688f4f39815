"""Brains of the local server that are written in Python."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import threading
import weakref
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import _native, _process
from ._call import Audio, samples
from ._errors import QueueFullError
from ._event import Object
from ._poll import running_loop, unwatch, watch
from ._wait import until

# Time for a brain of a thread to clean up after itself.
_STOP_S = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a brain is to answer."""

    number: int
    """Which answer of the session this will be, counted from 1."""
    text: str
    """What the customer said or wrote since the last answer; empty if nothing was understood."""
    audio: bytes | None
    """What they spoke: 16-bit little-endian mono samples."""
    rate_hz: int | None
    """Samples per second of ``audio``."""
    instructions: str
    """The system prompt."""
    items: list[Object]
    """The conversation."""
    tools: list[Object]
    """The functions that may be called, as the wire describes them."""
    outputs: list[Object]
    """What functions returned since the last answer: ``name``, ``call_id`` and ``output``."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Words with their sound, for an answer."""

    audio: Audio
    """16-bit mono samples, as any bytes-like object."""
    text: str = ""
    """The words."""
    rate_hz: int = 24_000
    """Samples per second."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function to be called, for an answer."""

    name: str
    """Its name."""
    arguments: Mapping[str, Any]
    """What it is given."""


Piece = str | Speech | ToolCall
"""A piece of an answer. Texts that follow each other are one message, spoken by the server's voice
where the session speaks."""

Brain = Callable[[Turn], AsyncGenerator[Piece, None] | Awaitable[Piece | None]]
"""An async function that returns an answer or yields it in pieces. It is cancelled when its answer is
not wanted any more, such as by an interruption; what it raises fails the response."""


class BrainDesk:
    """Answers the questions of a local server on an event loop: that of whoever starts the server, or
    one of its own in a thread."""

    def __init__(self, brain: Brain) -> None:
        self.native = _native.Brain()
        self._brain = brain
        self._born = _process.generation()
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._thread: threading.Thread | None = None
        self._is_closed = False
        running = running_loop()
        if running is not None:
            self._loop = running
            self._listen()
        else:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._run, args=(self._loop,), name="talkwire-brain", daemon=True
            )
            self._listen()
            self._thread.start()

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
            loop.run_until_complete(_wind_up())
        finally:
            loop.close()

    def _listen(self) -> None:
        held: weakref.ref[BrainDesk] = weakref.ref(self)
        watch(self._loop, self.native.fd, self._ready, held)

    @staticmethod
    def _ready(self_ref: weakref.ref[BrainDesk]) -> None:
        if (self := self_ref()) is not None:
            self._look()

    def _look(self) -> None:
        for number, question, speech in self.native.asked():
            answer = self._loop.create_task(self._answer(number, _turn(question, speech)))
            self._answers[number] = answer
            answer.add_done_callback(functools.partial(self._forget, number))
        for number, answer in self._answers.items():
            if not self.native.is_wanted(number):
                _cancel(answer)

    def _forget(self, number: int, _: asyncio.Task[None]) -> None:
        self._answers.pop(number, None)

    async def _answer(self, number: int, turn: Turn) -> None:
        try:
            told = self._brain(turn)
            if isinstance(told, AsyncGenerator):
                async with contextlib.aclosing(told) as pieces:
                    async for piece in pieces:
                        await self._tell(number, _described(piece))
            elif isinstance(told, Awaitable):
                whole = await told
                if whole is not None:
                    await self._tell(number, _described(whole))
            else:
                raise TypeError("a brain is an async function")
        except Exception as error:
            await self._tell(number, {"fail": f"{type(error).__name__}: {error}"})
        finally:
            self.native.done(number)

    async def _tell(self, number: int, piece: Mapping[str, Any]) -> None:
        text = json.dumps(piece, ensure_ascii=False)
        while True:
            try:
                return self.native.tell(number, text)
            except QueueFullError:
                await until(self.native.room(number))

    def close(self) -> None:
        """Stops what answers, from any thread. Waits a moment for a thread of its own: a brain that
        will not be cancelled must not hold up whoever stops its server."""
        self._begin_close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)

    def _begin_close(self) -> None:
        if _process.is_forked(self._born) or self._is_closed:
            return
        self._is_closed = True
        if running_loop() is self._loop:
            self._stop()
        else:
            # One that is closed has nothing to be stopped.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        unwatch(self._loop, self.native.fd)
        if self._thread is not None:
            # What answers is cancelled where its end is waited for.
            self._loop.stop()
            return
        for answer in self._answers.values():
            _cancel(answer)

    def __del__(self) -> None:
        if hasattr(self, "_loop"):
            self._begin_close()


def _cancel(task: asyncio.Task[Any]) -> None:
    # Once: what cleans up is not to be cancelled in the middle of that.
    if not task.cancelling():
        task.cancel()


async def _wind_up() -> None:
    """Lets what was cancelled clean up, before the loop is closed."""
    loop = asyncio.get_running_loop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        _cancel(task)
    if left:
        await asyncio.wait(left, timeout=_STOP_S / 2)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STOP_S / 2):
            await loop.shutdown_asyncgens()


def _turn(question: str, speech: tuple[int, bytes] | None) -> Turn:
    told: Object = json.loads(question, object_pairs_hook=Object)
    rate_hz, audio = speech or (None, None)
    return Turn(
        number=told["turn"],
        text=told["heard"],
        audio=audio,
        rate_hz=rate_hz,
        instructions=told["instructions"],
        items=told["items"],
        tools=told["tools"] if told["may_call"] else [],
        outputs=told["outputs"],
    )


def _described(piece: Piece) -> Mapping[str, Any]:
    match piece:
        case str():
            return {"text": piece}
        case ToolCall(name, arguments):
            return {"call": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
        case Speech(audio, text, rate_hz):
            pcm = b64encode(samples(audio).cast("B")).decode()
            return {"speech": text, "rate_hz": rate_hz, "pcm": pcm}
    raise TypeError(
        f"a piece of an answer is a str, Speech or ToolCall, not {type(piece).__name__}"
    )
