"""One session as an asyncio program holds it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import warnings
import weakref
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from . import _native, _process
from ._account import Segment, Stats, Usage
from ._call import Call, CallOptions, octets
from ._errors import (
    ConnectionClosed,
    End,
    QueueFullError,
    RealtimeError,
    closed,
    end_from_native,
)
from ._event import Event, Object, UnknownEvent
from ._keys import KeyDesk
from ._recorder import Recorder
from ._subscription import BATCH, CLASSES, Subscription, Topic
from ._tools import Function, Toolbox

if TYPE_CHECKING:
    from typing_extensions import Buffer

WhenBusy = Literal["queue", "merge", "replace", "refuse"]
"""What becomes of a wish for a response while another one runs."""

# Events kept for whoever will iterate while tools run; more are left in the mailbox.
_KEPT = 4_096

# Time for the closing handshake when the block ended by an exception.
_ABORT_MS = 1_000


class Connection:
    """A session: send with the nouns, receive by iterating.

    It belongs to the event loop that opened it. Every await may be cancelled: no event is lost,
    and a send has either been queued or not. A send waits only while the queue is full; what is
    found to be wrong later comes as an event, ``protocol.fault`` from here or ``error`` from the
    server.
    """

    def __init__(self, native: _native.Session, keys: Sequence[KeyDesk] = ()) -> None:
        self._native = native
        self._keys = keys
        self._loop = asyncio.get_running_loop()
        self._born = _process.generation()
        self._events: deque[Event] = deque()
        self._recorder: _native.Recorder | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._fd: int | None = None
        self._is_closing = False
        self._ended: tuple[End, dict[str, Any]] | None = None
        self._tools = Toolbox(native)

    # Made anew each time: a connection that held its nouns would be a cycle, and an unclosed one
    # would be told of late.

    @property
    def session(self) -> Session:
        """Settings of the session."""
        return Session(self)

    @property
    def input_audio_buffer(self) -> InputAudioBuffer:
        """Audio on its way to the server."""
        return InputAudioBuffer(self)

    @property
    def conversation(self) -> Conversation:
        """The conversation."""
        return Conversation(self)

    @property
    def response(self) -> Response:
        """Answers of the server."""
        return Response(self)

    # ---- sound ----------------------------------------------------------------------------------

    def call(self, **options: Unpack[CallOptions]) -> Call:
        """Attaches a media port: sound goes to the server as it is pushed, and what the agent says
        is there to be pulled. A connection has one port at a time."""
        self._check()
        return Call(self._native.attach(_json(options)))

    async def record(self, path: str | PathLike[str], *, rate_hz: int | None = None) -> Recorder:
        """Records the call into a WAV file, replacing what is there: the customer as pushed on the
        left, the agent on the right as the listener pulled it, cuts and silence included. Beside it
        stands ``NAME.json`` with who said what and where, interruptions, cuts, gaps and the end.
        Both are readable at any time, also when this process is killed.

        The recording begins with the media port if one is attached, else when one is, and ends with
        the connection. ``rate_hz`` is by default the higher rate of the port, or 24000. A full disk
        ends the recording, which ``protocol.fault`` tells, and never the connection."""
        self._check()
        options = _json({} if rate_hz is None else {"rate_hz": rate_hz})
        file = Path(path)
        native = await asyncio.to_thread(self._native.record, file, options)
        recorder = Recorder(self, native, file)
        self._recorder = native
        return recorder

    # ---- events ---------------------------------------------------------------------------------

    def subscribe(
        self, *topics: Topic, max_bytes: int | None = None, max_events: int | None = None
    ) -> Subscription:
        """One more reader, of some topics: ``async for event in connection.subscribe("audio")``. It
        is told what happens from now on and has bounds of its own, so who is slow at reading one
        misses something in that one only: beyond ``max_bytes`` (2 MiB) text is joined and the oldest
        audio and frames are dropped, at ``max_events`` (20000, audio and frames apart) it ends with
        ``slow_reader`` while the connection goes on. What the connection itself is told of is chosen
        by the option ``topics``."""
        self._check()
        options: dict[str, Any] = {"topics": topics}
        if max_bytes is not None:
            options["max_bytes"] = max_bytes
        if max_events is not None:
            options["max_events"] = max_events
        return Subscription(self._native.subscribe(_json(options)))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.recv()
        except ConnectionClosed as error:
            if error.end is not None and error.end.expected:
                raise StopAsyncIteration from None
            raise

    async def recv(self) -> Event:
        """The next event. Raises ConnectionClosedOK after a close of ours, ConnectionClosedError
        after any other end. Cancelling it loses no event."""
        self._check()
        while not self._events and not self._take():
            if self._has_ended():
                await _process.left_behind()
                raise self._closed()
            await self._woken()
        return self._events.popleft()

    def _take(self) -> bool:
        taken = self._native.drain(CLASSES, UnknownEvent, BATCH)
        self._events.extend(taken)
        if self._tools:
            for event in taken:
                self._tools.seen(event)
        if taken:
            # Others may wait for what the descriptor will now not tell them of.
            _wake(self._waiters)
        return bool(taken)

    async def _woken(self) -> None:
        """Waits until there may be something to take."""
        self._listen()
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if not self._waiters and not self._tools:
                self._stop_listening()

    def _listen(self) -> None:
        if self._fd is None:
            self._fd = self._native.wakeup_fd()
            self._loop.add_reader(self._fd, self._ready, weakref.ref(self))

    @staticmethod
    def _ready(self_ref: weakref.ref[Connection]) -> None:
        # A loop that kept the connection would keep one that nobody closes.
        self = self_ref()
        if self is None:
            return
        if self._tools and not self._waiters:
            # Tools are run whether or not anybody reads; what is read meanwhile is kept.
            if len(self._events) < _KEPT and not self._has_ended():
                self._take()
            else:
                self._stop_listening()
        _wake(self._waiters)

    def _stop_listening(self) -> None:
        # While nobody waits the loop must not turn for a descriptor that nobody reads.
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._fd = None

    # ---- tools and turns --------------------------------------------------------------------------

    def tool(
        self, function: Function | None = None, /, **settings: Any
    ) -> Function | Callable[[Function], Function]:
        """Lets the model call a function: ``@connection.tool`` or
        ``@connection.tool(timeout_ms=5000, overdue_ms=2000, filler="One moment.")``.

        The schema comes from the type hints, the description from the docstring. A coroutine
        function runs as a task, any other one in a thread; each call runs once, with the
        ``idempotency_key`` where the function has such a parameter, and is cancelled when nobody
        waits for it any more. What it raises is told to the model.
        """
        self._check()

        def register(function: Function) -> Function:
            self._tools.add(function, settings)
            self._listen()
            return function

        return register if function is None else register(function)

    async def interrupt(self, is_interruption: bool = True) -> None:
        """Decides an interruption that ``barge_in.held`` told of, or interrupts the agent."""
        await self._put(self._native.interrupt, is_interruption)

    async def played(self, *, item_id: str, content_index: int = 0, heard_ms: int) -> None:
        """Tells how much of an agent's audio was heard, where the program plays it by itself. The
        first such call makes the session count what is heard, so that an interruption cuts the
        answer there."""
        self._check()
        self._native.played(item_id, content_index, heard_ms)

    @property
    def history(self) -> list[Segment]:
        """The conversation so far, in its order; at least as new as the last event that was read.
        Also after the end."""
        return [Segment(**fields) for fields in json.loads(self._native.history())]

    @property
    def usage(self) -> Usage:
        """Tokens used so far, cancelled responses included. Also after the end."""
        return Usage(**json.loads(self._native.usage()))

    @property
    def stats(self) -> Stats:
        """What the session did so far, in numbers. Also after the end."""
        return Stats(**json.loads(self._native.stats()))

    def transcript(self, form: Literal["json", "vtt", "srt"] = "json") -> str:
        """The conversation so far, written down: as JSON, WebVTT or SubRip. Also after the end."""
        return self._native.transcript(form)

    # ---- sending --------------------------------------------------------------------------------

    async def send(self, event: Mapping[str, Any] | str) -> None:
        """Sends an event of the protocol, as a mapping or as JSON text."""
        text = event if isinstance(event, str) else _json(event)
        await self._put(self._native.send_json, text)

    async def _event(self, name: str, **fields: Any) -> None:
        given = {key: value for key, value in fields.items() if value is not None}
        await self.send({"type": name, **given})

    async def _put(self, put: Callable[[Any], None], what: object) -> None:
        """Queues something; waits only while the queue is full."""
        while True:
            self._check()
            try:
                return put(what)
            except QueueFullError:
                await self._until(self._native.room())
            except ConnectionClosed:
                await _process.left_behind()
                if self._has_ended():
                    raise self._closed() from None
                raise

    # ---- life -----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Ends the session: what is queued is sent, then the closing handshake is made. Returns
        when it has ended, at most after ``close_timeout_ms``. Closing twice is one close."""
        await self._close(None)

    async def _close(self, within_ms: int | None) -> None:
        self._check()
        self._is_closing = True
        self._native.close(within_ms)
        await self._tools.stop()
        while not self._has_ended():
            # The descriptor tells of events too; they are kept for whoever iterates.
            while self._take():
                pass
            if not self._has_ended():
                await self._woken()
        if self._recorder is not None:
            # Whoever reads the files after this finds them complete; a failure was an event.
            with contextlib.suppress(RealtimeError):
                await self._until(self._recorder.finished())
        for desk in self._keys:
            desk.close()
        if not self._waiters:
            # The descriptor goes with the session; the loop must not keep its number.
            self._stop_listening()

    @property
    def end(self) -> End | None:
        """How the session ended, once it has. Events may still wait."""
        return self._ended[0] if self._has_ended() and self._ended else None

    def flight_record(self) -> str:
        """The flight recorder: the last steps of the session, oldest first, a JSON object in each line
        with ``at_ms``, ``what`` and ``name``. It says what was sent, received and decided, and nothing
        of what anybody said. Also after the end. The options ``flight_lines`` and ``flight_dir`` say how
        much is kept, and where it is written when the session ends in a way that nobody asked for."""
        return self._native.flight_record()

    @property
    def capabilities(self) -> dict[str, Any]:
        """What this endpoint can do, as its dialect's table says: caps, limits, voices."""
        table: dict[str, Any] = json.loads(self._native.capabilities())
        return table

    def _has_ended(self) -> bool:
        if self._ended is None:
            text = self._native.end()
            if text is not None:
                self._ended = end_from_native(text)
        return self._ended is not None

    def _closed(self) -> ConnectionClosed:
        assert self._ended is not None
        return closed(*self._ended)

    def _check(self) -> None:
        _process.check(self._born)
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a connection belongs to the event loop that opened it")

    async def _opened(self) -> None:
        await self._until(self._native.opened())

    async def _until(self, waiting: _native.Waiting) -> None:
        try:
            while not waiting.poll():
                await _readable(self._loop, waiting.fd)
        except RealtimeError:
            await _process.left_behind()
            raise

    def _abort(self) -> None:
        self._is_closing = True
        self._native.close(0)
        for desk in self._keys:
            desk.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # In a child of the process that opened it there is nothing to close.
        if not _process.is_forked(self._born):
            await self._close(None if error is None else _ABORT_MS)

    def __del__(self) -> None:
        native = getattr(self, "_native", None)
        if native is None or _process.is_forked(self._born):
            _process.leak(native)
            return
        if self._fd is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        if not self._is_closing and native.end() is None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        state = f"ended: {self.end.why}" if self.end else "open"
        return f"<talkwire.Connection {state}>"


