//! Events.

use std::borrow::Cow;
use std::ffi::c_char;
use std::sync::OnceLock;

use talkwire_core::error::Provider;
use talkwire_core::event::Body;
use talkwire_core::event::local::{self, Local};
use talkwire_core::wire::ServerEvent;
use talkwire_core::wire::server::ErrorBody;
use talkwire_core::{Error, Event, Kind};

use crate::error::tw_error;
use crate::event_types::TW_EVENT_UNKNOWN;
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::text::{Text, tw_bytes, tw_str};

/// `audio.gap`, made by this library: audio was dropped because events were not read.
pub const TW_EVENT_AUDIO_GAP: i32 = 1001;
/// `protocol.fault`, made by this library: the server sent something that is no event, or a command
/// that was accepted has failed. The session goes on; tw_event_error() says more.
pub const TW_EVENT_PROTOCOL_FAULT: i32 = 1002;
/// `barge_in.held`, made by this library: the customer speaks over the agent; what sounds is quiet
/// until it is decided.
pub const TW_EVENT_BARGE_IN_HELD: i32 = 1003;
/// `barge_in.resumed`, made by this library: it was no interruption; the agent goes on where it
/// was.
pub const TW_EVENT_BARGE_IN_RESUMED: i32 = 1004;
/// `barge_in.confirmed`, made by this library: the agent is interrupted; what was not heard is
/// dropped everywhere.
pub const TW_EVENT_BARGE_IN_CONFIRMED: i32 = 1005;
/// `playout.cut`, made by this library: audio of an item that was received will not be heard to its
/// end.
pub const TW_EVENT_PLAYOUT_CUT: i32 = 1006;
/// `turn.timeline`, made by this library: when what happened between the customer's last word and
/// the agent's first.
pub const TW_EVENT_TURN_TIMELINE: i32 = 1007;
/// `tool.call`, made by this library: a registered tool is to be run; exactly one result is owed.
pub const TW_EVENT_TOOL_CALL: i32 = 1008;
/// `tool.overdue`, made by this library: a tool takes longer than a caller waits in silence.
pub const TW_EVENT_TOOL_OVERDUE: i32 = 1009;
/// `tool.cancelled`, made by this library: nobody waits for the result of a tool any more.
pub const TW_EVENT_TOOL_CANCELLED: i32 = 1010;
/// `context.warning`, made by this library: the conversation nears the context of the model.
pub const TW_EVENT_CONTEXT_WARNING: i32 = 1011;
/// `watch.silence`, made by this library: somebody is silent for longer than was allowed.
pub const TW_EVENT_WATCH_SILENCE: i32 = 1012;
/// `session.rolled`, made by this library: the session goes on over a new link, by plan and with
/// nothing lost.
pub const TW_EVENT_SESSION_ROLLED: i32 = 1013;
/// `session.lost`, made by this library: the link is lost, and a new one is being made.
pub const TW_EVENT_SESSION_LOST: i32 = 1014;
/// `session.recovered`, made by this library: the session goes on over a new link after a loss.
pub const TW_EVENT_SESSION_RECOVERED: i32 = 1015;
/// `wire.frame`, made by this library for subscriptions to "raw": a frame as it went over the wire,
/// which is the event's text; its JSON says which way and over which link.
pub const TW_EVENT_WIRE_FRAME: i32 = 1016;
/// `link.round_trip`, made by this library: how long a ping, which is sent after a silence of
/// `ping_ms`, took there and back; its JSON has `ms`.
pub const TW_EVENT_LINK_ROUND_TRIP: i32 = 1017;
/// `uplink.gap`, made by this library: captured audio was dropped, because the network or the opening
/// took longer than `uplink_max_ms`; its JSON has `dropped_ms`.
pub const TW_EVENT_UPLINK_GAP: i32 = 1018;

/// Something that happened in a session. Never changes; belongs to whoever holds a reference.
pub struct tw_event {
    mark: Mark,
    event: Event,
    name: Text,
    text: Text,
    json: Text,
    raw: Text,
    item_id: Text,
    response_id: Text,
    call_id: Text,
    call_name: Text,
    error: OnceLock<Option<tw_error>>,
    /// Samples again, if the decoder's buffer is not aligned for them.
    aligned: OnceLock<Box<[u16]>>,
}

impl Handle for tw_event {
    const NOUN: &'static str = "tw_event";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl tw_event {
    pub(crate) fn new(event: Event) -> Self {
        Self {
            mark: Mark::default(),
            event,
            name: Text::default(),
            text: Text::default(),
            json: Text::default(),
            raw: Text::default(),
            item_id: Text::default(),
            response_id: Text::default(),
            call_id: Text::default(),
            call_name: Text::default(),
            error: OnceLock::new(),
            aligned: OnceLock::new(),
        }
    }

