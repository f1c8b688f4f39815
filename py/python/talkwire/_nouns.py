"""The nouns of a connection: what is sent, by the names of the wire."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._base import WhenBusy, as_json
from ._call import Audio, samples

if TYPE_CHECKING:
    from ._connection import Connection


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

    async def append(self, *, audio: str | Audio, event_id: str | None = None) -> None:
        """Appends audio in the input format of the session, mono: base64 text, or whole samples as
        any bytes-like object; where the format is ``audio/pcm`` also as float32 from -1 to 1."""
        connection = self._connection
        if event_id is not None:
            text = audio if isinstance(audio, str) else _base64(audio)
            await connection._event("input_audio_buffer.append", audio=text, event_id=event_id)
        elif isinstance(audio, str):
            await connection._put(connection._native.append_base64, audio)
        else:
            view = samples(audio)
            native = connection._native
            await connection._put(
                native.append_float if view.format == "f" else native.append, view
            )

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
            overrides = None if response is None else as_json(response)
            respond = self._connection._native.respond
            return await self._connection._put(lambda how: respond(overrides, how), when_busy)
        await self._connection._event("response.create", response=response, event_id=event_id)

    async def cancel(self, *, response_id: str | None = None, event_id: str | None = None) -> None:
        """Stops a response; without an id, the one that runs."""
        await self._connection._event("response.cancel", response_id=response_id, event_id=event_id)


def _base64(audio: Audio) -> str:
    view = samples(audio)
    if view.format == "f":
        raise TypeError("audio with an event_id is bytes or 16-bit samples")
    return b64encode(view).decode("ascii")
