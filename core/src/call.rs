//! The media port of a session as an application holds it: sound in, sound out, in step with the
//! host's own clock.
//!
//! ```no_run
//! use talkwire_core::audio::format::Format;
//! use talkwire_core::{CallOptions, Client, Options};
//!
//! # fn talk(mut line: impl FnMut(&[u8]) -> [u8; 160]) -> talkwire_core::Result<()> {
//! let session = Client::new().open(Options::default())?;
//! let call = session.attach(CallOptions::default().with_format(Format::Alaw))?;
//! let mut heard = [0xD5; 160];
//! loop {
//!     // What the line says while it plays what was heard: 20 ms, by the clock of the line.
//!     let said = line(&heard);
//!     call.push(talkwire_core::call::Track::Customer, &said)?;
//!     call.pull(&mut heard)?;
//! }
//! # }
//! ```

use std::sync::Arc;

use crate::audio::format::Format;
use crate::audio::port::Media;
pub use crate::audio::port::{
    EchoGate, Options as CallOptions, Position, Sent, Stats as CallStats, Track, Tracks,
};
use crate::error::Kind;

/// The media port of a session. Cheap to clone; when the last clone is dropped, the port is detached.
///
/// All methods may be called from any thread and from callbacks, and none blocks. Of each direction
/// (each track, when tracks are pushed apart) only one thread at a time may be inside; a second one
/// gets [`Kind::Busy`]. Push and pull are wait-free and ask the system for nothing, so that a
/// real-time thread may call them. That is why their errors are bare kinds; `?` makes them an
/// [`Error`](crate::Error).
#[derive(Clone, Debug)]
pub struct Call(Arc<Media>);

impl Call {
    pub(crate) fn new(media: Arc<Media>) -> Self {
        Self(media)
    }

    /// Gives `bytes` of a track to the session: whole samples in the format of the uplink, any
    /// number of them; with interleaved tracks those of both, as the customer. Returns the samples
    /// taken: what does not fit, because the session did not keep up, is dropped and counted.
    ///
    /// Fails with `Argument` (half a sample, no such track), `Closed` or `Busy`.
    pub fn push(&self, track: Track, bytes: &[u8]) -> Result<usize, Kind> {
        self.0.push(track, bytes)
    }

    /// Fills `out` with what the agent says: whole samples in the format of the downlink, any number
    /// of them. Returns how many are sound; the others, at its end, are silence.
    ///
    /// After the end of a session all that was received still comes, as long as it is pulled and
    /// unless the application asked for the end: then what is in the ring, a quarter of a second.
    ///
    /// Fails with `Argument` (half a sample), `Busy`, or `Closed` when the session ended and all
    /// that was left was pulled. `out` is filled with silence then.
    pub fn pull(&self, out: &mut [u8]) -> Result<usize, Kind> {
        self.0.pull(out)
    }

    /// What a pull fills a buffer with where there is no sound, byte by byte.
    pub fn silence(&self) -> u8 {
        self.0.silence()
    }

    /// [`Call::push`] of samples; fails with `Argument` where the uplink is not PCM.
    pub fn push_samples(&self, track: Track, samples: &[i16]) -> Result<usize, Kind> {
        self.0.push_samples(track, samples)
    }

    /// [`Call::pull`] into samples; fails with `Argument` where the downlink is not PCM.
    pub fn pull_samples(&self, out: &mut [i16]) -> Result<usize, Kind> {
        self.0.pull_samples(out)
    }

    /// What was heard last, as of the session's last look (`tick_ms`); `None` before the first sound.
    pub fn position(&self) -> Option<Position> {
        self.0.position()
    }

    /// The numbers so far.
    pub fn stats(&self) -> CallStats {
        self.0.stats()
    }

    /// How long a pulled sample takes to the listener's ear, in ms, from now on.
    pub fn set_latency_ms(&self, ms: u32) {
        self.0.set_latency_ms(ms);
    }

    /// Tells that of all samples pulled as sound so many have arrived at the listener: for a host that
    /// queues what it pulls, and knows by marks how far it is. Fails with `Argument` unless the
    /// options say `confirm`. Wait-free, as push and pull are.
    pub fn played(&self, samples: u64) -> Result<(), Kind> {
        self.0.played(samples)
    }

    /// Wishes that what waits to be heard is dropped; it happens within `tick_ms`.
    pub fn flush(&self) {
        self.0.flush();
    }

    /// Lets go of the session. Pushes fail from now on, pulls as soon as the ring is empty; what was
    /// pushed before is sent.
    pub fn detach(&self) {
        self.0.detach();
    }

    /// Format of what is pushed.
    pub fn uplink(&self) -> Format {
        self.0.uplink()
    }

    /// Format of what is pulled.
    pub fn downlink(&self) -> Format {
        self.0.downlink()
    }
}
