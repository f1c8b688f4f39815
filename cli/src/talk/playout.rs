//! The agent's audio as a listener hears it: taken from the line where there is one, else guessed.

use std::collections::VecDeque;

use talkwire_core::audio::codec;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::resample;
use talkwire_core::error::Result;

/// Audio waits this long before it is played, so that pieces which come a little late leave no
/// gap: what telephones call a jitter buffer.
const LEAD_MS: u64 = 60;
/// What is left of an item when rates were converted on the way is no sound that is still to come.
const LEFT_MS: u64 = 20;

/// The track of the agent on the clock of the call.
#[derive(Debug)]
pub(crate) struct Playout {
    format: Format,
    /// Samples per second of the track: those of the format that came first.
    rate_hz: Option<u32>,
    heard: Vec<i16>,
    received: Vec<i16>,
    listener: Listener,
}

/// Who says what is heard.
#[derive(Debug)]
enum Listener {
    /// Nobody: it is as if everything were played when it comes.
    Guessed,
    /// A line.
    Line(Waiting),
}

/// What is between the session and the line's end.
#[derive(Debug, Default)]
struct Waiting {
    /// Items with the samples of them that came and were not heard, and those that were.
    items: VecDeque<(String, usize, usize)>,
    /// From where to where on the track there is sound of which no item is known yet.
    sounds: VecDeque<(usize, usize)>,
    /// Where the last sound ended.
    end: usize,
    /// When the agent was cut last: what was taken from the line before belongs to nothing.
    cut_ms: Option<u64>,
}

/// An item is heard from when to when.
pub(crate) type Lasts = (String, u64, u64);

