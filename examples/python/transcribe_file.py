"""Writes down what is said in a WAV file, with a bar that shows how far it is.

    python transcribe_file.py [--url URL] [FILE.wav]

The file is 16-bit mono. Without --url a local server writes down what a script tells it.
"""

import argparse
import contextlib
import json
import wave
from pathlib import Path

from talkwire import sync
from talkwire.testing import LocalServer

AUDIO = Path(__file__).parent.parent / "audio"
PIECE_S = 5
WIDTH = 40


def bar(done: float) -> None:
    filled = "#" * round(done * WIDTH)
    end = "\n" if done == 1 else "\r"
    print(f"[{filled:{WIDTH}}] {done:4.0%}", end=end)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("file", nargs="?", default=AUDIO / "caller-en.wav")
    given = parser.parse_args()
    lines = json.loads((AUDIO / "lines.json").read_text(encoding="utf-8"))["en"]
    script = {"ears": [line["text"] for line in lines if line["role"] == "customer"]}
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(LocalServer(script=script)).url
        wav = stack.enter_context(wave.open(str(given.file), "rb"))
        pcm = {"type": "audio/pcm", "rate": wav.getframerate()}
        listens = {"format": pcm, "turn_detection": None, "transcription": {"model": "whisper-1"}}
        session = {"output_modalities": ["text"], "audio": {"input": listens}}
        connection = stack.enter_context(sync.connect(url, session=session))
        words = []
        while piece := wav.readframes(PIECE_S * wav.getframerate()):
            connection.input_audio_buffer.append(audio=piece)
            connection.input_audio_buffer.commit()
            words.append(transcript(connection))
            bar(wav.tell() / wav.getnframes())
    print(*filter(None, words), sep="\n")


def transcript(connection: sync.Connection) -> str:
    """The words of the piece that was committed."""
    for event in connection:
        if event.type == "conversation.item.input_audio_transcription.completed":
            return str(event.transcript)
        if event.type == "error":
            raise SystemExit(event.error.message)
    raise SystemExit("the conversation is over")


main()
