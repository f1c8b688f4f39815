"""The log of the sessions, given to ``logging.getLogger("talkwire")``.

Lines have names, numbers and identifiers: nothing of what anybody said, no audio, no credential. They
are handed over in batches, on the event loop of a connection or by the thread that holds one. How much
is logged is what the logger is set to; level 5, below DEBUG, has the pieces of streams as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import traceback
from weakref import WeakKeyDictionary

from . import _native, _poll, _process
from ._errors import RealtimeError

logger = logging.getLogger("talkwire")
logger.addHandler(logging.NullHandler())

# From the least that is told to all of it; the numbers of the native module begin with 1.
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 5)

_log: _native.Log | None = None
# The process that began it, counted in forks: a child has none of its lines.
_born = 0
_lock = threading.Lock()

# Connections of each loop that reads the log.
_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


def begin() -> None:
    """To be called before a session is opened: only those opened afterwards are logged."""
    global _log, _born
    _process.begin()
    with _lock:
        if _log is None:
            # Somebody else in this process may read it: another interpreter.
            with contextlib.suppress(RealtimeError):
                _log, _born = _native.log(), _process.generation()
    tell()


def tell() -> None:
    """Hands over the lines that wait."""
    log = _ours()
    if log is None:
        return
    log.set_level(sum(logger.isEnabledFor(level) for level in _LEVELS))
    for level, unix_ms, message in log.drain():
        number = _LEVELS[level - 1]
        if logger.isEnabledFor(number):
            record = logger.makeRecord(logger.name, number, "", 0, message, (), None)
            record.created = unix_ms / 1_000
            record.msecs = unix_ms % 1_000
            _handle(record)


def watch() -> bool:
    """One more connection of the running loop: lines are handed over as they come. Whether it counts,
    and is to be taken back."""
    begin()
    loop, log = asyncio.get_running_loop(), _ours()
    if log is None:
        return False
    if not _loops.get(loop):
        _poll.watch(loop, log.fd(), _ready)
    _loops[loop] = _loops.get(loop, 0) + 1
    return True


def unwatch(loop: asyncio.AbstractEventLoop) -> None:
    """One connection less."""
    left = _loops.get(loop, 0) - 1
    if left < 0:
        return
    _loops[loop] = left
    log = _ours()
    if left == 0 and log is not None and not loop.is_closed():
        _poll.unwatch(loop, log.fd())
    tell()


def _ready() -> None:
    if _ours() is None and _log is not None:
        # After the shutdown it is readable for ever.
        _poll.unwatch(asyncio.get_running_loop(), _log.fd())
    tell()


def _ours() -> _native.Log | None:
    return None if _process.is_forked(_born) or _process.is_exiting() else _log


def _handle(record: logging.LogRecord) -> None:
    try:
        logger.handle(record)
    except Exception:
        # A filter that raises is told of as a handler is; the lines after this one still come.
        if logging.raiseExceptions:
            traceback.print_exc()


def _in_child() -> None:
    global _lock
    # Another thread of the parent may have held it.
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_in_child)
