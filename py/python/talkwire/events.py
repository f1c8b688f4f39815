"""The class of each event, for ``match`` and for annotations."""

from ._event import AudioGapEvent, Event, Object, ProtocolFaultEvent, UnknownEvent
from ._events import *  # noqa: F403
from ._events import __all__ as _generated

__all__ = [*_generated, "AudioGapEvent", "Event", "Object", "ProtocolFaultEvent", "UnknownEvent"]