impl Playout {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            rate_hz: None,
            heard: Vec::new(),
            received: Vec::new(),
            listener: Listener::Guessed,
        }
    }

    /// The format of what comes from now on.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// From now on a line says what is heard, at the rate of the track.
    pub(crate) fn listen(&mut self) {
        self.rate_hz.get_or_insert_with(|| self.format.rate_hz());
        self.listener = Listener::Line(Waiting::default());
    }

    /// Whether a line says what is heard.
    pub(crate) fn has_line(&self) -> bool {
        matches!(self.listener, Listener::Line(_))
    }

    /// Samples per second of both tracks.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.rate_hz.unwrap_or_else(|| self.format.rate_hz())
    }

    /// A piece of an item arrives; returns what is known to be heard now.
    pub(crate) fn received(
        &mut self,
        at_ms: u64,
        item_id: &str,
        bytes: &[u8],
    ) -> Result<Vec<Lasts>> {
        let mut samples = Vec::new();
        codec::decode_into(self.format, bytes, &mut samples);
        let rate_hz = *self.rate_hz.get_or_insert_with(|| self.format.rate_hz());
        if rate_hz != self.format.rate_hz() {
            samples = resample(&samples, self.format.rate_hz(), rate_hz)?;
        }
        self.received.extend_from_slice(&samples);
        if let Listener::Line(waiting) = &mut self.listener {
            waiting.received(item_id, samples.len());
            return Ok(self.settle());
        }
        if self.ends_ms() < at_ms {
            let start = self.samples_of(at_ms + LEAD_MS);
            self.heard.resize(start, 0);
        }
        let start_ms = self.ends_ms();
        self.heard.extend_from_slice(&samples);
        Ok(vec![(item_id.to_owned(), start_ms, self.ends_ms())])
    }

    /// A frame is taken from the line, of which the first `sound` samples are sound; returns what
    /// is known to be heard now.
    pub(crate) fn taken(&mut self, at_ms: u64, samples: &[i16], sound: usize) -> Vec<Lasts> {
        if self.heard.is_empty() {
            self.heard.resize(self.samples_of(at_ms), 0);
        }
        let start = self.heard.len();
        self.heard.extend_from_slice(samples);
        if let Listener::Line(waiting) = &mut self.listener
            && sound > 0
        {
            waiting.end = start + sound;
            if waiting.cut_ms.is_none_or(|cut_ms| cut_ms < at_ms) {
                waiting.sounds.push_back((start, start + sound));
            }
        }
        self.settle()
    }

    /// Sound and items come in one order, so each sound is of the first item that waits.
    fn settle(&mut self) -> Vec<Lasts> {
        let rate_hz = u64::from(self.rate_hz());
        let Listener::Line(waiting) = &mut self.listener else {
            return Vec::new();
        };
        let pieces = waiting.settle();
        let ms = |samples: usize| samples as u64 * 1000 / rate_hz;
        let lasts = pieces
            .into_iter()
            .map(|(item, from, to)| (item, ms(from), ms(to)));
        lasts.collect()
    }

    /// The customer interrupts: what was not played by then never will be.
    pub(crate) fn flush(&mut self, at_ms: u64) {
        let played = self.samples_of(at_ms);
        match &mut self.listener {
            Listener::Guessed => self.heard.truncate(played),
            Listener::Line(waiting) => {
                waiting.items.clear();
                waiting.sounds.clear();
                waiting.cut_ms = Some(at_ms);
            }
        }
    }

    /// When the last sample is heard.
    pub(crate) fn ends_ms(&self) -> u64 {
        let end = match &self.listener {
            Listener::Guessed => self.heard.len(),
            Listener::Line(waiting) => {
                let left: usize = waiting.items.iter().map(|(_, left, _)| left).sum();
                match left <= self.samples_of(LEFT_MS) {
                    true => waiting.end,
                    false => self.heard.len() + left,
                }
            }
        };
        end as u64 * 1000 / u64::from(self.rate_hz())
    }

    /// How much was heard of the item that is being heard, in milliseconds.
    pub(crate) fn sounding_ms(&self) -> Option<u64> {
        let Listener::Line(waiting) = &self.listener else {
            return None;
        };
        let (_, _, heard) = waiting.items.front().filter(|(_, left, _)| *left > 0)?;
        Some(*heard as u64 * 1000 / u64::from(self.rate_hz()))
    }

    /// What is heard, from the start of the call.
    pub(crate) fn heard(&self) -> &[i16] {
        &self.heard
    }

    /// What was received, without pauses.
    pub(crate) fn all(&self) -> &[i16] {
        &self.received
    }

    /// Milliseconds received.
    pub(crate) fn received_ms(&self) -> u64 {
        self.received.len() as u64 * 1000 / u64::from(self.rate_hz())
    }

    fn samples_of(&self, ms: u64) -> usize {
        (ms * u64::from(self.rate_hz()) / 1000) as usize
    }
}

impl Waiting {
    fn received(&mut self, item_id: &str, samples: usize) {
        match self.items.back_mut() {
            Some((last, left, _)) if last == item_id => *left += samples,
            _ => self.items.push_back((item_id.to_owned(), samples, 0)),
        }
    }

