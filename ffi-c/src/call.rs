//! The media port of a session.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::slice;

use talkwire_core::call::Track;
use talkwire_core::{Call, CallOptions, Kind};

use crate::error::{TW_AGAIN, TW_OK, tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::session::tw_session;
use crate::text;

/// The customer, or both in turn where tracks are interleaved.
pub const TW_TRACK_CUSTOMER: i32 = 0;
/// The human agent, where tracks are pushed apart.
pub const TW_TRACK_AGENT: i32 = 1;

/// The media port of a session: sound in, sound out, by the clock of the host.
pub struct tw_call {
    mark: Mark,
    call: Call,
}

impl Handle for tw_call {
    const NOUN: &'static str = "tw_call";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// What went through a media port, in samples of the host where nothing else is said. Begin with
/// TW_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tw_stats {
    /// Bytes of this struct, as the caller knows it; set by TW_STATS_INIT.
    pub struct_size: usize,
    /// Taken from pushes, both tracks.
    pub pushed: u64,
    /// Pushed and dropped, because the session did not keep up.
    pub overrun: u64,
    /// Pushes of which something was dropped.
    pub overruns: u64,
    /// Given to pulls as sound.
    pub pulled: u64,
    /// Given to pulls as silence.
    pub silence: u64,
    /// How often speech ran dry in its middle.
    pub underruns: u64,
    /// Waits in the ring to be pulled.
    pub depth: u64,
    /// Waits to get into the ring, in milliseconds.
    pub queued_ms: u64,
    /// Speech of the agent that was dropped because too much of it waited, in milliseconds.
    pub play_dropped_ms: u64,
    /// Dropped because it was too old when the session opened.
    pub preroll_dropped: u64,
    /// Silence sent because nothing was pushed.
    pub inserted: u64,
    /// Loudness of the customer in dBFS, -100 for silence.
    pub customer_dbfs: f32,
    /// Loudness of the human agent in dBFS, -100 for silence.
    pub agent_dbfs: f32,
}

impl handle::Grows for tw_stats {
    const FIRST_SIZE: usize = offset_of!(Self, agent_dbfs) + size_of::<f32>();
}

/// Attaches a media port: sound goes to the server as it is pushed, and what the agent says is there
/// to be pulled. May be called right after tw_session_open(): what is pushed before the session is
/// open is kept and sent then. A session has one port at a time; events come as ever.
///
/// The options are a JSON object; what it lacks has a value that suits a telephone call:
/// `uplink` and `downlink` (format of pushes and pulls, `{"type":"audio/pcm","rate":24000}`;
/// `audio/pcma` and `audio/pcmu` are A-law and mu-law, of 8000 Hz or the `rate`), `tracks` (`mono`, `stereo` interleaved, or
/// `two` pushed apart), `send` (`customer`, `agent` or `mix`), `prebuffer_ms` 80, `rebuffer_ms` 60,
/// `ring_ms` 250, `preroll_ms` 5000, `silence_after_ms` 60 and `silence_max_ms` 3000 (silence is sent
/// by the clock when pushes stop), `queue_max_ms` 600000, `latency_ms` 0, `confirm` false,
/// `hold_db` 18 (null: paused), `fade_ms` 5 (of what is cut or held), `comfort_noise_dbfs` null (-70
/// to -30: noise instead of silence), `echo_gate` null (`{"erl_db":12,"tail_ms":200,"mute":true}`:
/// what is weaker than the agent by so much is its echo, no interruption, and muted), `tick_ms` 20, `idle_tick_ms` 100.
///
/// @param session  the session
/// @param options  JSON object, or NULL
/// @param len      its bytes, or TW_NTS
/// @param call     receives the port; give it back with tw_call_detach()
/// @param err      receives the error, may be NULL
/// @return TW_OK, TW_ERR_CONFIG (options that make no sense), TW_ERR_ARGUMENT (also when there is a
///         port already), TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_attach(
    session: *mut tw_session,
    options: *const c_char,
    len: usize,
    call: *mut *mut tw_call,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_call_attach", err, || {
        let session = handle::borrow(session)?.live()?;
        let options = match text::optional(options, len, "options")? {
            None => CallOptions::default(),
            Some(json) => CallOptions::from_json(json)?,
        };
        handle::put(call, "call", || {
            Ok(handle::give(tw_call {
                mark: Mark::default(),
                call: session.attach(options)?,
            }))
        })
    })
}

/// Gives sound to the session. What does not fit, because the session did not keep up, is dropped
/// and counted. For real-time threads.
///
/// @param call   the port
/// @param track  TW_TRACK_CUSTOMER, or TW_TRACK_AGENT where tracks are pushed apart
/// @param data   whole samples in the format of the uplink, any number of them
/// @param len    bytes
/// @param taken  receives the samples taken, may be NULL
/// @return TW_OK, TW_ERR_CLOSED (the session is over), TW_ERR_BUSY (another thread is in a push of
///         this track), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: one thread per track at a time. In a callback: yes. Blocks: no, P18.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_push(
    call: *mut tw_call,
    track: i32,
    data: *const c_void,
    len: usize,
    taken: *mut usize,
) -> tw_status {
    guard::bare("tw_call_push", || {
        let call = live(call)?;
        let track = match track {
            TW_TRACK_CUSTOMER => Track::Customer,
            TW_TRACK_AGENT => Track::Agent,
            _ => return Err(Kind::Argument),
        };
        if len > 0 && (data.is_null() || len > isize::MAX as usize) {
            return Err(Kind::Argument);
        }
        let bytes = match len {
            0 => &[][..],
            // Safety: not NULL, and by contract there are `len` bytes.
            _ => unsafe { slice::from_raw_parts(data.cast::<u8>(), len) },
        };
        tell(taken, call.push(track, bytes)?);
        Ok(TW_OK)
    })
}

