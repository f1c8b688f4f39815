//! The conversation of a session, and written down.

use std::ffi::c_char;
use std::mem::offset_of;
use std::sync::Arc;

use talkwire_core::engine::history::{Role, Segment};
use talkwire_core::transcript::{self, Form};
use talkwire_core::{Error, Kind};

use crate::error::{tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::session::tw_session;
use crate::text::{self, Text, tw_str};

/// The caller.
pub const TW_ROLE_CUSTOMER: i32 = 1;
/// The model.
pub const TW_ROLE_AGENT: i32 = 2;
/// Instructions among the items.
pub const TW_ROLE_SYSTEM: i32 = 3;

/// A conversation as it was when it was taken.
pub struct tw_transcript {
    mark: Mark,
    form: Form,
    segments: Vec<Line>,
    text: Text,
}

/// An utterance, with its texts as C reads them.
struct Line {
    segment: Arc<Segment>,
    text: Text,
    heard: Text,
    item_id: Text,
}

/// One utterance of a transcript, which its texts belong to. Begin with TW_SEGMENT_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tw_segment {
    /// Bytes of this struct, as the caller knows it; set by TW_SEGMENT_INIT.
    pub struct_size: usize,
    /// Who said it, TW_ROLE_*.
    pub role: i32,
    /// Whether the words will not change.
    pub is_final: bool,
    /// The words, as far as they are known.
    pub text: tw_str,
    /// The words that were heard: all of them, or of an answer that was cut about those of the part of
    /// its sound that was.
    pub heard: tw_str,
    /// The item it belongs to.
    pub item_id: tw_str,
    /// Start in milliseconds, of session audio for speech, of the session for the rest; -1 unknown.
    pub start_ms: i64,
    /// End, likewise.
    pub end_ms: i64,
    /// Of an answer that was cut, how much of its sound was heard; -1 for all else.
    pub heard_ms: i64,
    /// Of an answer that was cut, how much of its sound had been received; -1 for all else.
    pub received_ms: i64,
}

impl handle::Grows for tw_segment {
    const FIRST_SIZE: usize = offset_of!(Self, received_ms) + size_of::<i64>();
}

impl Handle for tw_transcript {
    const NOUN: &'static str = "tw_transcript";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl Line {
    fn new(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            text: Text::default(),
            heard: Text::default(),
            item_id: Text::default(),
        }
    }

    fn told(&self, struct_size: usize) -> tw_segment {
        let segment = &*self.segment;
        let role = match segment.role {
            Role::Customer => TW_ROLE_CUSTOMER,
            Role::Agent => TW_ROLE_AGENT,
            _ => TW_ROLE_SYSTEM,
        };
        let ms = |ms: Option<u64>| ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
        tw_segment {
            struct_size,
            role,
            is_final: segment.is_final,
            text: self.text.get(|| Some(segment.text.as_str().into())),
            heard: self.heard.get(|| Some(segment.heard())),
            item_id: self.item_id.get(|| Some(segment.item_id.as_str().into())),
            start_ms: ms(segment.start_ms),
            end_ms: ms(segment.end_ms),
            heard_ms: ms(segment.cut.map(|cut| cut.heard_ms)),
            received_ms: ms(segment.cut.map(|cut| cut.received_ms)),
        }
    }
}

/// Takes the conversation so far, at least as new as the last event that was read: for
/// tw_transcript_segment(), and written down as JSON (`segments` with `role`, `text`, `start_ms`,
/// `end_ms`, `item_id`, `is_final`, and of an answer that was cut `heard`, `heard_ms`, `received_ms`),
/// or for players as WebVTT or SubRip. Also after the end of the session.
///
/// @param session     the session
/// @param form        "json", "vtt" or "srt"
/// @param len         its bytes, or TW_NTS
/// @param transcript  receives the transcript; give it back with tw_transcript_free()
/// @param err         receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_write(
    session: *const tw_session,
    form: *const c_char,
    len: usize,
    transcript: *mut *mut tw_transcript,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_transcript_write", err, || {
        let session = handle::borrow(session)?.any();
        let form = Form::named(text::input(form, len, "form")?)?;
        handle::put(transcript, "transcript", || {
            Ok(handle::give(tw_transcript {
                mark: Mark::default(),
                form,
                segments: session.history().into_iter().map(Line::new).collect(),
                text: Text::default(),
            }))
        })
    })
}

/// The text; it belongs to the transcript. Empty for NULL.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_text(transcript: *const tw_transcript) -> tw_str {
    guard::value("tw_transcript_text", tw_str::EMPTY, || {
        handle::peek(transcript).map_or(tw_str::EMPTY, |handle| {
            handle.text.get(|| {
                let segments: Vec<_> = handle.segments.iter().map(|l| l.segment.clone()).collect();
                Some(transcript::text(&segments, handle.form).into())
            })
        })
    })
}

/// How many utterances a transcript has. 0 for NULL.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_count(transcript: *const tw_transcript) -> usize {
    guard::value("tw_transcript_count", 0, || {
        handle::peek(transcript).map_or(0, |handle| handle.segments.len())
    })
}

/// One utterance, in the order of the conversation.
///
/// @param transcript  the transcript
/// @param index       its place, from 0
/// @param segment     a struct that began with TW_SEGMENT_INIT; receives the utterance
/// @param err         receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT (no such place, or a struct without its size), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_segment(
    transcript: *const tw_transcript,
    index: usize,
    segment: *mut tw_segment,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_transcript_segment", err, || {
        let transcript = handle::borrow(transcript)?;
        let line = transcript.segments.get(index);
        let none = || Error::new(Kind::Argument, format!("there is no segment {index}"));
        let line = line.ok_or_else(none)?;
        handle::fill(segment, "segment", |struct_size| line.told(struct_size))
    })
}

/// Gives the transcript back. NULL is allowed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_transcript_free(transcript: *mut tw_transcript) {
    guard::release("tw_transcript_free", || drop(handle::take(transcript)));
}