    fn settle(&mut self) -> Vec<(String, usize, usize)> {
        let mut pieces = Vec::new();
        while let (Some((item, left, heard)), Some((from, to))) =
            (self.items.front_mut(), self.sounds.front_mut())
        {
            let samples = (*left).min(*to - *from);
            if samples > 0 {
                pieces.push((item.clone(), *from, *from + samples));
            }
            (*left, *heard, *from) = (*left - samples, *heard + samples, *from + samples);
            if from == to {
                self.sounds.pop_front();
            } else {
                // More of it may come, but the sound goes on with another one.
                self.items.pop_front();
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format::Pcm16 { rate_hz: 8_000 };

    fn piece(ms: usize) -> Vec<u8> {
        [1, 0].repeat(ms * 8)
    }

    fn receive(playout: &mut Playout, at_ms: u64, item: &str, ms: usize) -> Vec<Lasts> {
        let lasts = playout.received(at_ms, item, &piece(ms));
        lasts.expect("plays")
    }

    fn lasts(item: &str, from_ms: u64, to_ms: u64) -> Vec<Lasts> {
        vec![(item.to_owned(), from_ms, to_ms)]
    }

    #[test]
    fn playout_begins_after_arrival_and_goes_on_in_sequence() {
        let mut playout = Playout::new(FORMAT);
        let mut hear = |at, ms| receive(&mut playout, at, "a", ms);
        assert_eq!(hear(1_000, 100), lasts("a", 1_060, 1_160));
        let ahead = hear(1_001, 100);
        assert_eq!(ahead, lasts("a", 1_160, 1_260), "sent ahead of time");
        assert_eq!(hear(1_250, 100), lasts("a", 1_260, 1_360), "a little late");
        assert_eq!(hear(3_000, 100), lasts("a", 3_060, 3_160), "another answer");
        assert_eq!(playout.heard()[8 * 3_060 - 1..8 * 3_060 + 1], [0, 1]);
        assert_eq!(playout.received_ms(), 400);
    }

    #[test]
    fn an_interruption_takes_what_was_not_played() {
        let mut playout = Playout::new(FORMAT);
        receive(&mut playout, 0, "a", 500);
        playout.flush(200);
        assert_eq!((playout.ends_ms(), playout.received_ms()), (200, 500));
    }

    #[test]
    fn another_rate_in_the_middle_does_not_change_the_track() {
        let mut playout = Playout::new(FORMAT);
        receive(&mut playout, 0, "a", 100);
        playout.set_format(Format::PCM16_24K);
        let all = playout.received(0, "b", &[1, 0].repeat(2_400));
        let (_, from, to) = all.expect("plays").remove(0);
        assert_eq!(to - from, 100);
        assert_eq!(playout.rate_hz(), 8_000);
    }

    // ---- with a line ----------------------------------------------------------------------------

    fn line() -> Playout {
        let mut playout = Playout::new(FORMAT);
        playout.listen();
        playout
    }

    fn take(playout: &mut Playout, at_ms: u64, sound_ms: usize) -> Vec<Lasts> {
        playout.taken(at_ms, &[3; 160], sound_ms * 8)
    }

    #[test]
    fn items_last_as_long_as_the_line_gives_them() {
        let mut playout = line();
        assert_eq!(receive(&mut playout, 900, "a", 30), []);
        assert_eq!(take(&mut playout, 1_000, 0), []);
        assert_eq!(take(&mut playout, 1_020, 20), lasts("a", 1_020, 1_040));
        receive(&mut playout, 1_030, "b", 500);
        assert_eq!(playout.sounding_ms(), Some(20));
        assert_eq!(playout.ends_ms(), 1_040 + 10 + 500);
        let both = take(&mut playout, 1_040, 20);
        let wanted = [lasts("a", 1_040, 1_050), lasts("b", 1_050, 1_060)];
        assert_eq!(both, wanted.concat());
        assert_eq!(playout.sounding_ms(), Some(10));
        assert_eq!(playout.heard().len(), 1_060 * 8);
    }

    #[test]
    fn sound_that_is_taken_before_its_item_is_read_belongs_to_it() {
        let mut playout = line();
        assert_eq!(take(&mut playout, 100, 20), []);
        assert_eq!(receive(&mut playout, 101, "a", 20), lasts("a", 100, 120));
        assert_eq!((playout.ends_ms(), playout.sounding_ms()), (120, None));
    }

    #[test]
    fn what_was_cut_is_never_heard_and_delays_nobody() {
        let mut playout = line();
        receive(&mut playout, 0, "a", 500);
        take(&mut playout, 100, 20);
        playout.flush(125);
        assert_eq!(take(&mut playout, 120, 20), [], "taken before the cut");
        assert_eq!(playout.ends_ms(), 140);
        receive(&mut playout, 150, "b", 20);
        assert_eq!(take(&mut playout, 140, 20), lasts("b", 140, 160));
    }
}
