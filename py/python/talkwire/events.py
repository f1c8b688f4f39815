"""The class of each event, for ``match`` and for annotations."""

from . import _event, _events
from ._event import *  # noqa: F403
from ._events import *  # noqa: F403

__all__ = []
__all__ += _events.__all__
__all__ += _event.__all__
