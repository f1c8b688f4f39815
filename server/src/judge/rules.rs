//! The rules by number.

/// A rule of the protocol.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rule {
    /// `S…` for servers, `C…` for clients. A number keeps its meaning.
    pub id: &'static str,
    /// What it asks for.
    pub words: &'static str,
}

const fn rule(id: &'static str, words: &'static str) -> Rule {
    Rule { id, words }
}

/// All rules.
pub const RULES: &[Rule] = &[
    rule(
        "S1",
        "The first event is session.created, and it comes unasked.",
    ),
    rule(
        "S2",
        "Every frame of the server is a text frame with one JSON object that has a type.",
    ),
    rule(
        "S3",
        "Every event of the server has an event_id that no other event has.",
    ),
    rule(
        "S4",
        "Every response.created is followed by exactly one response.done with that id, and no response begins twice.",
    ),
    rule(
        "S5",
        "The deltas of a part, joined, are the text of its done event.",
    ),
    rule(
        "S6",
        "An event of a response comes after its response.created and before its response.done.",
    ),
    rule(
        "S7",
        "At most one response at a time writes to the conversation.",
    ),
    rule(
        "S8",
        "Whatever a response opened is done before the response is, and what was cut short has the status incomplete.",
    ),
    rule("S9", "Audio is base64 of whole samples."),
    rule(
        "S10",
        "An item is added before its parts, a part before its deltas, and a part is done before its item.",
    ),
    rule(
        "S11",
        "Events have all their fields, also those that are null.",
    ),
    rule(
        "S12",
        "An event of an unknown type is answered by an error, and the session goes on.",
    ),
    rule(
        "S13",
        "An error names in error.event_id the client's event that caused it.",
    ),
    rule(
        "S14",
        "session.update is answered by session.updated with the whole effective session.",
    ),
    rule(
        "S15",
        "A frame that is no JSON object, or is binary, is answered by an error, and the session goes on.",
    ),
    rule(
        "S16",
        "A commit of less audio than the minimum is answered by an error.",
    ),
    rule(
        "S17",
        "response.cancel with nothing to cancel is answered by an error.",
    ),
    rule(
        "S18",
        "response.create while a response writes to the conversation starts no second one beside it.",
    ),
    rule(
        "S19",
        "An item that the client adds is confirmed with the id that the client gave it.",
    ),
    rule(
        "S20",
        "A response outside of the conversation adds no items to it and echoes its metadata.",
    ),
    rule(
        "S21",
        "Retrieving, deleting and truncating an unknown item is answered by an error, of a known one by its event.",
    ),
    rule(
        "S22",
        "A truncation beyond the end of the audio is answered by an error.",
    ),
    rule(
        "S23",
        "A cancelled response ends with the status cancelled.",
    ),
    rule(
        "S24",
        "Speech is announced in order and under one item: started, stopped, committed.",
    ),
    rule("S25", "A response that is done has a final status."),
    rule("S26", "A close is answered."),
    rule("S27", "The session goes on until it is closed or expires."),
    rule(
        "C1",
        "Every frame of the client is a text frame with one JSON object that has a type.",
    ),
    rule(
        "C2",
        "Every event of the client has a type that the protocol knows.",
    ),
    rule(
        "C3",
        "An event_id has no more characters than the server takes.",
    ),
    rule("C4", "Events have the fields that they need."),
    rule(
        "C5",
        "Audio is base64 of whole samples, and no more at once than the server takes.",
    ),
    rule("C6", "A commit has at least the minimum of audio."),
    rule(
        "C7",
        "response.create is sent when no response writes to the conversation, as far as the client can know.",
    ),
    rule(
        "C8",
        "response.cancel is sent when there is something to cancel, as far as the client can know.",
    ),
    rule(
        "C9",
        "A function's output names a call that the server made.",
    ),
    rule("C10", "A call is answered once."),
    rule("C11", "Calls of the server's own tools are not answered."),
    rule(
        "C12",
        "Every call is answered before the next response is asked for.",
    ),
    rule(
        "C13",
        "The withdrawn version of the protocol is not asked for.",
    ),
    rule(
        "C14",
        "A truncation names an item of the agent with audio, and no more than was received.",
    ),
    rule("C15", "The connection is closed by a close frame."),
];

/// The rule of that number.
pub(super) fn words(id: &str) -> &'static str {
    let found = RULES.iter().find(|rule| rule.id == id);
    found.map_or("", |rule| rule.words)
}
