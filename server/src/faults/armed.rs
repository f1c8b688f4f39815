//! Faults that wait for their moment, and what they make of it.

use std::time::{Duration, Instant};

use talkwire_core::wire::audio;
use talkwire_core::wire::envelope::Envelope;

use super::{Action, DelayBy, ErrorWith, Fault};
use crate::io::PeerEffect;

/// A moment that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment<'a> {
    Sent(&'a str),
    Received(&'a str),
    Connect,
}

/// What faults make of a moment, in place of what would have happened.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Comes first.
    pub(crate) before: Vec<PeerEffect>,
    /// The event, if there was one and it is still to be sent.
    pub(crate) event: Option<String>,
    /// Comes after the event.
    pub(crate) after: Vec<PeerEffect>,
    /// Errors that come after that.
    pub(crate) errors: Vec<ErrorWith>,
    /// How the connection ends.
    pub(crate) end: Option<PeerEffect>,
    /// The event that arrived is not to be handled.
    pub(crate) is_refused: bool,
    /// A quota is used up.
    pub(crate) is_limited: bool,
    /// The session is to expire.
    pub(crate) expires: bool,
}

/// Bytes of the frame that [`Action::Oversized`] sends.
const OVERSIZED_BYTES: usize = 20 << 20;

/// The faults of one peer, or of the door, with their counters.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    began: Instant,
    pub(super) dice: Dice,
}

#[derive(Clone, Debug)]
struct Armed {
    fault: Fault,
    seen: u32,
    is_spent: bool,
}

/// A reproducible source of chance (splitmix64).
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn happens(&mut self, probability: f64) -> bool {
        // 53 bits fill the numbers between 0 and 1 evenly.
        probability >= 1.0 || (self.roll() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }

    pub(super) fn at_most(&mut self, most: u64) -> u64 {
        self.roll() % most.saturating_add(1).max(1)
    }
}

impl Armed {
    /// Counts a moment of this fault and says whether it acts.
    fn acts(&mut self, dice: &mut Dice) -> bool {
        self.seen = self.seen.saturating_add(1);
        let is_due = !self.is_spent && self.seen >= self.fault.when.count;
        // A die that is always rolled keeps later rolls the same.
        let acts = dice.happens(self.fault.when.probability) && is_due;
        self.is_spent |= acts && !self.fault.every;
        acts
    }

    /// When the clock alone makes its next moment.
    fn wakes_at(&self, began: Instant) -> Option<Instant> {
        if self.is_spent || !self.fault.when.is_time() {
            return None;
        }
        let ms = self.fault.when.after_ms?;
        let ms = ms.saturating_mul(u64::from(self.seen) + 1);
        began.checked_add(Duration::from_millis(ms))
    }
}

impl Faults {
    /// The faults of a session that begins at `began`.
    pub(crate) fn new(faults: &[Fault], seed: u64, began: Instant) -> Self {
        let armed = faults.iter().cloned().map(Armed::new);
        Self {
            armed: armed.collect(),
            began,
            dice: Dice(seed),
        }
    }

    /// When the session began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Adds one.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.armed.push(Armed::new(fault));
    }

    /// When [`time`](Self::time) is to be called.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let times = self.armed.iter().filter_map(|a| a.wakes_at(self.began));
        times.min()
    }

    /// What the faults whose time has come make of it.
    pub(crate) fn time(&mut self, now: Instant) -> Option<Verdict> {
        let mut verdict = None;
        for armed in &mut self.armed {
            let is_due = armed.wakes_at(self.began).is_some_and(|at| at <= now);
            if is_due && armed.acts(&mut self.dice) {
                let verdict = verdict.get_or_insert_with(Verdict::default);
                verdict.apply(&armed.fault.action, None, &mut self.dice);
            }
        }
        verdict
    }

    /// Counts the moment and returns what the faults that are due make of it.
    pub(crate) fn at(
        &mut self,
        now: Instant,
        moment: Moment<'_>,
        frame: Option<&str>,
    ) -> Option<Verdict> {
        let mut verdict: Option<Verdict> = None;
        for action in self.due(now, moment) {
            let verdict = verdict.get_or_insert_with(|| Verdict {
                event: frame.map(str::to_owned),
                ..Verdict::default()
            });
            verdict.apply(&action, frame, &mut self.dice);
        }
        verdict
    }

    pub(super) fn due(&mut self, now: Instant, moment: Moment<'_>) -> Vec<Action> {
        let passed = now.saturating_duration_since(self.began);
        let mut due = Vec::new();
        for armed in &mut self.armed {
            let when = &armed.fault.when;
            let from = Duration::from_millis(when.after_ms.unwrap_or(0));
            if when.is(moment) && passed >= from && armed.acts(&mut self.dice) {
                due.push(armed.fault.action.clone());
            }
        }
        due
    }
}

