"""What a connection has whether an event loop or a thread holds it: what waits for nothing."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Unpack

from . import _native, _process
from ._account import Segment, Stats, Usage
from ._call import Call, CallOptions
from ._errors import ConnectionClosed, End

WhenBusy = Literal["queue", "merge", "replace", "refuse"]
"""What becomes of a wish for a response while another one runs."""

Topic = Literal["audio", "transcript", "control", "raw"]
"""What an event is about: ``audio`` (sound of the agent and gaps in it), ``transcript`` (words of
either party), ``control`` (everything else), ``raw`` (frames as they went over the wire)."""

# Time for the closing handshake when the block ended by an exception.
ABORT_MS = 1_000


class ConnectionBase:
    """The part of a connection that waits for nothing."""

    def __init__(self, native: _native.Session) -> None:
        self._native = native
        self._born = _process.generation()
        self._recorder: _native.Recorder | None = None
        self._is_closing = False

    def _check(self) -> None:
        _process.check(self._born)

    @property
    def _own(self) -> _native.Session:
        """What may be looked at from every thread, though not in a child of the process."""
        _process.check(self._born)
        return self._native

    def _closed(self) -> ConnectionClosed:
        """The end, to be raised."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _or_end(self) -> Iterator[None]:
        """Raises the end itself where a closed session refuses something."""
        self._check()
        try:
            yield
        except ConnectionClosed:
            if self.end is not None:
                raise self._closed() from None
            raise

    def call(self, **options: Unpack[CallOptions]) -> Call:
        """Attaches a media port: sound goes to the server as it is pushed, and what the agent says
        is there to be pulled. A connection has one port at a time."""
        with self._or_end():
            return Call(self._native.attach(as_json(options)))

    @property
    def end(self) -> End | None:
        """How the session ended, once it has. Events may still wait."""
        raise NotImplementedError

    @property
    def history(self) -> list[Segment]:
        """The conversation so far, in its order; at least as new as the last event that was read.
        Also after the end."""
        return [Segment(**fields) for fields in json.loads(self._own.history())]

    @property
    def usage(self) -> Usage:
        """Tokens used so far, cancelled responses included. Also after the end."""
        return Usage(**json.loads(self._own.usage()))

    @property
    def stats(self) -> Stats:
        """What the session did so far, in numbers. Also after the end."""
        return Stats(**json.loads(self._own.stats()))

    def transcript(self, form: Literal["json", "vtt", "srt"] = "json") -> str:
        """The conversation so far, written down: as JSON, WebVTT or SubRip. Also after the end."""
        return self._own.transcript(form)

    def flight_record(self) -> str:
        """The flight recorder: the last steps of the session, oldest first, a JSON object in each line
        with ``at_ms``, ``what`` and ``name``. It says what was sent, received and decided, and nothing
        of what anybody said. Also after the end. The options ``flight_lines`` and ``flight_dir`` say how
        much is kept, and where it is written when the session ends in a way that nobody asked for."""
        return self._own.flight_record()

    @property
    def capabilities(self) -> dict[str, Any]:
        """What this endpoint can do, as its dialect's table says: caps, limits, voices."""
        table: dict[str, Any] = json.loads(self._own.capabilities())
        return table

    def _subscribed(
        self, topics: Sequence[str], max_bytes: int | None, max_events: int | None
    ) -> _native.Subscription:
        bounds = {"max_bytes": max_bytes, "max_events": max_events}
        given = {key: value for key, value in bounds.items() if value is not None}
        with self._or_end():
            return self._native.subscribe(as_json({"topics": topics, **given}))

    def __del__(self) -> None:
        native = getattr(self, "_native", None)
        if native is None or _process.is_forked(self._born):
            _process.leak(native)
            return
        # One that was not made to its end has no reader.
        if not self._is_closing and hasattr(self, "_reader") and self.end is None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        state = f"ended: {self.end.why}" if self.end else "open"
        return f"<{type(self).__module__.rpartition('.')[0]}.Connection {state}>"


def as_json(event: Mapping[str, Any]) -> str:
    """The compact JSON text of an event or of options."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
