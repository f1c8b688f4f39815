"""The media port of a session: sound in, sound out, by the clock of the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, Self, TypedDict, cast

from . import _native, _process

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Array(Protocol):
    """An array of numpy, as type checkers see it before Python 3.12."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Its shape and type."""
        ...


# Whole samples: bytes, bytearray, memoryview, array, or a numpy array of int16 (little-endian); one of
# float32 from -1 to 1 is made 16 bits on its way.
if TYPE_CHECKING:
    Audio = Buffer | Array
else:
    # Python 3.11 has no class of all buffers.
    Audio = bytes | bytearray | memoryview | Array


class EchoGate(TypedDict):
    """How an echo of the agent is told from the customer."""

    erl_db: NotRequired[float]
    """How much weaker the echo is than what was pulled, at least, in dB (12)."""
    tail_ms: NotRequired[int]
    """How long it lingers after the latency of the device (200)."""
    mute: NotRequired[bool]
    """Whether the server gets silence instead of it (true), or only no interruption is made of it."""


class CallOptions(TypedDict):
    """How a host gives and takes sound; each has a default that suits a telephone call."""

    uplink: NotRequired[Mapping[str, Any]]
    """Format of what is pushed, ``{"type": "audio/pcm", "rate": 24000}``; ``audio/pcma`` and
    ``audio/pcmu`` are A-law and mu-law, of 8000 Hz or the ``rate``."""
    downlink: NotRequired[Mapping[str, Any]]
    """Format of what is pulled; always mono."""
    tracks: NotRequired[Literal["mono", "stereo", "two"]]
    """How customer and human agent are pushed: the customer alone, interleaved, or apart."""
    send: NotRequired[Literal["customer", "agent", "mix"]]
    """What of it goes to the server."""
    prebuffer_ms: NotRequired[int]
    """Speech that waits before it begins to sound; a complete part begins at once."""
    rebuffer_ms: NotRequired[int]
    """The same after it ran dry in the middle of a part."""
    ring_ms: NotRequired[int]
    """Length of the ring that is pulled from."""
    preroll_ms: NotRequired[int]
    """Sound kept from before the session is open; older sound is dropped."""
    silence_after_ms: NotRequired[int]
    """After this long without a push silence is sent by the clock, so that a turn can end."""
    silence_max_ms: NotRequired[int]
    """The most silence between two pushes."""
    queue_max_ms: NotRequired[int]
    """Speech of the agent that waits to be heard; what comes beyond that is dropped."""
    latency_ms: NotRequired[int]
    """How long a pulled sample takes to the listener's ear."""
    confirm: NotRequired[bool]
    """Whether ``played`` and not the pull is what counts as heard."""
    hold_db: NotRequired[float | None]
    """How much quieter the agent is while an interruption is considered; None pauses it."""
    echo_gate: NotRequired[EchoGate | None]
    """Keeps the agent's echo from being taken for the customer."""
    fade_ms: NotRequired[int]
    """How long a sound takes to become quiet when it is cut or held, and to come back."""
    comfort_noise_dbfs: NotRequired[float | None]
    """Noise instead of silence where there is no sound: its level, -70 to -30; None is silence."""
    tick_ms: NotRequired[int]
    """How often the session looks at the rings."""
    idle_tick_ms: NotRequired[int]
    """How often when nothing was pushed or played for a second."""


@dataclass(frozen=True, slots=True)
class CallStats:
    """What went through a media port, in samples of the host where nothing else is said."""

    pushed: int
    """Taken from pushes, both tracks."""
    overrun: int
    """Pushed and dropped, because the session did not keep up."""
    overruns: int
    """Pushes of which something was dropped."""
    pulled: int
    """Given to pulls as sound."""
    silence: int
    """Given to pulls as silence."""
    underruns: int
    """How often speech ran dry in its middle."""
    depth: int
    """Waits in the ring to be pulled."""
    queued_ms: int
    """Waits to get into the ring, in ms."""
    play_dropped_ms: int
    """Speech of the agent that was dropped because too much of it waited, in ms."""
    preroll_dropped: int
    """Dropped because it was too old when the session opened."""
    inserted: int
    """Silence sent because nothing was pushed."""
    customer_dbfs: float
    """Loudness of the customer, -100 for silence."""
    agent_dbfs: float
    """Loudness of the human agent, -100 for silence."""


class Call:
    """A media port. All methods may be called from any thread, and none blocks; one thread at a
    time may be in a push of a track, one in a pull, else it is a BusyError.

    Audio is any contiguous buffer of whole samples: bytes, an array, a numpy array of int16; float32
    from -1 to 1 can be pushed where the format is ``audio/pcm``.
    """

    def __init__(self, native: _native.Call) -> None:
        self._native = native
        self._born = _process.generation()

    def push(self, audio: Audio, *, track: Literal["customer", "agent"] = "customer") -> int:
        """Gives sound to the session, any number of samples; returns those taken. What does not
        fit, because the session did not keep up, is dropped and counted."""
        _process.check(self._born)
        if track not in ("customer", "agent"):
            raise ValueError(f"no track {track!r}: there are customer and agent")
        view = samples(audio)
        if view.format == "f":
            return self._native.push_float(view, track == "agent")
        return self._native.push(view, track == "agent")

    def pull(self, samples: int) -> tuple[bytes, int]:
        """So many samples of what the agent says, and how many of them are sound; the others, at
        the end, are silence. After the end of the session what was received still comes, if the
        end was not asked for, else what is in the ring; then ConnectionClosed."""
        _process.check(self._born)
        return self._native.pull(samples)

    def pull_into(self, audio: Audio) -> int:
        """The same into a buffer of whole samples; returns how many are sound."""
        _process.check(self._born)
        view = samples(audio)
        if view.format == "f":
            raise TypeError("audio is pulled as bytes or 16-bit samples")
        return self._native.pull_into(view)

    @property
    def position(self) -> tuple[int, int] | None:
        """What was heard last: the number of the part, counted from 1 in the order in which parts
        begin to sound, and its milliseconds."""
        return self._native.position()

    @property
    def stats(self) -> CallStats:
        """The numbers so far."""
        numbers, customer_dbfs, agent_dbfs = self._native.stats()
        counted = dict(zip(CallStats.__slots__, numbers, strict=False))
        return CallStats(**counted, customer_dbfs=customer_dbfs, agent_dbfs=agent_dbfs)

    def played(self, samples: int) -> None:
        """Tells how many of all samples that were pulled as sound have arrived at the listener;
        only with the option ``confirm``."""
        _process.check(self._born)
        self._native.played(samples)

    def set_latency_ms(self, ms: int) -> None:
        """Tells how long a pulled sample takes to the listener's ear, from now on."""
        self._native.set_latency_ms(ms)

    def flush(self) -> None:
        """Wishes that what waits to be heard is dropped; it happens within ``tick_ms``."""
        self._native.flush()

    def detach(self) -> None:
        """Lets go of the session; what was pushed is still sent."""
        self._native.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()


def samples(audio: Audio) -> memoryview[Any]:
    """A buffer of bytes or 16-bit samples as bytes (format ``B``), one of float32 as it is (``f``)."""
    view = memoryview(cast("Buffer", audio))
    if view.format in ("f", "<f"):
        floats: memoryview[Any] = view.cast("B").cast("f")
        return floats
    if view.format not in ("B", "b", "c", "h", "<h"):
        raise TypeError(
            f"audio is bytes, 16-bit samples or float32, not items of format {view.format!r}"
        )
    return view.cast("B") if view.format != "<h" else memoryview(view.tobytes())
