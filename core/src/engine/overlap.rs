//! Captured audio that a new link would need: what is no turn yet, what is a turn whose words are
//! not known, and a little of the silence before.
//!
//! Places are microseconds of the call's audio, counted over all links.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::audio::format::Format;

/// One piece of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Audio(Bytes),
    /// The application asked for a commit here, by the event of this id.
    Commit(String),
}

#[derive(Debug)]
struct Kept {
    at_us: u64,
    piece: Piece,
}

/// A turn that the server has cut and whose words are not known.
#[derive(Debug)]
struct Turn {
    item_id: String,
    to_us: u64,
}

/// No link takes audio.
#[derive(Debug)]
struct Outage {
    from_us: u64,
    most_us: u64,
    dropped_us: u64,
}

/// Audio of the customer, as far as it may be needed again.
#[derive(Debug)]
pub(super) struct Overlap {
    queue: VecDeque<Kept>,
    end_us: u64,
    pushed_at: Option<Instant>,
    /// Where the audio of the link begins.
    link_us: u64,
    /// Audio that was sent again is kept until here, as the link may not have heard it yet.
    guard_us: u64,
    /// What lies before is settled.
    settled_us: u64,
    speech_us: Option<u64>,
    /// End of the last speech that is no item yet.
    stopped_us: Option<u64>,
    turns: VecDeque<Turn>,
    outage: Option<Outage>,
    /// What was captured when the server was last heard: it may not have got what came after.
    heard_us: u64,
    quiet_us: u64,
    unheard_us: u64,
    most_us: u64,
}

/// Turns come one after the other; more without words means that there are none to come.
const TURNS: usize = 16;

const MS: u64 = 1_000;

/// A server has noticed by then what it was sent.
const NOTICED_US: u64 = 2_000_000;

