"""The log of the sessions, given to ``logging.getLogger("talkwire")``.

Lines have names, numbers and identifiers: nothing of what anybody said, no audio, no credential. They
are handed over in batches, on the event loop of a connection or by the thread that holds one. How much
is logged is what the logger is set to; level 5, below DEBUG, has the pieces of streams as well.
"""

from __future__ import annotations

import asyncio
import logging
from weakref import WeakKeyDictionary

from . import _native, _process
from ._errors import RealtimeError

logger = logging.getLogger("talkwire")
logger.addHandler(logging.NullHandler())

# From the least that is told to all of it; the numbers of the native module begin with 1.
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 5)

_log: _native.Log | None = None

# Connections of each loop that reads the log.
_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


def begin() -> None:
    """To be called before a session is opened: only those opened afterwards are logged."""
    global _log
    if _log is None and not _process.is_forked(0):
        try:
            _log = _native.log()
        except RealtimeError:
            # Somebody else in this process reads it: another interpreter.
            return
    tell()


def tell() -> None:
    """Hands over the lines that wait."""
    if _log is None or _process.is_forked(0):
        return
    _log.set_level(sum(logger.isEnabledFor(level) for level in _LEVELS))
    for level, unix_ms, message in _log.drain():
        number = _LEVELS[level - 1]
        if logger.isEnabledFor(number):
            record = logger.makeRecord(logger.name, number, "", 0, message, (), None)
            record.created = unix_ms / 1_000
            record.msecs = unix_ms % 1_000
            logger.handle(record)


def watch() -> None:
    """One more connection of the running loop: lines are handed over as they come."""
    begin()
    loop = asyncio.get_running_loop()
    if _log is not None and not _process.is_forked(0):
        if not _loops.get(loop):
            loop.add_reader(_log.fd(), tell)
        _loops[loop] = _loops.get(loop, 0) + 1


def unwatch(loop: asyncio.AbstractEventLoop) -> None:
    """One connection less."""
    left = _loops.get(loop, 0) - 1
    if left < 0:
        return
    _loops[loop] = left
    tell()
    if left == 0 and _log is not None and not loop.is_closed():
        loop.remove_reader(_log.fd())