class _Noun:
    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


class Session(_Noun):
    """Settings of the session."""

    __slots__ = ()

    async def update(self, *, session: Mapping[str, Any], event_id: str | None = None) -> None:
        """Changes settings: absent keys keep their values, None clears."""
        await self._connection._event("session.update", session=session, event_id=event_id)


class InputAudioBuffer(_Noun):
    """Audio on its way to the server."""

    __slots__ = ()

    async def append(self, *, audio: str | Buffer, event_id: str | None = None) -> None:
        """Appends audio in the input format of the session: base64 text, or whole 16-bit
        little-endian mono samples as any bytes-like object."""
        connection = self._connection
        if event_id is not None:
            text = audio if isinstance(audio, str) else _base64(audio)
            await connection._event("input_audio_buffer.append", audio=text, event_id=event_id)
        elif isinstance(audio, str):
            await connection._put(connection._native.append_base64, audio)
        else:
            await connection._put(connection._native.append, octets(audio))

    async def commit(self, *, event_id: str | None = None) -> None:
        """Makes a turn of the audio appended so far. Asks for no response."""
        await self._connection._event("input_audio_buffer.commit", event_id=event_id)

    async def clear(self, *, event_id: str | None = None) -> None:
        """Forgets the audio appended since the last turn."""
        await self._connection._event("input_audio_buffer.clear", event_id=event_id)


