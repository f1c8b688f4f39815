"""A sound card for tests: somebody speaks for a second, waits for an answer and hangs up."""

from __future__ import annotations

import array
import threading
from collections.abc import Callable
from typing import Any, Self

FRAME_S = 0.02
SPEECH_FRAMES = 50
MOST_FRAMES = 1_000


class RawStream:
    """The stream of both directions, by a clock of its own."""

    def __init__(
        self,
        *,
        samplerate: int,
        blocksize: int,
        channels: int,
        dtype: str,
        callback: Callable[[Any, Any, int, Any, Any], None],
        finished_callback: Callable[[], None],
    ) -> None:
        assert (samplerate * FRAME_S, channels, dtype) == (blocksize, 1, "int16")
        self._blocksize = blocksize
        self._callback = callback
        self._finished = finished_callback
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        period = array.array("h", [9_000] * 40 + [-9_000] * 40)
        voice = memoryview(period * (self._blocksize // 80)).cast("B")
        silence = memoryview(bytes(2 * self._blocksize))
        heard_frames = 0
        for frame in range(MOST_FRAMES):
            if self._stopped.wait(FRAME_S) or heard_frames == SPEECH_FRAMES // 2:
                break
            out = bytearray(2 * self._blocksize)
            said = voice if frame < SPEECH_FRAMES else silence
            self._callback(said, memoryview(out), self._blocksize, None, None)
            heard_frames += any(out)
        self._finished()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
