//! What of the captured sound may be nothing but the agent coming back from the listener's side. How
//! loud an echo can be follows from what was pulled a moment ago; what is louder is a voice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::level::{FLOOR_DBFS, rms_dbfs};

/// How an echo of the agent is told from the customer.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a JSON object")]
pub struct EchoGate {
    /// How much weaker the echo is than what was pulled, at least, in dB (echo return loss).
    pub erl_db: f32,
    /// How long it lingers after the latency of the device, in ms.
    pub tail_ms: u32,
    /// Whether the server gets silence instead of it. Else it gets it all the same, and only what its
    /// detector makes of it is no interruption.
    pub mute: bool,
}

impl Default for EchoGate {
    fn default() -> Self {
        Self {
            erl_db: 12.0,
            tail_ms: 200,
            mute: true,
        }
    }
}

/// Captured sound is judged in pieces of 20 ms: so many in a second.
const PIECES_PER_SECOND: u32 = 50;

/// What is quieter is nobody's voice.
const VOICE_DBFS: f32 = -50.0;

/// A voice goes on for so long after a piece that was loud enough: words end softly.
const HANG: Duration = Duration::from_millis(200);

/// A detector tells of speech so much later than it was captured.
const MEMORY: Duration = Duration::from_millis(600);

/// Lets the customer through and not the agent's echo.
pub(super) struct Gate {
    rules: EchoGate,
    /// When something of the agent was found to have been pulled, and how loud it was.
    pulled: VecDeque<(Instant, f32)>,
    /// When it was looked at last.
    now: Option<Instant>,
    /// An echo is quieter, if there can be one.
    limit_dbfs: Option<f32>,
    /// When a voice was captured last.
    voice: Option<Instant>,
    /// Whether it was told that there is nothing but an echo.
    told: bool,
}

impl Gate {
    pub(super) fn new(rules: EchoGate) -> Self {
        Self {
            rules,
            pulled: VecDeque::new(),
            now: None,
            limit_dbfs: None,
            voice: None,
            told: false,
        }
    }

    /// Since the last look so loud a sound was pulled, and what was captured is to be judged.
    pub(super) fn look(&mut self, now: Instant, pulled_dbfs: f32, latency: Duration) {
        let before = self.now.replace(now).unwrap_or(now);
        if pulled_dbfs > FLOOR_DBFS {
            self.pulled.push_back((now, pulled_dbfs));
        }
        // What was pulled and captured right after the last look is as old as that look.
        let tail = Duration::from_millis(u64::from(self.rules.tail_ms));
        let reach = latency + tail + now.saturating_duration_since(before);
        let is_over = |at: Instant| now.saturating_duration_since(at) > reach;
        while self.pulled.front().is_some_and(|(at, _)| is_over(*at)) {
            self.pulled.pop_front();
        }
        let loudest = self.pulled.iter().map(|(_, dbfs)| *dbfs).reduce(f32::max);
        self.limit_dbfs = loudest.map(|dbfs| dbfs - self.rules.erl_db);
    }

    /// Judges captured samples of the customer; what is an echo becomes silence, if it shall.
    pub(super) fn pass(&mut self, samples: &mut [i16], rate_hz: u32) {
        let Some(now) = self.now else { return };
        for piece in samples.chunks_mut((rate_hz / PIECES_PER_SECOND) as usize) {
            let dbfs = rms_dbfs(piece);
            let is_echo = self.limit_dbfs.is_some_and(|limit| dbfs < limit);
            if !is_echo && dbfs >= VOICE_DBFS {
                self.voice = Some(now);
            }
            if is_echo && self.rules.mute && !self.has_voice(HANG) {
                piece.fill(0);
            }
        }
    }

    fn has_voice(&self, within: Duration) -> bool {
        let since = |at| self.now.map(|now| now.saturating_duration_since(at));
        let since = self.voice.and_then(since);
        since.is_some_and(|since| since <= within)
    }

    /// Whether, if that has changed, what was captured lately is nothing but an echo.
    pub(super) fn change(&mut self) -> Option<bool> {
        let is_echo = self.limit_dbfs.is_some() && !self.has_voice(MEMORY);
        let has_changed = is_echo != self.told;
        self.told = is_echo;
        has_changed.then_some(is_echo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: u32 = 8_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A piece of 20 ms of a square wave of this level.
    fn piece(dbfs: f32) -> Vec<i16> {
        let level = (32_768.0 * 10f32.powf(dbfs / 20.0)) as i16;
        [level, -level].repeat(80)
    }

    /// Whether a piece passes.
    fn passes(gate: &mut Gate, dbfs: f32) -> bool {
        let mut samples = piece(dbfs);
        gate.pass(&mut samples, RATE_HZ);
        samples.iter().any(|sample| *sample != 0)
    }

    #[test]
    fn an_echo_is_what_is_weaker_than_what_was_pulled_by_its_loss() {
        let (mut gate, now) = (Gate::new(EchoGate::default()), Instant::now());
        gate.look(now, FLOOR_DBFS, ms(40));
        assert!(
            passes(&mut gate, -40.0),
            "nothing sounds that could come back"
        );
        let late = now + ms(1_000);
        gate.look(late, -10.0, ms(40));
        for (dbfs, expected) in [(-30.0, false), (-22.5, false), (-21.5, true), (-15.0, true)] {
            gate.voice = None;
            assert_eq!(passes(&mut gate, dbfs), expected, "{dbfs} dBFS");
        }
    }

    #[test]
    fn an_echo_lingers_for_the_latency_and_its_tail() {
        let (mut gate, now) = (Gate::new(EchoGate::default()), Instant::now());
        let mut until = 0;
        for at in (0..1_000).step_by(20) {
            let pulled = if at == 0 { -10.0 } else { FLOOR_DBFS };
            gate.look(now + ms(at), pulled, ms(40));
            if !passes(&mut gate, -30.0) {
                until = at;
            }
        }
        // 40 ms and 200 ms, and the pause between two looks.
        assert_eq!(until, 260);
    }

    #[test]
    fn the_soft_end_of_a_word_passes() {
        let (mut gate, now) = (Gate::new(EchoGate::default()), Instant::now());
        gate.look(now, -10.0, ms(0));
        assert!(passes(&mut gate, -12.0));
        gate.look(now + ms(200), -10.0, ms(0));
        assert!(passes(&mut gate, -30.0));
        gate.look(now + ms(220), -10.0, ms(0));
        assert!(!passes(&mut gate, -30.0));
    }

    #[test]
    fn a_change_is_told_once_and_a_voice_is_remembered() {
        let rules = EchoGate {
            mute: false,
            ..EchoGate::default()
        };
        let (mut gate, now) = (Gate::new(rules), Instant::now());
        assert_eq!(gate.change(), None);
        gate.look(now, -10.0, ms(0));
        assert!(passes(&mut gate, -30.0), "it is only told");
        assert_eq!((gate.change(), gate.change()), (Some(true), None));
        assert!(passes(&mut gate, -12.0));
        assert_eq!((gate.change(), gate.change()), (Some(false), None));
        gate.look(now + ms(600), -10.0, ms(0));
        assert_eq!(gate.change(), None);
        gate.look(now + ms(620), -10.0, ms(0));
        assert_eq!(gate.change(), Some(true));
        gate.look(now + ms(2_000), FLOOR_DBFS, ms(0));
        assert_eq!(gate.change(), None, "as far back as the last look");
        gate.look(now + ms(2_300), FLOOR_DBFS, ms(0));
        assert_eq!(gate.change(), Some(false), "nothing sounds any more");
    }
}