impl Overlap {
    /// Keeps `quiet_ms` while nobody speaks, up to `unheard_ms` of what was sent since the server was
    /// last heard, and never more than `most_ms`.
    pub(super) fn new(quiet_ms: u64, unheard_ms: u64, most_ms: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            end_us: 0,
            pushed_at: None,
            link_us: 0,
            guard_us: 0,
            settled_us: 0,
            speech_us: None,
            stopped_us: None,
            turns: VecDeque::new(),
            outage: None,
            heard_us: 0,
            quiet_us: quiet_ms.saturating_mul(MS),
            unheard_us: unheard_ms.saturating_mul(MS),
            most_us: most_ms.saturating_mul(MS),
        }
    }

    // ---- what is captured ---------------------------------------------------------------------

    /// Notes audio that is sent, or would be if there was a link. `detects` says whether the server
    /// cuts turns by itself.
    pub(super) fn push(&mut self, now: Instant, audio: Bytes, format: Format, detects: bool) {
        self.pushed_at = Some(now);
        let at_us = self.end_us;
        self.end_us += us_of(audio.len(), format);
        let piece = Piece::Audio(audio);
        self.queue.push_back(Kept { at_us, piece });
        self.trim(detects);
    }

    /// The application commits what was captured so far.
    pub(super) fn commit(&mut self, event_id: &str) {
        let at_us = self.end_us;
        let piece = Piece::Commit(event_id.to_owned());
        self.queue.push_back(Kept { at_us, piece });
    }

    /// The buffer is emptied: nobody wants what was captured so far.
    pub(super) fn clear(&mut self) {
        self.speech_us = None;
        self.settle_to(self.end_us);
    }

    fn trim(&mut self, detects: bool) {
        if let Some(outage) = &mut self.outage {
            let least = self.end_us.saturating_sub(outage.most_us);
            let dropped = drop_oldest(&mut self.queue, least, self.end_us);
            outage.dropped_us += dropped.saturating_sub(outage.from_us);
            outage.from_us = outage.from_us.max(dropped);
            return;
        }
        let quiet_us = match detects {
            true => self.end_us.saturating_sub(self.quiet_us),
            false => self.settled_us,
        };
        let unheard_us = self.end_us.saturating_sub(self.unheard_us);
        let quiet_us = quiet_us.min(unheard_us.max(self.heard_us));
        let unsettled = self.turns.front().map(|_| self.settled_us);
        let guarded = (self.end_us < self.guard_us).then_some(self.link_us);
        let needed = [self.speech_us, unsettled, guarded];
        let floor = needed.into_iter().flatten().fold(quiet_us, u64::min);
        let least = self.end_us.saturating_sub(self.most_us);
        drop_oldest(
            &mut self.queue,
            floor.max(self.settled_us).max(least),
            self.end_us,
        );
    }

    // ---- what the server makes of it ----------------------------------------------------------

    /// The server is there.
    pub(super) fn heard(&mut self) {
        self.heard_us = self.end_us;
    }

    /// Milliseconds of the call at which the link's audio began.
    pub(super) fn link_ms(&self) -> u64 {
        self.link_us / MS
    }

    /// Speech began at a place of the call's audio.
    pub(super) fn speech_started(&mut self, at_ms: Option<u64>) {
        let at_us = at_ms.map_or(self.end_us, |ms| ms.saturating_mul(MS));
        self.speech_us = Some(at_us.min(self.end_us));
    }

    /// Speech ended at a place of the call's audio.
    pub(super) fn speech_stopped(&mut self, at_ms: Option<u64>) {
        let at_us = at_ms.map_or(self.end_us, |ms| ms.saturating_mul(MS));
        self.stopped_us = Some(at_us.min(self.end_us));
    }

    /// What was captured became an item.
    pub(super) fn committed(&mut self, item_id: &str) {
        let is_commit = |kept: &Kept| matches!(kept.piece, Piece::Commit(_));
        let to_us = match self.stopped_us.take() {
            Some(stopped) => stopped,
            None => {
                let asked = self.queue.iter().position(is_commit);
                let asked = asked.and_then(|at| self.queue.remove(at));
                asked.map_or(self.end_us, |kept| kept.at_us)
            }
        };
        self.speech_us = None;
        if self.turns.len() == TURNS {
            self.settle_first();
        }
        let item_id = item_id.to_owned();
        self.turns.push_back(Turn { item_id, to_us });
    }

    /// The words of an item are known, or there will be none.
    pub(super) fn settled(&mut self, item_id: &str) {
        while self.turns.iter().any(|turn| turn.item_id == item_id) {
            self.settle_first();
        }
    }

    /// All turns so far are answered.
    pub(super) fn answered(&mut self) {
        while !self.turns.is_empty() {
            self.settle_first();
        }
    }

    fn settle_first(&mut self) {
        if let Some(turn) = self.turns.pop_front() {
            self.settle_to(turn.to_us);
        }
    }

    fn settle_to(&mut self, at_us: u64) {
        self.settled_us = self.settled_us.max(at_us);
        drop_oldest(&mut self.queue, at_us, self.end_us);
    }

    /// How long ago the sound at a place of the call's audio was captured, in milliseconds.
    pub(super) fn ago_ms(&self, now: Instant, at_ms: u64) -> Option<u64> {
        let since = now.saturating_duration_since(self.pushed_at?).as_millis();
        let after_ms = (self.end_us / MS).saturating_sub(at_ms);
        Some(after_ms + u64::try_from(since).unwrap_or(u64::MAX))
    }

    // ---- a change of link ---------------------------------------------------------------------

    /// No link takes audio from now on. Of what is captured, `audio_ms` are kept.
    pub(super) fn outage(&mut self, audio_ms: u64) {
        let first_us = self.queue.front().map_or(self.end_us, |kept| kept.at_us);
        let most_us = (self.end_us - first_us).saturating_add(audio_ms.saturating_mul(MS));
        self.outage.get_or_insert(Outage {
            from_us: self.end_us,
            most_us,
            dropped_us: 0,
        });
    }

    /// The audio for a new link, as if it was captured now: the caller gives it back by
    /// [`Overlap::push`]. Returns it with the milliseconds that had to go during an outage, and the
    /// items of turns that are in it once more.
    pub(super) fn again(&mut self, detects: bool) -> (Vec<Piece>, u64, Vec<String>) {
        if !detects {
            self.commit_turns();
        }
        if self.outage.is_none() {
            // The old link is there and has got it all.
            self.heard();
            self.trim(detects);
        }
        let outage = self.outage.take();
        let lost_ms = outage.map_or(0, |outage| outage.dropped_us / MS);
        self.guard_us = self.end_us + NOTICED_US;
        if let Some(first) = self.queue.front() {
            self.end_us = first.at_us;
        }
        (self.link_us, self.heard_us) = (self.end_us, self.end_us);
        (self.speech_us, self.stopped_us) = (None, None);
        let turns = self.turns.drain(..).map(|turn| turn.item_id).collect();
        let pieces = self.queue.drain(..).map(|kept| kept.piece).collect();
        (pieces, lost_ms, turns)
    }

    /// Turns that a server without detection has to be told of once more.
    fn commit_turns(&mut self) {
        for turn in &self.turns {
            let at = self.queue.partition_point(|kept| kept.at_us < turn.to_us);
            let piece = Piece::Commit(String::new());
            let at_us = turn.to_us;
            self.queue.insert(at, Kept { at_us, piece });
        }
    }

    /// Whether words of a turn are still to come.
    pub(super) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Audio that no link has taken, in milliseconds.
    pub(super) fn unsent_ms(&self) -> u64 {
        let outage = self.outage.as_ref();
        outage.map_or(0, |o| (self.end_us - o.from_us + o.dropped_us) / MS)
    }

    /// Nothing is needed any more.
    pub(super) fn stop(&mut self) {
        self.queue.clear();
        self.turns.clear();
    }
}