impl Armed {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            seen: 0,
            is_spent: false,
        }
    }
}

impl Verdict {
    fn apply(&mut self, action: &Action, frame: Option<&str>, dice: &mut Dice) {
        let text = |text: &str| PeerEffect::Send(text.to_owned());
        match action {
            Action::Delay(DelayBy::Ms(ms)) => self.before.push(hold(*ms)),
            Action::Delay(DelayBy::Full { ms, jitter_ms }) => {
                let ms = ms.saturating_add(dice.at_most(*jitter_ms));
                self.before.push(hold(ms));
            }
            Action::Jitter(most) => self.before.push(hold(dice.at_most(*most))),
            Action::SlowRead(ms) => {
                let wait = Duration::from_millis(*ms);
                self.before.push(PeerEffect::SlowRead(wait));
            }
            Action::Error(with) => {
                self.errors.push(with.clone());
                self.is_refused = true;
            }
            Action::RateLimit => self.is_limited = true,
            Action::Expire => self.expires = true,
            Action::Omit => {
                self.event = None;
                self.is_refused = true;
            }
            Action::BadBase64 => self.event = self.event.take().map(|f| bad_base64(&f)),
            Action::OddBytes => self.event = self.event.take().map(|f| odd_bytes(&f)),
            Action::Duplicate => self.after.extend(frame.map(text)),
            Action::Malformed => self.after.push(text(MALFORMED)),
            Action::UnknownEvent => self.after.push(text(UNKNOWN_EVENT)),
            Action::Binary => self.after.push(PeerEffect::SendBinary(vec![0, 1, 2, 3])),
            Action::Oversized => self.after.push(PeerEffect::Send(oversized())),
            Action::Send(raw) => self.after.push(text(raw)),
            Action::Raw(frames) => self.after.extend(frames.iter().map(|raw| text(raw))),
            Action::Close(with) => {
                self.end.get_or_insert(PeerEffect::Close {
                    code: with.code(),
                    reason: with.reason().to_owned(),
                });
            }
            Action::Drop | Action::Http(_) => drop(self.end.get_or_insert(PeerEffect::Drop)),
            Action::Hang => drop(self.end.get_or_insert(PeerEffect::Hang)),
        }
    }
}

const MALFORMED: &str = r#"{"type":"response.output_text.delta","delta":"#;
const UNKNOWN_EVENT: &str =
    r#"{"type":"response.reasoning.delta","event_id":"event_of_tomorrow","delta":"hm"}"#;

fn hold(ms: u64) -> PeerEffect {
    PeerEffect::Hold(Duration::from_millis(ms))
}

