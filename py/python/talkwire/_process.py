"""What belongs to the process: its end, and forks of it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading

from . import _native
from ._errors import DeadlineError, ForkedProcessError

# Time at exit for sessions that nobody closed; what is left then is dropped.
_EXIT_MS = 1_000

_generation = 0
# The first process that opened a session, counted likewise.
_begun: int | None = None
_is_exiting = False
_leaked: list[object] = []


def generation() -> int:
    """Which process this is, counted in forks since the package was imported."""
    return _generation


def begin() -> None:
    """To be called before a session is opened: who has opened one ends what is left of them at exit."""
    global _begun
    if _begun is None:
        _begun = _generation


def is_exiting() -> bool:
    """Whether the interpreter exits, and the sessions have been ended."""
    return _is_exiting


def is_forked(born: int) -> bool:
    """Whether an object was made by a parent of this process."""
    return born != _generation


def check(born: int) -> None:
    """Raises for an object that was made by a parent of this process."""
    if is_forked(born):
        error = ForkedProcessError("this object belongs to the process that was forked")
        error.kind, error.who = "forked", "app"
        raise error


def leak(native: object) -> None:
    """Keeps a native object of the parent for ever: its threads do not exist here, and dropping
    it would wait for them."""
    _leaked.append(native)


def _in_child() -> None:
    global _generation
    _generation += 1


async def left_behind() -> None:
    """Never returns in a daemon thread of an interpreter that exits: the shutdown ended its
    sessions, and the interpreter is about to leave it where it stands, with nothing to be told."""
    if _is_exiting and threading.current_thread().daemon:
        await asyncio.get_running_loop().create_future()


def stay_behind() -> None:
    """The same for a thread without an event loop."""
    if _is_exiting and threading.current_thread().daemon:
        threading.Event().wait()


@atexit.register
def _at_exit() -> None:
    global _is_exiting
    _is_exiting = True
    # A child of who began has none of its threads, and nothing to end.
    if _begun == _generation:
        with contextlib.suppress(DeadlineError):
            _native.shutdown(_EXIT_MS)


os.register_at_fork(after_in_child=_in_child)