    fn call(&self) -> (Option<&str>, Option<&str>) {
        match self.event.own() {
            Some(Local::ToolCall(call)) => return (Some(&call.call_id), Some(&call.name)),
            Some(Local::ToolOverdue(call) | Local::ToolCancelled(call)) => {
                return (Some(&call.call_id), Some(&call.name));
            }
            _ => {}
        }
        match self.event.server() {
            Some(ServerEvent::ArgumentsDelta(e) | ServerEvent::ArgumentsDone(e)) => {
                (Some(&e.call_id), e.name.as_deref())
            }
            Some(ServerEvent::OutputItemAdded(e) | ServerEvent::OutputItemDone(e)) => {
                (e.item.call_id.as_deref(), e.item.name.as_deref())
            }
            _ => (None, None),
        }
    }

    fn error(&self) -> Option<&tw_error> {
        let make = || match self.event.body() {
            Body::Local(Local::Fault(error)) => Some(tw_error::new(error.clone())),
            Body::Wire(ServerEvent::Error(event)) => Some(tw_error::new(reported(&event.error))),
            _ => None,
        };
        self.error.get_or_init(make).as_ref()
    }

    fn audio(&self) -> tw_bytes {
        let Some(audio) = self.event.audio().filter(|audio| !audio.is_empty()) else {
            return tw_bytes::EMPTY;
        };
        let len = audio.len();
        if (audio.as_ptr() as usize).is_multiple_of(align_of::<u16>()) {
            let ptr = audio.as_ptr();
            return tw_bytes { ptr, len };
        }
        let copy = self.aligned.get_or_init(|| {
            let pair = |b: &[u8]| u16::from_ne_bytes([b[0], b.get(1).copied().unwrap_or(0)]);
            audio.chunks(2).map(pair).collect()
        });
        let ptr = copy.as_ptr().cast();
        tw_bytes { ptr, len }
    }
}

/// An error event as an error object.
fn reported(body: &ErrorBody) -> Error {
    let provider = Provider {
        kind: Some(body.kind.clone()),
        code: body.code.clone(),
        param: body.param.clone(),
        event_id: body.event_id.clone(),
        ..Provider::default()
    };
    Error::new(Kind::Server, body.message.clone()).with_provider(provider)
}

/// A text of an event, made when it is first asked for.
fn part(
    event: *const tw_event,
    field: impl for<'a> FnOnce(&'a tw_event) -> (&'a Text, Option<&'a str>),
) -> tw_str {
    let Some(event) = handle::peek(event) else {
        return tw_str::EMPTY;
    };
    let (cache, value) = field(event);
    cache.get(|| value.map(Cow::Borrowed))
}

/// What kind of event it is: a TW_EVENT_*; TW_EVENT_UNKNOWN for one that is newer than this library,
/// whose name and JSON are there all the same, and for NULL.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_type(event: *const tw_event) -> i32 {
    guard::value("tw_event_type", TW_EVENT_UNKNOWN, || {
        handle::peek(event).map_or(TW_EVENT_UNKNOWN, |e| e.event.number().into())
    })
}

/// Its name on the wire, for example "response.output_text.delta"; the current name also when the
/// server uses an older one. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_name(event: *const tw_event) -> tw_str {
    guard::value("tw_event_name", tw_str::EMPTY, || {
        part(event, |e| (&e.name, Some(e.event.name())))
    })
}

/// The text it carries: a delta, a whole text or transcript, the arguments of a call, the message of
/// an error. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_text(event: *const tw_event) -> tw_str {
    guard::value("tw_event_text", tw_str::EMPTY, || {
        part(event, |e| (&e.text, e.event.text()))
    })
}

/// The audio it carries, decoded: whole samples in the output format of the session, little-endian
/// and aligned for 16-bit samples where the format is PCM16. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_audio(event: *const tw_event) -> tw_bytes {
    guard::value("tw_event_audio", tw_bytes::EMPTY, || {
        handle::peek(event).map_or(tw_bytes::EMPTY, tw_event::audio)
    })
}

/// How long its audio lasts, in milliseconds.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_audio_ms(event: *const tw_event) -> u64 {
    guard::value("tw_event_audio_ms", 0, || {
        handle::peek(event).map_or(0, |e| e.event.audio_ms())
    })
}

/// The event as one line of JSON in the current names of the protocol. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_json(event: *const tw_event) -> tw_str {
    guard::value("tw_event_json", tw_str::EMPTY, || {
        let Some(e) = handle::peek(event) else {
            return tw_str::EMPTY;
        };
        e.json.get(|| Some(e.event.json()))
    })
}

/// The frame as the server sent it; empty for an event of this library and for deltas that were
/// joined because nobody read them. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_raw(event: *const tw_event) -> tw_str {
    guard::value("tw_event_raw", tw_str::EMPTY, || {
        part(event, |e| (&e.raw, e.event.raw()))
    })
}

/// The item it is about. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_item_id(event: *const tw_event) -> tw_str {
    guard::value("tw_event_item_id", tw_str::EMPTY, || {
        part(event, |e| (&e.item_id, e.event.item_id()))
    })
}

