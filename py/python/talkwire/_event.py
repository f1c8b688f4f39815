"""Events: the wire's attributes, read from the frame when they are first asked for."""

from __future__ import annotations

import json
from typing import Any

from . import _native
from ._names import WIRE_NAMES

__all__ = [
    "AudioGapEvent",
    "BargeInConfirmedEvent",
    "BargeInHeldEvent",
    "BargeInResumedEvent",
    "ContextWarningEvent",
    "Event",
    "LinkRoundTripEvent",
    "Object",
    "PlayoutCutEvent",
    "ProtocolFaultEvent",
    "SessionLostEvent",
    "SessionRecoveredEvent",
    "SessionRolledEvent",
    "ToolCallEvent",
    "ToolCancelledEvent",
    "ToolOverdueEvent",
    "TurnTimelineEvent",
    "UnknownEvent",
    "UplinkGapEvent",
    "WatchSilenceEvent",
    "WireFrameEvent",
]


class Object(dict[str, Any]):
    """A JSON object whose keys are attributes too.

    An attribute that the protocol knows and this object lacks reads as None, as optional fields
    do; any other is an AttributeError.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            if name in WIRE_NAMES:
                return None
            raise AttributeError(f"no field {name!r}; there are {', '.join(self)}") from None


class Event(_native.Event):
    """One event of the server. Frozen; may be kept.

    Besides the attributes of the wire it has ``audio`` (decoded samples, little-endian, whole
    ones; None where there is no audio), ``audio_ms``, ``at_ms`` (since the session was opened)
    and ``raw`` (the frame as it came).
    """

    __slots__ = ("_fields",)
    __match_args__ = ()

    def __getattr__(self, name: str) -> Any:
        if name == "_fields":
            return self._read()
        value = self._audio_field(name)
        if value is not None:
            return value
        try:
            return self._fields[name]
        except KeyError:
            if name in self.__match_args__:
                return None
            raise AttributeError(f"{self.type} has no field {name!r}") from None

    def _read(self) -> Object:
        fields: Object = json.loads(self.to_json(), object_pairs_hook=Object)
        object.__setattr__(self, "_fields", fields)
        return fields

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an event is frozen: {name!r} cannot be set")

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._fields})

    def to_dict(self) -> dict[str, Any]:
        """All fields, as new plain dictionaries."""
        fields: dict[str, Any] = json.loads(self.to_json())
        return fields


class UnknownEvent(Event):
    """An event newer than this library: its name and all its fields."""

    __slots__ = ()


class AudioGapEvent(Event):
    """``audio.gap``: audio was dropped because events were not read. Made by this library."""

    __slots__ = ()
    __match_args__ = ("item_id", "dropped_ms")

    item_id: str
    dropped_ms: int


class ProtocolFaultEvent(Event):
    """``protocol.fault``: the server sent something that is no event, or a command failed before
    it was sent (``error.type`` says how). Made by this library; the session goes on."""

    __slots__ = ()
    __match_args__ = ("error",)

    error: Any


class BargeInHeldEvent(Event):
    """``barge_in.held``: the customer speaks over the agent, who is quiet until it is decided.
    Made by this library."""

    __slots__ = ()
    __match_args__ = ("item_id", "after_ms")

    item_id: str
    after_ms: int


class BargeInResumedEvent(Event):
    """``barge_in.resumed``: it was no interruption; ``by`` says why. Made by this library."""

    __slots__ = ()
    __match_args__ = ("item_id", "after_ms", "by")

    item_id: str
    after_ms: int
    by: str


class BargeInConfirmedEvent(Event):
    """``barge_in.confirmed``: the agent is interrupted; ``by`` says why. Made by this
    library."""

    __slots__ = ()
    __match_args__ = ("item_id", "after_ms", "by")

    item_id: str
    after_ms: int
    by: str


class PlayoutCutEvent(Event):
    """``playout.cut``: received audio of an item that will not be heard to its end;
    ``truncated_ms`` is None where nothing was heard and the item was deleted. Made by this
    library."""

    __slots__ = ()
    __match_args__ = (
        "response_id",
        "item_id",
        "content_index",
        "received_ms",
        "heard_ms",
        "truncated_ms",
    )

    response_id: str
    item_id: str
    content_index: int
    received_ms: int
    heard_ms: int
    truncated_ms: int | None


class TurnTimelineEvent(Event):
    """``turn.timeline``: the times of a turn, in milliseconds since the session was opened;
    None for a step that did not happen. Made by this library."""

    __slots__ = ()
    __match_args__ = (
        "response_id",
        "last_sample_ms",
        "speech_stop_ms",
        "commit_ms",
        "created_ms",
        "first_delta_ms",
        "first_heard_ms",
    )

    response_id: str
    last_sample_ms: int | None
    speech_stop_ms: int | None
    commit_ms: int | None
    created_ms: int | None
    first_delta_ms: int | None
    first_heard_ms: int | None


class ToolCallEvent(Event):
    """``tool.call``: a registered tool is to be run. Made by this library."""

    __slots__ = ()
    __match_args__ = ("call_id", "name", "arguments", "idempotency_key", "response_id")

    call_id: str
    name: str
    arguments: str
    idempotency_key: str
    response_id: str


class ToolOverdueEvent(Event):
    """``tool.overdue``: a tool takes longer than a caller waits in silence. Made by this
    library."""

    __slots__ = ()
    __match_args__ = ("call_id", "name", "after_ms")

    call_id: str
    name: str
    after_ms: int


class ToolCancelledEvent(Event):
    """``tool.cancelled``: nobody waits for the result of a tool any more. Made by this
    library."""

    __slots__ = ()
    __match_args__ = ("call_id", "name", "after_ms")

    call_id: str
    name: str
    after_ms: int


class ContextWarningEvent(Event):
    """``context.warning``: the conversation nears the context of the model. Made by this
    library."""

    __slots__ = ()
    __match_args__ = ("tokens", "limit_tokens")

    tokens: int
    limit_tokens: int


class WatchSilenceEvent(Event):
    """``watch.silence``: ``who`` (``customer`` or ``agent``) is silent for longer than was
    allowed. Made by this library."""

    __slots__ = ()
    __match_args__ = ("who", "ms")

    who: str
    ms: int


class SessionRolledEvent(Event):
    """``session.rolled``: the session goes on over a new link, by plan and with nothing lost.
    Times are in milliseconds: ``at_ms`` since the session was opened, ``gap_ms`` how long captured
    audio had no link to go to, ``lost_ms`` captured audio that was never sent. ``items`` of the
    conversation (``replayed_tokens``, estimated) were told to the new link; ``state_restored`` says
    whether that is all of it. Made by this library."""

    __slots__ = ()
    __match_args__ = ("old", "new", "gap_ms", "lost_ms")

    old: str
    new: str
    at_ms: int
    gap_ms: int
    lost_ms: int
    items: int
    replayed_tokens: int
    state_restored: bool


class SessionLostEvent(Event):
    """``session.lost``: the link of the session is lost for the reason ``why``, and a new one is
    being made. ``cut`` are the answers that will not be complete, by their ids. Made by this
    library."""

    __slots__ = ()
    __match_args__ = ("why", "close_code", "message")

    session_id: str
    why: str
    close_code: int | None
    message: str
    cut: list[str]


class SessionRecoveredEvent(Event):
    """``session.recovered``: the session goes on over a new link after a loss and ``attempts``.
    ``endpoint``, if there, is the number of the fallback that it goes on at. The other fields are
    those of :class:`SessionRolledEvent`. Made by this library."""

    __slots__ = ()
    __match_args__ = ("old", "new", "gap_ms", "lost_ms")

    old: str
    new: str
    at_ms: int
    gap_ms: int
    lost_ms: int
    items: int
    replayed_tokens: int
    state_restored: bool
    attempts: int
    endpoint: int | None


class WireFrameEvent(Event):
    """``wire.frame``, for subscriptions to ``raw``: the ``text`` of a frame as it went over the wire,
    to the server or from it, over the ``link`` of that number. ``missed`` frames before it were
    dropped because they were not read. Made by this library."""

    __slots__ = ()
    __match_args__ = ("is_sent", "link", "text")

    is_sent: bool
    link: int
    missed: int
    text: str


class LinkRoundTripEvent(Event):
    """``link.round_trip``: how many ``ms`` a ping, which is sent after a silence, took there and
    back. Made by this library."""

    __slots__ = ()
    __match_args__ = ("ms",)

    ms: int


class UplinkGapEvent(Event):
    """``uplink.gap``: ``dropped_ms`` of captured audio were dropped, because the network or the opening
    took longer than ``uplink_max_ms``. Made by this library."""

    __slots__ = ()
    __match_args__ = ("dropped_ms",)

    dropped_ms: int


LOCAL_CLASSES: dict[str, type[Event]] = {
    "audio.gap": AudioGapEvent,
    "protocol.fault": ProtocolFaultEvent,
    "barge_in.held": BargeInHeldEvent,
    "barge_in.resumed": BargeInResumedEvent,
    "barge_in.confirmed": BargeInConfirmedEvent,
    "playout.cut": PlayoutCutEvent,
    "turn.timeline": TurnTimelineEvent,
    "tool.call": ToolCallEvent,
    "tool.overdue": ToolOverdueEvent,
    "tool.cancelled": ToolCancelledEvent,
    "context.warning": ContextWarningEvent,
    "watch.silence": WatchSilenceEvent,
    "session.rolled": SessionRolledEvent,
    "session.lost": SessionLostEvent,
    "session.recovered": SessionRecoveredEvent,
    "wire.frame": WireFrameEvent,
    "link.round_trip": LinkRoundTripEvent,
    "uplink.gap": UplinkGapEvent,
}
"""The class of each event that this library makes by itself."""