class Conversation(_Noun):
    """The conversation."""

    __slots__ = ()

    @property
    def item(self) -> Item:
        """Its items."""
        return Item(self._connection)


class Item(_Noun):
    """Items of the conversation."""

    __slots__ = ()

    async def create(
        self,
        *,
        item: Mapping[str, Any],
        previous_item_id: str | None = None,
        event_id: str | None = None,
    ) -> None:
        """Puts an item at the end, or after another (``root`` for the start). Asks for no
        response."""
        await self._connection._event(
            "conversation.item.create",
            item=item,
            previous_item_id=previous_item_id,
            event_id=event_id,
        )

    async def retrieve(self, *, item_id: str, event_id: str | None = None) -> None:
        """Asks for an item with its audio; it comes as an event."""
        await self._connection._event(
            "conversation.item.retrieve", item_id=item_id, event_id=event_id
        )

    async def truncate(
        self, *, item_id: str, content_index: int, audio_end_ms: int, event_id: str | None = None
    ) -> None:
        """Tells the server how many milliseconds of an agent's audio were heard."""
        await self._connection._event(
            "conversation.item.truncate",
            item_id=item_id,
            content_index=content_index,
            audio_end_ms=audio_end_ms,
            event_id=event_id,
        )

    async def delete(self, *, item_id: str, event_id: str | None = None) -> None:
        """Removes an item."""
        await self._connection._event(
            "conversation.item.delete", item_id=item_id, event_id=event_id
        )


