"""One session as an asyncio program holds it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

from . import _log, _native, _process
from ._base import ABORT_MS, ConnectionBase, Topic, WhenBusy, as_json
from ._errors import ConnectionClosed, End, QueueFullError, RealtimeError
from ._event import Event
from ._keys import KeyDesk
from ._nouns import Conversation, InputAudioBuffer, Response, Session
from ._reader import Reader
from ._recorder import Recorder
from ._stream import ResponseStream
from ._subscription import Subscription
from ._tools import Function, Toolbox
from ._wait import until


class Connection(ConnectionBase):
    """A session: send with the nouns, receive by iterating.

    It belongs to the event loop that opened it. Every await may be cancelled: no event is lost,
    and a send has either been queued or not. A send waits only while the queue is full; what is
    found to be wrong later comes as an event, ``protocol.fault`` from here or ``error`` from the
    server.
    """

    def __init__(self, native: _native.Session, keys: Sequence[KeyDesk] = ()) -> None:
        super().__init__(native)
        self._keys = keys
        self._tasks: set[asyncio.Task[None]] = set()
        self._recordings: set[asyncio.Task[_native.Recorder]] = set()
        self._loop = asyncio.get_running_loop()
        self._tools = Toolbox(native)
        self._reader = Reader(native.reader(), "connection", self._tools.seen)
        self._is_watched = _log.watch()

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

    async def record(self, path: str | PathLike[str], *, rate_hz: int | None = None) -> Recorder:
        """Records the call into a WAV file, replacing what is there: the customer as pushed on the
        left, the agent on the right as the listener pulled it, cuts and silence included. Beside it
        stands ``NAME.json`` with who said what and where, interruptions, cuts, gaps and the end.
        Both are readable at any time, also when this process is killed.

        The recording begins with the media port if one is attached, else when one is, and ends with
        the connection. ``rate_hz`` is by default the higher rate of the port, or 24000. A full disk
        ends the recording, which ``protocol.fault`` tells, and never the connection."""
        options = as_json({} if rate_hz is None else {"rate_hz": rate_hz})
        file = Path(path)
        with self._or_end():
            # One that begins cannot be called back: a close then waits for its files.
            task = self._loop.create_task(self._record(file, options))
            self._recordings.add(task)
            task.add_done_callback(self._recorded)
            return Recorder(await asyncio.shield(task), file)

    async def _record(self, file: Path, options: str) -> _native.Recorder:
        self._recorder = await asyncio.to_thread(self._native.record, file, options)
        return self._recorder

    def _recorded(self, task: asyncio.Task[_native.Recorder]) -> None:
        self._recordings.discard(task)
        if not task.cancelled():
            # Whoever asked may not be there to be told.
            task.exception()

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
        return Subscription(self._subscribed(topics, max_bytes, max_events))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._reader.next()

    async def recv(self) -> Event:
        """The next event. Raises ConnectionClosedOK after a close of ours, ConnectionClosedError
        after any other end. Cancelling it loses no event."""
        return await self._reader.recv()

    def stream_response(
        self,
        *,
        response: Mapping[str, Any] | None = None,
        when_busy: WhenBusy = "queue",
    ) -> ResponseStream:
        """Asks for a response and gives it as it comes::

            async with connection.stream_response() as answer:
                async for text in answer.text:
                    print(text, end="")

        ``response`` overrides settings for this one, ``when_busy`` is what becomes of the wish while
        another one runs; with ``merge`` what the shared response has said before is not told again.
        Entering raises what the wish is refused for: ServerError, RefusedError, DeadlineError."""
        self._check()
        return ResponseStream(self, response, when_busy)

    async def _ask(self, response: Mapping[str, Any] | None, when_busy: str) -> str:
        """Asks for a response; its id when it has begun."""
        overrides = None if response is None else as_json(response)
        waiting: list[_native.Waiting] = []
        await self._put(lambda how: waiting.append(self._native.ask(overrides, how)), when_busy)
        try:
            await until(waiting[0])
        except asyncio.CancelledError:
            # Nobody will read it: it is taken back when it begins.
            task = self._loop.create_task(self._withdraw(waiting[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            raise
        return waiting[0].told() or ""

    async def _withdraw(self, waiting: _native.Waiting) -> None:
        try:
            await until(waiting)
        except RealtimeError:
            # It was refused.
            return
        with contextlib.suppress(ConnectionClosed):
            await self.response.cancel(response_id=waiting.told() or "")

    # ---- tools and turns --------------------------------------------------------------------------

    @overload
    def tool(self, function: Function, /, **settings: Any) -> Function: ...

    @overload
    def tool(self, function: None = None, /, **settings: Any) -> Callable[[Function], Function]: ...

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
            with self._or_end():
                self._tools.add(function, settings)
            self._reader.be_eager()
            return function

        return register if function is None else register(function)

    async def interrupt(self, is_interruption: bool = True) -> None:
        """Decides an interruption that ``barge_in.held`` told of, or interrupts the agent."""
        await self._put(self._native.interrupt, is_interruption)

    async def played(self, *, item_id: str, content_index: int = 0, heard_ms: int) -> None:
        """Tells how much of an agent's audio was heard, where the program plays it by itself. The
        first such call makes the session count what is heard, so that an interruption cuts the
        answer there."""
        with self._or_end():
            self._native.played(item_id, content_index, heard_ms)

    # ---- sending --------------------------------------------------------------------------------

    async def send(self, event: Mapping[str, Any] | str) -> None:
        """Sends an event of the protocol, as a mapping or as JSON text."""
        text = event if isinstance(event, str) else as_json(event)
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
                await until(self._native.room())
            except ConnectionClosed:
                await _process.left_behind()
                if self.end is not None:
                    raise self._reader.closed() from None
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
        for task in self._tasks:
            task.cancel()
        try:
            await self._tools.stop()
            await self._reader.until_end()
            await self._end_of_files()
        finally:
            # One that was cancelled before the end goes on, and may be called again.
            if self.end is not None:
                self._let_go()

    async def _end_of_files(self) -> None:
        """Whoever reads the files after this finds them complete; a failure was an event."""
        if self._recordings:
            await asyncio.wait(self._recordings)
        if self._recorder is not None:
            with contextlib.suppress(RealtimeError):
                await until(self._recorder.finished())

    @property
    def end(self) -> End | None:
        """How the session ended, once it has. Events may still wait."""
        return self._reader.end

    def _closed(self) -> ConnectionClosed:
        return self._reader.closed()

    def _check(self) -> None:
        self._reader.check()

    async def _opened(self) -> None:
        await until(self._native.opened())

    def _abort(self) -> None:
        self._is_closing = True
        self._native.close(0)
        self._let_go()

    def _let_go(self) -> None:
        if self._is_watched:
            self._is_watched = False
            _log.unwatch(asyncio.get_running_loop())
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
            await self._close(None if error is None else ABORT_MS)

    def __del__(self) -> None:
        super().__del__()
        if getattr(self, "_is_watched", False) and not _process.is_forked(self._born):
            # A closed loop reads nothing.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_log.unwatch, self._loop)