/// Fills a buffer with what the agent says; what is not sound, at its end, is silence or comfort
/// noise. For real-time threads. After the end of the session what was received still comes, if it is
/// pulled and the end was not asked for; else what is in the ring.
///
/// @param call  the port
/// @param out   room for whole samples in the format of the downlink, any number of them
/// @param len   its bytes
/// @param real  receives the samples that are sound, may be NULL
/// @return TW_OK, TW_ERR_CLOSED (the session is over and all was pulled), TW_ERR_BUSY (another thread
///         is in a pull), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: one thread at a time, pushes beside it. In a callback: yes. Blocks: no, P18.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_pull(
    call: *mut tw_call,
    out: *mut c_void,
    len: usize,
    real: *mut usize,
) -> tw_status {
    guard::bare_or(
        "tw_call_pull",
        || {
            tell(real, live(call)?.pull(room(out, len)?)?);
            Ok(TW_OK)
        },
        || hush(call, out, len, real),
    )
}

/// What a pull promises where it fails, also in a forked child.
fn hush(call: *const tw_call, out: *mut c_void, len: usize, real: *mut usize) {
    tell(real, 0);
    if let Ok(out) = room(out, len) {
        out.fill(handle::peek(call).map_or(0, |handle| handle.call.silence()));
    }
}

fn room<'a>(out: *mut c_void, len: usize) -> Result<&'a mut [u8], Kind> {
    if len > 0 && (out.is_null() || len > isize::MAX as usize) {
        return Err(Kind::Argument);
    }
    Ok(match len {
        0 => &mut [],
        // Safety: not NULL, and by contract there is room for `len` bytes, which a pull writes
        // before it reads them.
        _ => unsafe { slice::from_raw_parts_mut(out.cast::<u8>(), len) },
    })
}

/// What was heard last, at most `tick_ms` ago.
///
/// @param call  the port
/// @param part  receives the number of the part, counted from 1 in the order in which parts of the
///              agent's items begin to sound; may be NULL
/// @param ms    receives the milliseconds of it; may be NULL
/// @return TW_OK, TW_AGAIN (nothing was heard yet), TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_position(
    call: *const tw_call,
    part: *mut u64,
    ms: *mut u64,
) -> tw_status {
    guard::bare("tw_call_position", || {
        let Some(position) = live(call)?.position() else {
            return Ok(TW_AGAIN);
        };
        tell(part, position.part);
        tell(ms, position.ms);
        Ok(TW_OK)
    })
}

/// Tells how many of all samples that were pulled as sound have arrived at the listener: for a host
/// that queues what it pulls and knows by marks how far it is. With the option `confirm` this, and not
/// the pull, is what counts as heard. For real-time threads.
///
/// @param call     the port
/// @param samples  in all, since the port was attached; fewer than before change nothing
/// @return TW_OK, TW_ERR_ARGUMENT (also without the option), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no, P18.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_played(call: *mut tw_call, samples: u64) -> tw_status {
    guard::bare("tw_call_played", || {
        live(call)?.played(samples)?;
        Ok(TW_OK)
    })
}

/// Tells how long a pulled sample takes to the listener's ear, from now on.
///
/// @param call  the port
/// @param ms    milliseconds
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_set_latency_ms(call: *mut tw_call, ms: u32) -> tw_status {
    guard::bare("tw_call_set_latency_ms", || {
        let call = live(call)?;
        call.set_latency_ms(ms);
        Ok(TW_OK)
    })
}

/// Wishes that what waits to be heard is dropped; it happens within `tick_ms`.
///
/// @param call  the port
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_flush(call: *mut tw_call) -> tw_status {
    guard::bare("tw_call_flush", || {
        let call = live(call)?;
        call.flush();
        Ok(TW_OK)
    })
}

/// The numbers so far.
///
/// @param call   the port
/// @param stats  begun with TW_STATS_INIT; receives the numbers
/// @return TW_OK, TW_ERR_ARGUMENT (also for a struct without its size), TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_stats(call: *const tw_call, stats: *mut tw_stats) -> tw_status {
    guard::bare("tw_call_stats", || {
        let now = live(call)?.stats();
        let told = |struct_size| tw_stats {
            struct_size,
            pushed: now.pushed,
            overrun: now.overrun,
            overruns: now.overruns,
            pulled: now.pulled,
            silence: now.silence,
            underruns: now.underruns,
            depth: now.depth,
            queued_ms: now.queued_ms,
            play_dropped_ms: now.play_dropped_ms,
            preroll_dropped: now.preroll_dropped,
            inserted: now.inserted,
            customer_dbfs: now.customer_dbfs,
            agent_dbfs: now.agent_dbfs,
        };
        handle::fill(stats, "stats", told).map_err(|error| error.kind())?;
        Ok(TW_OK)
    })
}

/// Lets go of the session and gives the port back; what was pushed is still sent. NULL is allowed. No
/// other call with this port may run or follow. It may outlive its session.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_call_detach(call: *mut tw_call) {
    guard::release("tw_call_detach", || {
        if let Some(call) = handle::take(call) {
            call.call.detach();
        }
    });
}

fn live<'a>(call: *const tw_call) -> Result<&'a Call, Kind> {
    let handle = handle::peek(call).ok_or(Kind::Argument)?;
    Ok(&handle.call)
}

/// Writes a result that nobody need want.
fn tell<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // Safety: not NULL, and by contract it points to room for a `T`.
        unsafe { out.write(value) };
    }
}
