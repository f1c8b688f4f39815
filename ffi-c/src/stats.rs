//! What a session did and what it cost, in numbers.

use std::mem::offset_of;

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle;
use crate::session::tw_session;

/// What a session did so far. Times are in milliseconds; all numbers but those of what waits, of the
/// last turn and of the last ping only grow. Begin with TW_COUNTS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tw_counts {
    /// Bytes of this struct, as the caller knows it; set by TW_COUNTS_INIT.
    pub struct_size: usize,
    /// How long the session has been open, until its last step.
    pub age_ms: u64,
    /// Links that were opened.
    pub links: u64,
    /// Links that were lost.
    pub losses: u64,
    /// Changes to a new link by plan.
    pub rollovers: u64,
    /// Changes to a new link after a loss.
    pub recoveries: u64,
    /// Frames given to links to be sent.
    pub frames_sent: u64,
    /// Frames that came.
    pub frames_received: u64,
    /// Audio given to links to be sent.
    pub audio_sent_ms: u64,
    /// Captured audio that was dropped because it could not be sent, as TW_EVENT_UPLINK_GAP told.
    pub audio_dropped_ms: u64,
    /// Audio of answers that came.
    pub audio_received_ms: u64,
    /// Interruptions by the customer.
    pub barge_ins: u64,
    /// Calls of registered tools.
    pub tool_calls: u64,
    /// Errors that the server told.
    pub server_errors: u64,
    /// Broken frames, and commands that failed with nobody waiting for them.
    pub faults: u64,
    /// Turns whose answer was heard; the three below are about these.
    pub answers: u64,
    /// From the customer's last word, or what is known of it, to the first sound of the answer: of the
    /// last turn.
    pub answer_ms: u64,
    /// Of the slowest turn.
    pub answer_max_ms: u64,
    /// Of all turns together.
    pub answer_sum_ms: u64,
    /// Pings that were answered.
    pub round_trips: u64,
    /// How long the last one took there and back.
    pub round_trip_ms: u64,
    /// Events that wait to be read by the session's own reader.
    pub unread_events: u64,
    /// Bytes that they hold in memory, roughly.
    pub unread_bytes: u64,
    /// Audio that was dropped because it was not read.
    pub unread_dropped_ms: u64,
    /// Commands that wait to be looked at.
    pub waiting_commands: u64,
}

impl handle::Grows for tw_counts {
    const FIRST_SIZE: usize = offset_of!(Self, waiting_commands) + size_of::<u64>();
}

/// Tokens of a session so far, cancelled responses included. Begin with TW_USAGE_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tw_usage {
    /// Bytes of this struct, as the caller knows it; set by TW_USAGE_INIT.
    pub struct_size: usize,
    /// Responses counted.
    pub responses: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Text tokens read.
    pub input_text_tokens: u64,
    /// Audio tokens read.
    pub input_audio_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Text tokens written.
    pub output_text_tokens: u64,
    /// Audio tokens written.
    pub output_audio_tokens: u64,
    /// Tokens of the conversation after the last response.
    pub context_tokens: u64,
    /// Tokens that the model can hold; 0 where the dialect does not say.
    pub context_limit_tokens: u64,
}

impl handle::Grows for tw_usage {
    const FIRST_SIZE: usize = offset_of!(Self, context_limit_tokens) + size_of::<u64>();
}

/// What a session did so far. Also after its end.
///
/// @param session  the session
/// @param counts   a struct that began with TW_COUNTS_INIT; receives the numbers
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_stats(
    session: *const tw_session,
    counts: *mut tw_counts,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_stats", err, || {
        let session = handle::borrow(session)?.any();
        handle::fill(counts, "counts", |struct_size| {
            let now = session.stats();
            tw_counts {
                struct_size,
                age_ms: now.age_ms,
                links: now.links,
                losses: now.losses,
                rollovers: now.rollovers,
                recoveries: now.recoveries,
                frames_sent: now.frames_sent,
                frames_received: now.frames_received,
                audio_sent_ms: now.audio_sent_ms,
                audio_dropped_ms: now.audio_dropped_ms,
                audio_received_ms: now.audio_received_ms,
                barge_ins: now.barge_ins,
                tool_calls: now.tool_calls,
                server_errors: now.server_errors,
                faults: now.faults,
                answers: now.answers,
                answer_ms: now.answer_ms,
                answer_max_ms: now.answer_max_ms,
                answer_sum_ms: now.answer_sum_ms,
                round_trips: now.round_trips,
                round_trip_ms: now.round_trip_ms,
                unread_events: now.unread_events,
                unread_bytes: now.unread_bytes,
                unread_dropped_ms: now.unread_dropped_ms,
                waiting_commands: now.waiting_commands,
            }
        })
    })
}

/// Tokens used so far. Also after the end of the session.
///
/// @param session  the session
/// @param usage    a struct that began with TW_USAGE_INIT; receives the numbers
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_session_usage(
    session: *const tw_session,
    usage: *mut tw_usage,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_session_usage", err, || {
        let session = handle::borrow(session)?.any();
        handle::fill(usage, "usage", |struct_size| {
            let now = session.usage();
            tw_usage {
                struct_size,
                responses: now.responses,
                input_tokens: now.input_tokens,
                output_tokens: now.output_tokens,
                input_text_tokens: now.input_text_tokens,
                input_audio_tokens: now.input_audio_tokens,
                cached_tokens: now.cached_tokens,
                output_text_tokens: now.output_text_tokens,
                output_audio_tokens: now.output_audio_tokens,
                context_tokens: now.context_tokens,
                context_limit_tokens: now.context_limit_tokens,
            }
        })
    })
}
