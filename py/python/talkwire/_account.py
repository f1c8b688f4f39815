"""What a session did so far: its conversation, its cost, its numbers."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Segment:
    """One utterance. Times are in milliseconds: of session audio for speech, of the session for the
    rest; None where they are unknown."""

    role: Literal["customer", "agent", "system"]
    """Who said it."""
    text: str
    """The words, as far as they are known."""
    start_ms: int | None
    """Start."""
    end_ms: int | None
    """End."""
    item_id: str
    """The item it belongs to."""
    is_final: bool
    """Whether the words will not change."""
    heard: str | None = None
    """Of an answer that was cut, about the words that were heard."""
    heard_ms: int | None = None
    """How much of its sound was heard."""
    received_ms: int | None = None
    """How much of its sound had been received."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a session, cancelled responses included."""

    responses: int
    """Responses counted."""
    input_tokens: int
    """Tokens read."""
    output_tokens: int
    """Tokens written."""
    input_text_tokens: int
    """Text tokens read."""
    input_audio_tokens: int
    """Audio tokens read."""
    cached_tokens: int
    """Tokens read from the provider's cache; a part of those read."""
    output_text_tokens: int
    """Text tokens written."""
    output_audio_tokens: int
    """Audio tokens written."""
    context_tokens: int
    """Tokens of the conversation after the last response."""
    context_limit_tokens: int
    """Tokens that the model can hold; 0 where the dialect does not say."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What a session did. Times are in milliseconds; all numbers but those of what waits, of the last
    turn and of the last ping only grow."""

    age_ms: int
    """How long the session has been open, until its last step."""
    links: int
    """Links that were opened."""
    losses: int
    """Links that were lost."""
    rollovers: int
    """Changes to a new link by plan."""
    recoveries: int
    """Changes to a new link after a loss."""
    frames_sent: int
    """Frames given to links to be sent."""
    frames_received: int
    """Frames that came."""
    audio_sent_ms: int
    """Audio given to links to be sent."""
    audio_dropped_ms: int
    """Captured audio that was dropped because it could not be sent, as ``uplink.gap`` told."""
    audio_received_ms: int
    """Audio of answers that came."""
    barge_ins: int
    """Interruptions by the customer."""
    tool_calls: int
    """Calls of registered tools."""
    server_errors: int
    """Errors that the server told."""
    faults: int
    """Broken frames, and commands that failed with nobody waiting for them."""
    answers: int
    """Turns whose answer was heard; the three below are about these."""
    answer_ms: int
    """From the customer's last word to the first sound of the answer, of the last turn."""
    answer_max_ms: int
    """Of the slowest turn."""
    answer_sum_ms: int
    """Of all turns together."""
    round_trips: int
    """Pings that were answered."""
    round_trip_ms: int
    """How long the last one took there and back."""
    unread_events: int
    """Events that wait to be read."""
    unread_bytes: int
    """Bytes that they hold in memory, roughly."""
    unread_dropped_ms: int
    """Audio that was dropped because it was not read."""
    waiting_commands: int
    """Commands that wait to be looked at."""
