"""Events: the wire's attributes, read from the frame when they are first asked for."""

from __future__ import annotations

import json
from typing import Any

from . import _native
from ._names import WIRE_NAMES


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
    __match_args__: tuple[str, ...] = ()

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


LOCAL_CLASSES: dict[str, type[Event]] = {
    "audio.gap": AudioGapEvent,
    "protocol.fault": ProtocolFaultEvent,
}
"""The class of each event that this library makes by itself."""
