"""The AudioSocket gateway of examples/gateway, to which these tests are the telephone server."""

from __future__ import annotations

import array
import contextlib
import random
import re
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from programs import PATIENCE_S, Program, built
from talkwire.testing import LocalServer
from test_call import speech

HANG_UP, UUID, DIGIT, SLIN, SLIN24, FAILURE = 0x00, 0x01, 0x03, 0x10, 0x13, 0xFF
FRAME_S = 0.02
# Louder than silence, quieter than any answer of the local server.
LOUD = 1_000
# Ticks that the gateway makes up for at once when it was late.
CATCH_UP = 5


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BH", kind, len(payload)) + payload


GREETING = frame(UUID, uuid.UUID(int=7).bytes)
SILENCE = frame(SLIN, bytes(320))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("gateway/audiosocket.c", tmp_path_factory.mktemp("gateway") / "audiosocket")


class Gateway(Program):
    """The gateway before a server, on a port of its own."""

    def __init__(self, program: Path, server: LocalServer, *options: str) -> None:
        super().__init__(program, "--listen", "127.0.0.1:0", "--url", server.url, *options)
        self.port = int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)", self.line())[1])

    @contextlib.contextmanager
    def call(self) -> Iterator[Caller]:
        """A connection of Asterisk's."""
        link = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        with link, link.makefile("rb") as frames:
            yield Caller(link, frames)


