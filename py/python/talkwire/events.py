"""The class of each event, for ``match`` and for annotations."""

from ._event import *  # noqa: F403
from ._event import __all__ as _own
from ._events import *  # noqa: F403
from ._events import __all__ as _generated

__all__ = [*_generated, *_own]  # noqa: PLE0604