class Response(_Noun):
    """Answers of the server."""

    __slots__ = ()

    async def create(
        self,
        *,
        response: Mapping[str, Any] | None = None,
        when_busy: WhenBusy | None = None,
        event_id: str | None = None,
    ) -> None:
        """Asks for a response; ``response`` overrides settings for this one. ``when_busy`` says
        what becomes of the wish while another one runs: it waits (``queue``), waits and shares a
        response with others for the same (``merge``, by default), takes the place of what runs
        (``replace``), or is refused (``refuse``)."""
        if when_busy is not None:
            overrides = None if response is None else _json(response)
            respond = self._connection._native.respond
            return await self._connection._put(lambda how: respond(overrides, how), when_busy)
        await self._connection._event("response.create", response=response, event_id=event_id)

    async def cancel(self, *, response_id: str | None = None, event_id: str | None = None) -> None:
        """Stops a response; without an id, the one that runs."""
        await self._connection._event("response.cancel", response_id=response_id, event_id=event_id)


def _wake(waiters: set[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


async def _readable(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    waiter: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _wake, {waiter})
    try:
        await waiter
    finally:
        loop.remove_reader(fd)


def _json(event: Mapping[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _base64(audio: Buffer) -> str:
    return b64encode(octets(audio)).decode("ascii")