/// The response it belongs to. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_response_id(event: *const tw_event) -> tw_str {
    guard::value("tw_event_response_id", tw_str::EMPTY, || {
        part(event, |e| (&e.response_id, e.event.response_id()))
    })
}

/// The function call it is about, for tw_session_answer_call(). Set in
/// TW_EVENT_RESPONSE_FUNCTION_CALL_ARGUMENTS_DELTA and _DONE, and in
/// TW_EVENT_RESPONSE_OUTPUT_ITEM_ADDED and _DONE of a call. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_call_id(event: *const tw_event) -> tw_str {
    guard::value("tw_event_call_id", tw_str::EMPTY, || {
        part(event, |e| (&e.call_id, e.call().0))
    })
}

/// The name of the function to be called. Not every server sends it with the arguments; the event
/// TW_EVENT_RESPONSE_OUTPUT_ITEM_ADDED of the call always has it. Belongs to the event.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_call_name(event: *const tw_event) -> tw_str {
    guard::value("tw_event_call_name", tw_str::EMPTY, || {
        part(event, |e| (&e.call_name, e.call().1))
    })
}

/// The error that it reports: of TW_EVENT_ERROR and TW_EVENT_PROTOCOL_FAULT, else NULL. Belongs to
/// the event: do not free it.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_error(event: *const tw_event) -> *const tw_error {
    guard::value("tw_event_error", std::ptr::null(), || {
        let error = handle::peek(event).and_then(tw_event::error);
        error.map_or(std::ptr::null(), |e| e)
    })
}

/// When it arrived: milliseconds since the session was opened.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_at_ms(event: *const tw_event) -> u64 {
    guard::value("tw_event_at_ms", 0, || {
        handle::peek(event).map_or(0, |e| e.event.at_ms())
    })
}

/// The TW_EVENT_* of a name on the wire; TW_EVENT_UNKNOWN if this library has none.
///
/// @param name  for example "response.done"
/// @param len   its bytes, or TW_NTS
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_type_named(name: *const c_char, len: usize) -> i32 {
    guard::value(
        "tw_event_type_named",
        TW_EVENT_UNKNOWN,
        || match crate::text::input(name, len, "name") {
            Ok(name) => match local::ALL.iter().find(|(own, _)| *own == name) {
                Some((_, number)) => i32::from(*number),
                None => talkwire_core::wire::EventType::from_name(name)
                    .number()
                    .into(),
            },
            Err(_) => TW_EVENT_UNKNOWN,
        },
    )
}

/// Keeps an event beyond its callback; returns it. Needs one tw_event_free() more.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_retain(event: *const tw_event) -> *mut tw_event {
    guard::value("tw_event_retain", std::ptr::null_mut(), || {
        handle::retain(event)
    })
}

/// Gives an event back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_event_free(event: *mut tw_event) {
    guard::release("tw_event_free", || drop(handle::take(event)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use talkwire_core::event::Origin;
    use talkwire_core::wire::server::AudioDelta;

    #[test]
    fn the_numbers_of_our_own_events_are_those_of_the_core() {
        let ours = [
            TW_EVENT_AUDIO_GAP,
            TW_EVENT_PROTOCOL_FAULT,
            TW_EVENT_BARGE_IN_HELD,
            TW_EVENT_BARGE_IN_RESUMED,
            TW_EVENT_BARGE_IN_CONFIRMED,
            TW_EVENT_PLAYOUT_CUT,
            TW_EVENT_TURN_TIMELINE,
            TW_EVENT_TOOL_CALL,
            TW_EVENT_TOOL_OVERDUE,
            TW_EVENT_TOOL_CANCELLED,
            TW_EVENT_CONTEXT_WARNING,
            TW_EVENT_WATCH_SILENCE,
            TW_EVENT_SESSION_ROLLED,
            TW_EVENT_SESSION_LOST,
            TW_EVENT_SESSION_RECOVERED,
            TW_EVENT_WIRE_FRAME,
            TW_EVENT_LINK_ROUND_TRIP,
            TW_EVENT_UPLINK_GAP,
        ];
        let core = local::ALL.iter().map(|(_, number)| i32::from(*number));
        assert!(core.eq(ours));
    }

    #[test]
    fn audio_is_aligned_for_samples_wherever_it_was_decoded() {
        let buffer = Bytes::from((0..=64).collect::<Vec<u8>>());
        for start in [0, 1] {
            let delta = AudioDelta {
                audio: buffer.slice(start..start + 64),
                ..AudioDelta::default()
            };
            let event = Event::wire(ServerEvent::AudioDelta(delta), Origin::default());
            let event = tw_event::new(event);
            let audio = event.audio();
            assert!((audio.ptr as usize).is_multiple_of(2));
            // Safety: the bytes belong to the event that is alive here.
            let bytes = unsafe { std::slice::from_raw_parts(audio.ptr, audio.len) };
            assert_eq!(bytes, &buffer[start..start + 64]);
        }
    }
}
