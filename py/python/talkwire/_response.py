"""What a response is made of: which events belong to it, its pieces and its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from . import _process
from ._errors import ResponseError
from ._event import Event, Object

if TYPE_CHECKING:
    from ._base import ConnectionBase, WhenBusy

Piece = TypeVar("Piece")

# So much of a response may wait to be read: ten minutes of sound at 24 kHz.
MAX_BYTES = 32 << 20

_TEXT = ("response.output_text.delta", "response.output_audio_transcript.delta")


class _Source(Protocol):
    """A subscription, of a loop or of a thread."""

    def _ready(self) -> Event | None: ...

    def close(self) -> None: ...


class StrandBase(Generic[Piece]):
    """What one reader makes of the events of a response."""

    def __init__(self, source: _Source, name: str, make: Callable[[Event], Piece | None]) -> None:
        self._source = source
        self._name = name
        self._make = make
        self._response = Object()
        self._error: ResponseError | None = None
        self.is_over = False

    @property
    def response(self) -> Object:
        """The response that is over; raises what it failed with."""
        if self._error is not None:
            raise self._error
        return self._response

    def look(self) -> None:
        """Finds out whether the response is over, without waiting."""
        while not self.is_over and (event := self._source._ready()) is not None:
            with contextlib.suppress(ResponseError):
                self._piece(event)

    def _piece(self, event: Event) -> Piece | None:
        if not belongs(event, self._name):
            return None
        if event.type == "response.done":
            self.is_over = True
            self._source.close()
            self._error = failure(event)
            if self._error is not None:
                raise self._error
            self._response = event.response
        return self._make(event)


class StreamBase:
    """The part of a response that waits for nothing."""

    def __init__(
        self, connection: ConnectionBase, response: Mapping[str, Any] | None, when_busy: WhenBusy
    ) -> None:
        self._base = connection
        self._wish = (response, when_busy)
        self._response_id = ""
        self._sources: list[_Source] = []

    @property
    def response_id(self) -> str:
        """The id of the response."""
        return self._response_id

    def _leave(self, end: StrandBase[Any]) -> bool:
        """Reads no more of it; whether there is something to be cancelled."""
        # In a child of the process that asked for it there is not.
        if _process.is_forked(self._base._born):
            return False
        end.look()
        self._unsubscribe()
        return not end.is_over and self._base.end is None

    def _unsubscribe(self) -> None:
        for source in self._sources:
            source.close()

    def __repr__(self) -> str:
        package = type(self).__module__.rpartition(".")[0]
        return f"<{package}.ResponseStream {self._response_id or 'not begun'}>"


def belongs(event: Event, response_id: str) -> bool:
    """Whether an event is about that response."""
    if event.type in ("response.created", "response.done"):
        return bool(event.response.id == response_id)
    return getattr(event, "response_id", None) == response_id


def failure(event: Event) -> ResponseError | None:
    """Why a response that is over did not come to its end."""
    response: Object = event.response
    if response.status != "failed":
        return None
    said = (response.status_details or Object()).error or Object()
    error = ResponseError(said.message or "the response failed")
    error.kind, error.who = "server", "server"
    error.type, error.code, error.response = said.type, said.code, response
    return error


def words(event: Event) -> str | None:
    """The text of an event."""
    return event.delta if event.type in _TEXT else None


def sound(event: Event) -> bytes | None:
    """The samples of an event."""
    return event.audio


def everything(event: Event) -> Event:
    """The event itself."""
    return event


def nothing(event: Event) -> Event | None:
    """For whoever waits for the end only."""
    return None
