"""One session as a program with threads holds it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

from .. import _log, _native, _process
from .._base import ABORT_MS, ConnectionBase, Topic, WhenBusy, as_json
from .._errors import ConnectionClosed, End, QueueFullError, RealtimeError
from .._event import Event
from .._tools import Function
from ._keys import KeyDesk
from ._nouns import Conversation, InputAudioBuffer, Response, Session
from ._reader import Limit, Reader, until
from ._recorder import Recorder
from ._stream import ResponseStream
from ._subscription import Subscription
from ._tools import Toolbox


class Connection(ConnectionBase):
    """A session: send with the nouns, receive by iterating.

    It may be used from any thread; of threads that read it at once, each event is for one. A send
    waits only while the queue is full; what is found to be wrong later comes as an event,
    ``protocol.fault`` from here or ``error`` from the server. Every wait lets other threads run and
    ends with Ctrl-C.
    """

    def __init__(self, native: _native.Session, keys: Sequence[KeyDesk] = ()) -> None:
        super().__init__(native)
        self._keys = keys
        self._tools = Toolbox(native)
        self._reader = Reader(native.reader())

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

    def record(self, path: str | PathLike[str], *, rate_hz: int | None = None) -> Recorder:
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
            self._recorder = self._native.record(file, options)
        return Recorder(self._recorder, file)

    # ---- events ---------------------------------------------------------------------------------

    def subscribe(
        self, *topics: Topic, max_bytes: int | None = None, max_events: int | None = None
    ) -> Subscription:
        """One more reader, of some topics: ``for event in connection.subscribe("audio")``. It
        is told what happens from now on and has bounds of its own, so who is slow at reading one
        misses something in that one only: beyond ``max_bytes`` (2 MiB) text is joined and the oldest
        audio and frames are dropped, at ``max_events`` (20000, audio and frames apart) it ends with
        ``slow_reader`` while the connection goes on. What the connection itself is told of is chosen
        by the option ``topics``."""
        return Subscription(self._subscribed(topics, max_bytes, max_events))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return self._reader.next()

    def recv(self, within_s: float | None = None) -> Event:
        """The next event. Raises ConnectionClosedOK after a close of ours, ConnectionClosedError
        after any other end, and DeadlineError, which is a TimeoutError, when none came within
        ``within_s`` seconds."""
        return self._reader.recv(within_s)

    def stream_response(
        self,
        *,
        response: Mapping[str, Any] | None = None,
        when_busy: WhenBusy = "queue",
    ) -> ResponseStream:
        """Asks for a response and gives it as it comes::

            with connection.stream_response() as answer:
                for text in answer.text:
                    print(text, end="")

        ``response`` overrides settings for this one, ``when_busy`` is what becomes of the wish while
        another one runs; with ``merge`` what the shared response has said before is not told again.
        Entering raises what the wish is refused for: ServerError, RefusedError, DeadlineError."""
        self._check()
        return ResponseStream(self, response, when_busy)

    def _ask(self, response: Mapping[str, Any] | None, when_busy: str) -> str:
        """Asks for a response; its id when it has begun."""
        overrides = None if response is None else as_json(response)
        waiting: list[_native.Waiting] = []
        self._put(lambda how: waiting.append(self._native.ask(overrides, how)), when_busy)
        try:
            until(waiting[0])
        except RealtimeError:
            raise
        except BaseException:
            # Ctrl-C: nobody will read it, and it is taken back when it begins.
            arguments = (self._native, waiting[0])
            name = "talkwire-withdraw"
            threading.Thread(target=_withdraw, args=arguments, name=name, daemon=True).start()
            raise
        return waiting[0].told() or ""

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

        The schema comes from the type hints, the description from the docstring. Each call runs once,
        in a thread of its own (a coroutine function on a loop of its own), with the
        ``idempotency_key`` where the function has such a parameter. What it raises is told to the
        model.
        """
        self._check()

        def register(function: Function) -> Function:
            with self._or_end():
                self._tools.add(function, settings)
            return function

        return register if function is None else register(function)

    def interrupt(self, is_interruption: bool = True) -> None:
        """Decides an interruption that ``barge_in.held`` told of, or interrupts the agent."""
        self._put(self._native.interrupt, is_interruption)

    def played(self, *, item_id: str, content_index: int = 0, heard_ms: int) -> None:
        """Tells how much of an agent's audio was heard, where the program plays it by itself. The
        first such call makes the session count what is heard, so that an interruption cuts the
        answer there."""
        with self._or_end():
            self._native.played(item_id, content_index, heard_ms)

    # ---- sending --------------------------------------------------------------------------------

    def send(self, event: Mapping[str, Any] | str) -> None:
        """Sends an event of the protocol, as a mapping or as JSON text."""
        text = event if isinstance(event, str) else as_json(event)
        self._put(self._native.send_json, text)

    def _event(self, name: str, **fields: Any) -> None:
        given = {key: value for key, value in fields.items() if value is not None}
        self.send({"type": name, **given})

    def _put(self, put: Callable[[Any], None], what: object) -> None:
        """Queues something; waits only while the queue is full."""
        while True:
            self._check()
            try:
                return put(what)
            except QueueFullError:
                until(self._native.room())
            except ConnectionClosed:
                _process.stay_behind()
                if self.end is not None:
                    raise self._reader.closed() from None
                raise

    # ---- life -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the session: what is queued is sent, then the closing handshake is made. Returns
        when it has ended, at most after ``close_timeout_ms``. Closing twice is one close."""
        self._close(None)

    def _close(self, within_ms: int | None) -> None:
        self._check()
        self._is_closing = True
        self._native.close(within_ms)
        self._tools.stop()
        self._reader.until_end()
        if self._recorder is not None:
            # Whoever reads the files after this finds them complete; a failure was an event.
            with contextlib.suppress(RealtimeError):
                until(self._recorder.finished())
        _log.tell()
        for desk in self._keys:
            desk.close()

    @property
    def end(self) -> End | None:
        """How the session ended, once it has. Events may still wait."""
        return self._reader.end

    def _closed(self) -> ConnectionClosed:
        return self._reader.closed()

    def _opened(self, limit: Limit) -> None:
        until(self._native.opened(), limit)
        _log.tell()

    def _abort(self) -> None:
        self._is_closing = True
        self._native.close(0)
        _log.tell()
        for desk in self._keys:
            desk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # In a child of the process that opened it there is nothing to close.
        if not _process.is_forked(self._born):
            self._close(None if error is None else ABORT_MS)

    def __del__(self) -> None:
        super().__del__()
        tools: Toolbox | None = getattr(self, "_tools", None)
        if tools is not None and not _process.is_forked(self._born):
            # The thread that serves them would keep the session.
            tools.stop()


def _withdraw(native: _native.Session, waiting: _native.Waiting) -> None:
    """Cancels the response of a wish when it has begun. The thread holds what it needs and not the
    connection, which is told of when it is forgotten."""
    try:
        until(waiting)
    except RealtimeError:
        # It was refused.
        return
    event = as_json({"type": "response.cancel", "response_id": waiting.told() or ""})
    with contextlib.suppress(ConnectionClosed):
        while True:
            try:
                return native.send_json(event)
            except QueueFullError:
                until(native.room())