/// Drops the audio that ends before `floor`; returns the place that is kept from now on.
fn drop_oldest(queue: &mut VecDeque<Kept>, floor: u64, end_us: u64) -> u64 {
    loop {
        let is_audio = |kept: &Kept| matches!(kept.piece, Piece::Audio(_));
        let Some(at) = queue.iter().position(is_audio) else {
            return end_us;
        };
        let next_us = queue.get(at + 1).map_or(end_us, |next| next.at_us);
        if next_us > floor {
            return queue[at].at_us;
        }
        queue.remove(at);
    }
}

fn us_of(bytes: usize, format: Format) -> u64 {
    let samples = (bytes / format.sample_bytes().max(1)) as u64;
    samples * 1_000_000 / u64::from(format.rate_hz().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format::Pcm16 { rate_hz: 8_000 };

    fn overlap() -> Overlap {
        Overlap::new(1_000, 1_000, 30_000)
    }

    fn say(overlap: &mut Overlap, ms: u64, detects: bool) {
        for _ in 0..ms / 20 {
            overlap.push(Instant::now(), vec![0; 320].into(), FORMAT, detects);
        }
    }

    fn kept_ms(overlap: &mut Overlap) -> u64 {
        let (pieces, ..) = overlap.again(true);
        let audio = pieces.iter().filter(|p| matches!(p, Piece::Audio(_)));
        audio.count() as u64 * 20
    }

    #[test]
    fn of_silence_only_the_last_moment_is_kept() {
        let mut overlap = overlap();
        say(&mut overlap, 10_000, true);
        assert_eq!(kept_ms(&mut overlap), 1_000);
    }

    #[test]
    fn speech_is_kept_from_its_beginning_until_its_words_are_known() {
        let mut overlap = overlap();
        say(&mut overlap, 10_000, true);
        overlap.speech_started(Some(9_500));
        say(&mut overlap, 5_000, true);
        overlap.speech_stopped(Some(14_500));
        overlap.committed("a");
        say(&mut overlap, 3_000, true);
        assert_eq!(kept_ms(&mut overlap), 18_000 - 9_500);
    }

    #[test]
    fn what_a_silent_server_may_not_have_got_is_kept_for_the_link_after_a_loss() {
        let silent = || {
            let mut overlap = Overlap::new(1_000, 5_000, 30_000);
            say(&mut overlap, 10_000, true);
            overlap.heard();
            say(&mut overlap, 3_000, true);
            overlap
        };
        let mut lost = silent();
        lost.outage(5_000);
        assert_eq!(kept_ms(&mut lost), 3_000);
        let mut lost = silent();
        say(&mut lost, 9_000, true);
        lost.outage(5_000);
        assert_eq!(kept_ms(&mut lost), 5_000);
        assert_eq!(kept_ms(&mut silent()), 1_000, "by plan nothing is lost");
    }

    #[test]
    fn a_settled_turn_is_never_sent_again() {
        let mut overlap = overlap();
        overlap.speech_started(Some(0));
        say(&mut overlap, 2_000, true);
        overlap.speech_stopped(Some(1_800));
        overlap.committed("a");
        overlap.settled("a");
        assert_eq!(kept_ms(&mut overlap), 200);
    }

    #[test]
    fn without_detection_all_is_kept_that_the_application_has_not_committed() {
        let mut overlap = overlap();
        say(&mut overlap, 3_000, false);
        overlap.commit("e1");
        say(&mut overlap, 3_000, false);
        let (pieces, lost_ms, _) = overlap.again(false);
        let commit = pieces
            .iter()
            .position(|p| *p == Piece::Commit("e1".to_owned()));
        assert_eq!((commit, pieces.len(), lost_ms), (Some(150), 301, 0));
        let mut overlap = self::overlap();
        say(&mut overlap, 3_000, false);
        overlap.commit("e1");
        overlap.committed("a");
        overlap.settled("a");
        say(&mut overlap, 1_000, false);
        assert_eq!(kept_ms(&mut overlap), 1_000);
    }

    #[test]
    fn an_outage_keeps_the_newest_and_counts_what_it_drops() {
        let mut overlap = overlap();
        say(&mut overlap, 4_000, true);
        overlap.outage(2_000);
        say(&mut overlap, 10_000, true);
        assert_eq!(overlap.unsent_ms(), 10_000);
        let (pieces, lost_ms, _) = overlap.again(true);
        assert_eq!(
            (pieces.len() * 20, lost_ms),
            (3_000, 7_000),
            "the second before it makes room for one more"
        );
        assert_eq!(overlap.link_ms(), 11_000);
    }
}