class Caller:
    """What Asterisk does at its end of a connection."""

    def __init__(self, link: socket.socket, frames: BinaryIO) -> None:
        self.link, self._frames = link, frames
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Sends bytes, whatever frames they are."""
        self.link.sendall(data)

    def hear(self) -> tuple[int, bytes] | None:
        """The next frame, or None at the end of the connection. Never half a frame."""
        head = self._frames.read(3)
        if not head:
            return None
        kind, length = struct.unpack(">BH", head)
        payload = self._frames.read(length)
        assert len(payload) == length
        return kind, payload

    def hear_until(self, wanted: Callable[[int, bytes], bool]) -> list[tuple[int, bytes]]:
        """All frames up to the first that is wanted. They come every 20 ms, and so pace a wait."""
        heard = []
        while not heard or not wanted(*heard[-1]):
            heard.append(self.hear() or pytest.fail("the gateway hung up"))
        return heard

    def is_hung_up(self) -> None:
        """The last frame says goodbye, and then the connection ends."""
        self.hear_until(lambda kind, payload: (kind, payload) == (HANG_UP, b""))
        assert self.hear() is None

    @contextlib.contextmanager
    def speaking(self, *said: bytes) -> Iterator[None]:
        """Sends these by the clock of a telephone, and then silence."""
        stop = threading.Event()

        def speak() -> None:
            frames = list(said)
            with contextlib.suppress(OSError):
                while not stop.wait(FRAME_S):
                    self.send(frames.pop(0) if frames else SILENCE)

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def is_loud(kind: int, payload: bytes) -> bool:
    return kind != HANG_UP and max(array.array("h", payload), default=0) > LOUD


def words(ms: int, kind: int = SLIN) -> list[bytes]:
    """Speech as frames of 20 ms."""
    samples = speech(ms)
    if kind == SLIN24:
        samples = array.array("h", (sample for sample in samples for _ in range(3)))
    size = {SLIN: 160, SLIN24: 480}[kind]
    cut = (samples[i : i + size] for i in range(0, len(samples), size))
    return [frame(kind, samples.tobytes()) for samples in cut]


@pytest.mark.parametrize(("kind", "size"), [(SLIN, 320), (SLIN24, 960)])
def test_a_caller_hears_silence_at_once_and_later_what_he_said(
    program: Path, kind: int, size: int
) -> None:
    with (
        LocalServer(brain="loop") as server,
        Gateway(program, server, "--calls", "1") as gateway,
        gateway.call() as caller,
    ):
        begun = time.monotonic()
        caller.send(GREETING)
        assert caller.hear() == (SLIN, bytes(320))
        silence = [frame(kind, bytes(size))] * 1500
        with caller.speaking(*words(800, kind), *silence):
            heard = caller.hear_until(is_loud)
        # By the clock, which a busy machine may let it be behind, but never ahead.
        assert len(heard) <= (time.monotonic() - begun) / FRAME_S + CATCH_UP
        assert {got for got in heard if len(got[1]) != size} <= {(SLIN, bytes(320))}
        assert heard[-1][0] == kind
        caller.link.shutdown(socket.SHUT_WR)
        line = gateway.line()
        assert line.startswith(f"call 1 {uuid.UUID(int=7)}: the caller hung up (")
        gateway.wait()


def test_the_rate_of_a_caller_who_is_silent_at_first_is_not_taken_for_granted(
    program: Path,
) -> None:
    with (
        LocalServer(brain="loop") as server,
        Gateway(program, server) as gateway,
        gateway.call() as caller,
    ):
        caller.send(GREETING)
        for _ in range(100):
            assert caller.hear() == (SLIN, bytes(320))
        with caller.speaking(*words(800, SLIN24), *[frame(SLIN24, bytes(960))] * 1500):
            heard = caller.hear_until(is_loud)
        assert heard[-1][0] == SLIN24


def test_several_callers_are_answered_at_once(program: Path) -> None:
    with (
        LocalServer(brain="loop") as server,
        Gateway(program, server, "--calls", "5") as gateway,
        contextlib.ExitStack() as stack,
    ):
        callers = [stack.enter_context(gateway.call()) for _ in range(5)]
        for caller in callers:
            caller.send(GREETING)
            stack.enter_context(caller.speaking(*words(800)))
        for caller in callers:
            caller.hear_until(is_loud)
            caller.send(frame(HANG_UP))
        assert all("the caller hung up" in gateway.line() for _ in callers)
        gateway.wait()


def test_torn_frames_are_put_together(program: Path) -> None:
    with (
        LocalServer(brain="loop") as server,
        Gateway(program, server) as gateway,
        gateway.call() as caller,
    ):
        for byte in GREETING:
            caller.send(bytes([byte]))
        sound = b"".join(words(800))
        # 320 bytes of every 323 are sound, so 20 ms apart this is nearly the speed of speech.
        pieces = [sound[i : i + 317] for i in range(0, len(sound), 317)]
        with caller.speaking(*pieces):
            caller.hear_until(is_loud)
            caller.link.shutdown(socket.SHUT_RDWR)
        assert ": the caller hung up (" in gateway.line()


def test_of_a_burst_is_kept_what_has_room_and_the_rest_is_told(program: Path) -> None:
    with (
        LocalServer() as server,
        Gateway(program, server) as gateway,
        gateway.call() as caller,
    ):
        caller.send(GREETING + SILENCE * 500 + frame(HANG_UP))
        caller.is_hung_up()
        line = gateway.line()
        said = re.search(r"caller (\d+\.\d) s, agent .* dropped (\d+\.\d) s\)$", line)
        assert said, line
        taken, dropped = float(said[1]), float(said[2])
        assert dropped > 0 and 9.8 < taken + dropped < 10.2


MALFORMED = [
    (SILENCE, "without a UUID: a frame of kind 0x10 before the UUID"),
    (frame(UUID, bytes(15)), "without a UUID: a UUID of 15 bytes"),
    (GREETING + GREETING, "a second UUID"),
    (GREETING + frame(DIGIT), "a digit of 0 bytes"),
    (GREETING + frame(0x42, b"?"), "a frame of kind 0x42, which has no use here"),
    (GREETING + frame(0x17, bytes(3840)), "a frame of kind 0x17, which has no use here"),
    (GREETING + frame(SLIN), "sound of 0 bytes, which are no samples"),
    (GREETING + frame(SLIN, bytes(321)), "sound of 321 bytes, which are no samples"),
    (GREETING + frame(SLIN, bytes(160)), "which is mu-law: Dial(AudioSocket/...) needs /c(slin)"),
    (GREETING + SILENCE + frame(SLIN24, bytes(960)), "sound of kind 0x13 after 0x10"),
    (GREETING + b"\x10\xff\xff", "a frame of 65535 bytes, which is no AudioSocket"),
    (b"GET / HTTP/1.1\r\n\r\n", "a frame of 17748 bytes, which is no AudioSocket"),
    (GREETING + frame(FAILURE, b"\x01"), "Asterisk reports error 0x01"),
]


def test_a_malformed_frame_ends_its_own_call_only(program: Path) -> None:
    with (
        LocalServer() as server,
        Gateway(program, server) as gateway,
        gateway.call() as witness,
    ):
        witness.send(GREETING)
        assert witness.hear()
        for number, (sent, told) in enumerate(MALFORMED, start=2):
            with gateway.call() as caller:
                caller.send(sent)
                caller.is_hung_up()
            line = gateway.line()
            assert line.startswith(f"call {number} ") and told in line
        witness.send(SILENCE)
        assert witness.hear()


def test_a_connection_that_ends_in_the_middle_of_a_frame_is_told(program: Path) -> None:
    with LocalServer() as server, Gateway(program, server) as gateway:
        with gateway.call() as caller:
            caller.send(GREETING + SILENCE[:100])
        assert "the caller hung up in the middle of a frame" in gateway.line()


def test_no_garbage_ends_the_gateway(program: Path) -> None:
    chance = random.Random(6)
    with LocalServer() as server, Gateway(program, server, "--calls", "40") as gateway:
        for _ in range(40):
            start = chance.choice([b"", GREETING, GREETING + SILENCE])
            with gateway.call() as caller, contextlib.suppress(OSError):
                caller.send(start + chance.randbytes(chance.randrange(2_000)))
                caller.link.shutdown(socket.SHUT_WR)
                while caller.link.recv(4096):
                    pass
            assert gateway.line().startswith("call ")
        gateway.wait()


def test_a_digit_is_told_to_the_agent(program: Path) -> None:
    with (
        LocalServer(journal=True) as server,
        Gateway(program, server) as gateway,
        gateway.call() as caller,
    ):
        caller.send(GREETING + frame(DIGIT, b"5"))
        caller.hear_until(lambda *_: "The caller pressed 5." in str(server.journal()))


def test_the_agent_says_goodbye_and_then_hangs_up(program: Path) -> None:
    goodbye = {"say": "Goodbye.", "call": {"name": "hang_up", "arguments": {}}}
    with (
        LocalServer(script={"voice": "tone", "turns": [goodbye]}) as server,
        Gateway(program, server) as gateway,
        gateway.call() as caller,
    ):
        caller.send(GREETING + SILENCE + frame(DIGIT, b"9"))
        heard = caller.hear_until(lambda kind, _: kind == HANG_UP)
        assert any(is_loud(*got) for got in heard)
        assert caller.hear() is None
        assert "the agent hung up" in gateway.line()


def test_a_caller_whose_server_is_killed_is_hung_up(program: Path) -> None:
    with LocalServer() as server, Gateway(program, server) as gateway, gateway.call() as caller:
        caller.send(GREETING + SILENCE + frame(DIGIT, b"5"))
        caller.hear_until(is_loud)
        server.kill()
        caller.is_hung_up()
        assert "the agent has gone: " in gateway.line()
        with gateway.call() as late:
            late.send(GREETING)
            late.is_hung_up()
        assert "Connection refused" in gateway.line()


def test_a_gateway_that_is_stopped_hangs_up(program: Path) -> None:
    with LocalServer() as server, Gateway(program, server) as gateway, gateway.call() as caller:
        caller.send(GREETING + SILENCE)
        caller.hear_until(lambda *_: True)
        gateway.terminate()
        caller.is_hung_up()
        assert "the gateway stops" in gateway.line()
        gateway.wait()
