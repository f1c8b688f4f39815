"""One response of a connection, as it comes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ._errors import ConnectionClosed
from ._event import Event, Object
from ._response import (
    MAX_BYTES,
    Piece,
    StrandBase,
    StreamBase,
    everything,
    nothing,
    sound,
    words,
)
from ._subscription import Subscription

if TYPE_CHECKING:
    from ._base import Topic, WhenBusy
    from ._connection import Connection


class ResponseStream(StreamBase):
    """One response: ``async with connection.stream_response() as answer``.

    Entering the block asks for the response and returns when it has begun. Iterate over ``text``,
    over ``audio``, or over this for all its events; each of the three may be iterated once, one after
    another or at the same time, and ends with the response. Whatever else reads the connection misses
    nothing. Leaving the block before the response is over cancels it.

    Raises ResponseError where the response failed, ConnectionClosed where the connection ended before
    it. A wait that is given up loses nothing.
    """

    def __init__(
        self, connection: Connection, response: Mapping[str, Any] | None, when_busy: WhenBusy
    ) -> None:
        super().__init__(connection, response, when_busy)
        self._connection = connection

    @property
    def text(self) -> AsyncIterator[str]:
        """Its words, written or spoken, in pieces."""
        return self._text

    @property
    def audio(self) -> AsyncIterator[bytes]:
        """Its sound, in pieces of whole samples in the output format of the session."""
        return self._audio

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def final(self) -> Object:
        """The response as it is when it is over; ``status`` is ``completed``, ``cancelled`` (also by
        an interruption or the loss of a link) or ``incomplete``. May be asked for more than once."""
        async for _ in self._end:
            pass
        return self._end.response

    async def cancel(self) -> None:
        """Stops it; what was said until then still comes."""
        await self._connection.response.cancel(response_id=self._response_id)

    async def __aenter__(self) -> Self:
        # Before it is asked for, as they are told what happens from then on.
        text = self._subscribe("transcript", "control")
        audio = self._subscribe("audio", "control")
        events = self._subscribe("audio", "transcript", "control")
        end = self._subscribe("control")
        try:
            self._response_id = name = await self._connection._ask(*self._wish)
        except BaseException:
            self._unsubscribe()
            raise
        self._text = _Strand(text, name, words)
        self._audio = _Strand(audio, name, sound)
        self._events = _Strand(events, name, everything)
        self._end: _Strand[Event] = _Strand(end, name, nothing)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._leave(self._end):
            # What cannot be taken any more is over with its connection.
            with contextlib.suppress(ConnectionClosed):
                await self.cancel()

    def _subscribe(self, *topics: Topic) -> Subscription:
        subscription = self._connection.subscribe(*topics, max_bytes=MAX_BYTES)
        self._sources.append(subscription)
        return subscription


class _Strand(StrandBase[Piece]):
    def __init__(
        self, subscription: Subscription, name: str, make: Callable[[Event], Piece | None]
    ) -> None:
        super().__init__(subscription, name, make)
        self._subscription = subscription

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        while not self.is_over:
            try:
                event = await self._subscription.recv()
            except ConnectionClosed:
                # Somebody else may have read its end.
                if self.is_over:
                    break
                raise
            piece = self._piece(event)
            if piece is not None:
                return piece
        raise StopAsyncIteration