fn oversized() -> String {
    let mut frame = String::with_capacity(OVERSIZED_BYTES);
    frame.push_str(r#"{"type":"response.output_audio.delta","delta":""#);
    let fill = OVERSIZED_BYTES - frame.len() - 2;
    frame.extend(std::iter::repeat_n('A', fill));
    frame.push_str("\"}");
    frame
}

fn bad_base64(frame: &str) -> String {
    frame.replacen("\"delta\":\"", "\"delta\":\"#", 1)
}

fn odd_bytes(frame: &str) -> String {
    let cut = || {
        let envelope = Envelope::parse(frame).ok()?;
        let bytes = audio::decode(envelope.delta()).ok()?;
        let odd = bytes.len().checked_sub(1)?;
        Some(frame.replacen(envelope.delta(), &audio::encode(&bytes[..odd]), 1))
    };
    cut().unwrap_or_else(|| frame.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::When;
    use super::*;

    const DELTA: &str =
        r#"{"type":"response.output_audio.delta","event_id":"event_1","delta":"AAEAAQ=="}"#;

    struct World(Faults, Instant);

    impl World {
        fn new(faults: &[Fault], seed: u64) -> Self {
            let now = Instant::now();
            Self(Faults::new(faults, seed, now), now)
        }

        fn sent(&mut self, ms: u64, name: &str) -> Option<Verdict> {
            let at = self.1 + Duration::from_millis(ms);
            self.0.at(at, Moment::Sent(name), Some(DELTA))
        }

        fn time(&mut self, ms: u64) -> bool {
            self.0.time(self.1 + Duration::from_millis(ms)).is_some()
        }
    }

    fn sent(name: &str) -> When {
        When::sent(name)
    }

    fn verdict(action: Action) -> Verdict {
        let mut world = World::new(&[Fault::new(sent("x"), action)], 1);
        world.sent(0, "x").expect("due")
    }

    #[test]
    fn a_fault_acts_once_at_its_count_or_each_time_from_it() {
        let mut world = World::new(&[Fault::new(sent("a").count(2), Action::Drop)], 1);
        let acts = ["a", "b", "a", "a"].map(|name| world.sent(0, name).is_some());
        assert_eq!(acts, [false, false, true, false]);
        assert!(world.0.at(world.1, Moment::Received("a"), None).is_none());
        let again = Fault::new(sent("a").count(2), Action::Drop).every();
        let mut world = World::new(&[again], 1);
        let acts = ["a", "a", "a"].map(|name| world.sent(0, name).is_some());
        assert_eq!(acts, [false, true, true]);
    }

    #[test]
    fn a_time_is_a_moment_of_its_own_and_a_bound_beside_another() {
        let mut world = World::new(&[Fault::new(sent("a").after_ms(50), Action::Drop)], 1);
        let acts = [49, 50, 51].map(|ms| world.sent(ms, "a").is_some());
        assert_eq!(acts, [false, true, false]);
        assert_eq!(world.0.wake(), None);
        let once = Fault::new(When::time_ms(30), Action::Drop);
        let again = Fault::new(When::time_ms(20).count(2), Action::Drop).every();
        let mut world = World::new(&[once], 1);
        assert_eq!(world.0.wake(), Some(world.1 + Duration::from_millis(30)));
        let acts = [0, 30, 31].map(|ms| world.time(ms));
        assert_eq!((acts, world.0.wake()), ([false, true, false], None));
        let mut world = World::new(&[again], 1);
        let acts = [20, 39, 40, 60].map(|ms| world.time(ms));
        assert_eq!(acts, [false, false, true, true]);
    }

    #[test]
    fn chance_is_that_of_the_seed() {
        let fault = Fault::new(sent("a").probability(0.25), Action::Drop).every();
        let acts = |seed| {
            let mut world = World::new(std::slice::from_ref(&fault), seed);
            (0..400)
                .map(|_| world.sent(0, "a").is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(acts(7), acts(7));
        assert_ne!(acts(7), acts(8));
        let count = acts(7).into_iter().filter(|acts| *acts).count();
        assert!((60..140).contains(&count), "{count} of 400");
        let rare = Fault::new(sent("a").probability(0.25), Action::Drop);
        let mut world = World::new(&[rare], 7);
        assert_eq!((0..400).filter(|_| world.sent(0, "a").is_some()).count(), 1);
    }

    #[test]
    fn several_faults_of_one_moment_act_together() {
        let faults = [
            Action::Delay(DelayBy::Ms(5)),
            Action::Duplicate,
            Action::Expire,
        ]
        .map(|action| Fault::new(sent("x"), action));
        let verdict = World::new(&faults, 1).sent(0, "x").expect("due");
        assert_eq!(verdict.before, [hold(5)]);
        assert_eq!(verdict.after, [PeerEffect::Send(DELTA.to_owned())]);
        assert!(verdict.expires && verdict.event.as_deref() == Some(DELTA));
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_differs() {
        let held = |action: Action| {
            let fault = Fault::new(sent("x"), action).every();
            let mut world = World::new(&[fault], 3);
            let held = (0..100).map(|_| match world.sent(0, "x").expect("due").before[..] {
                [PeerEffect::Hold(time)] => time.as_millis(),
                ref other => panic!("{other:?}"),
            });
            held.collect::<Vec<_>>()
        };
        for (action, bounds) in [
            (Action::Jitter(30), 0..=30),
            (
                Action::Delay(DelayBy::Full {
                    ms: 100,
                    jitter_ms: 9,
                }),
                100..=109,
            ),
        ] {
            let held = held(action);
            assert!(held.iter().all(|ms| bounds.contains(ms)), "{held:?}");
            assert!(held.iter().any(|ms| *ms != held[0]), "{held:?}");
        }
        assert_eq!(verdict(Action::Jitter(0)).before, [hold(0)]);
    }

    #[test]
    fn audio_is_spoiled_in_place() {
        let bad = verdict(Action::BadBase64).event.expect("sent");
        assert!(audio::decode(Envelope::parse(&bad).expect("json").delta()).is_err());
        let odd = verdict(Action::OddBytes).event.expect("sent");
        let bytes = audio::decode(Envelope::parse(&odd).expect("json").delta()).expect("base64");
        assert_eq!(bytes.len(), 3);
        assert_eq!(verdict(Action::Omit).event, None);
    }

    #[test]
    fn the_oversized_frame_is_twenty_mebibytes() {
        assert_eq!(oversized().len(), 20 << 20);
    }
}
