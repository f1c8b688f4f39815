//! The part of an answer that is still being made while it is given: text that comes, clauses that
//! are being spoken, calls. What it gives is in order, whatever comes first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use talkwire_core::audio::codec;
use talkwire_core::audio::format::Format;
use talkwire_core::audio::resample::Resampler;

use crate::brain::{AnswerReader, Clip, Piece};
use crate::clause::Clauses;
use crate::io::JobId;
use crate::pace::{Op, Pacing, speech_ops};
use crate::voice::SoundReader;

/// Clauses that are made into sound at once: the one that is heard and the next.
const MAX_SPEAKING: usize = 2;
/// Clauses whose sound may wait for its time.
const MAX_AHEAD: usize = 4;
/// Number of the clause of a flow that has one only.
pub(crate) const ONLY_CLAUSE: u64 = 1;
/// Sound of one delta.
const CHUNK_MS: u64 = 100;

/// How an answer is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// `None` for a written answer.
    pub(crate) spoken: Option<Format>,
    pub(crate) pacing: Pacing,
    pub(crate) may_call: bool,
}

/// What a flow has for its response.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Do this.
    Op(Op),
    /// Ask again at this time; `None` when something has come.
    At(Option<Instant>),
    /// It is over, cut short for this reason.
    Over(Option<&'static str>),
}

/// An answer in the making.
///
/// ```text
///  brain's text --> Clauses --> queue: [clause being spoken] [clause waiting] [call] --> Op
///                                            ^ sound of the voice's job
/// ```
#[derive(Debug)]
pub(crate) struct Flow {
    manner: Manner,
    brain: Option<(JobId, Box<dyn AnswerReader>)>,
    text: Clauses,
    open: Opened,
    queue: VecDeque<Entry>,
    clauses: u64,
    free_at: Instant,
    cut: Option<&'static str>,
}

/// The item that what comes next belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Nothing,
    Message,
    Call,
    /// A call that must not be made.
    Forbidden,
}

#[derive(Debug)]
enum Entry {
    Op(Op),
    Clause(Clause),
}

/// A piece of text on its way to being heard.
#[derive(Debug)]
struct Clause {
    number: u64,
    text: String,
    state: Speaking,
    ready: VecDeque<Op>,
}

#[derive(Debug)]
enum Speaking {
    /// Nobody was asked for its sound.
    Waiting,
    /// Its sound is being asked for.
    Asked,
    /// Its sound comes whole when this job is done.
    Whole(JobId),
    /// Its sound comes in pieces.
    Pieces(JobId, Box<Sound>),
    /// All of its sound is ready.
    Done,
}

/// Sound that comes in pieces.
#[derive(Debug)]
struct Sound {
    reader: Box<dyn SoundReader>,
    resampler: Option<Resampler>,
    samples: Vec<i16>,
    has_begun: bool,
}

impl Flow {
    /// The answer that a brain's job brings.
    pub(crate) fn of_brain(
        now: Instant,
        manner: Manner,
        job: JobId,
        reader: Box<dyn AnswerReader>,
    ) -> Self {
        Self {
            brain: Some((job, reader)),
            ..Self::empty(now, manner)
        }
    }

    /// A text that is known whole and whose sound was asked for as one piece.
    pub(crate) fn of_speech(now: Instant, manner: Manner, text: String) -> Self {
        let mut flow = Self::empty(now, manner);
        flow.open(Opened::Message);
        flow.queue.push_back(Entry::Clause(Clause {
            number: ONLY_CLAUSE,
            text,
            state: Speaking::Asked,
            ready: VecDeque::new(),
        }));
        flow.open(Opened::Nothing);
        flow
    }

    fn empty(now: Instant, manner: Manner) -> Self {
        Self {
            manner,
            brain: None,
            text: Clauses::default(),
            open: Opened::Nothing,
            queue: VecDeque::new(),
            clauses: 0,
            free_at: now,
            cut: None,
        }
    }

    /// The jobs it waits for.
    pub(crate) fn jobs(&self) -> Vec<JobId> {
        let brain = self.brain.iter().map(|(job, _)| *job);
        let voice = self.queue.iter().filter_map(|entry| match entry {
            Entry::Clause(clause) => clause.job(),
            Entry::Op(_) => None,
        });
        brain.chain(voice).collect()
    }

    /// When what was given so far has been heard.
    pub(crate) fn free_at(&self) -> Instant {
        self.free_at
    }

    /// Takes a piece of the brain's output.
    pub(crate) fn think(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some((_, reader)) = &mut self.brain else {
            return Ok(());
        };
        let pieces = reader.read(bytes)?;
        pieces.into_iter().try_for_each(|piece| self.take(piece))
    }

    /// The brain has said all.
    pub(crate) fn thought(&mut self) -> Result<(), String> {
        let Some((_, mut reader)) = self.brain.take() else {
            return Ok(());
        };
        let pieces = reader.end()?;
        pieces.into_iter().try_for_each(|piece| self.take(piece))?;
        self.open(Opened::Nothing);
        Ok(())
    }

    fn take(&mut self, piece: Piece) -> Result<(), String> {
        match piece {
            Piece::Text(text) => self.write(&text),
            Piece::Speech { text, clip } => self.speak(text, &clip)?,
            Piece::Call { name } => {
                self.open(Opened::Nothing);
                let may_call = self.manner.may_call;
                self.open = if may_call {
                    Opened::Call
                } else {
                    Opened::Forbidden
                };
                if may_call {
                    self.queue.push_back(Entry::Op(Op::BeginCall { name }));
                }
            }
            Piece::Arguments(delta) if self.open == Opened::Call => {
                self.queue.push_back(Entry::Op(Op::Arguments(delta)));
            }
            Piece::Arguments(_) => {}
            Piece::Cut(reason) => self.cut = Some(reason),
        }
        Ok(())
    }

    /// Takes more of a message that has its sound already.
    fn speak(&mut self, text: String, clip: &Clip) -> Result<(), String> {
        if self.manner.spoken.is_none() {
            self.write(&text);
            return Ok(());
        }
        self.open(Opened::Message);
        if let Some(rest) = self.text.finish() {
            self.clause(rest);
        }
        let format = self.format();
        let samples = resampled(clip, format)?;
        self.clauses += 1;
        self.queue.push_back(Entry::Clause(Clause {
            number: self.clauses,
            ready: speech_ops(&text, &samples, format).into(),
            text,
            state: Speaking::Done,
        }));
        Ok(())
    }

    fn write(&mut self, text: &str) {
        let is_new = self.open != Opened::Message;
        // Models put empty lines before what they say.
        let text = if is_new { text.trim_start() } else { text };
        if text.is_empty() {
            return;
        }
        self.open(Opened::Message);
        if self.manner.spoken.is_none() {
            self.queue.push_back(Entry::Op(Op::Text(text.to_owned())));
            return;
        }
        for clause in self.text.push(text) {
            self.clause(clause);
        }
    }

    /// Closes the item that is open and opens another, unless it is open already.
    fn open(&mut self, next: Opened) {
        if self.open == next {
            return;
        }
        if let Some(rest) = self.text.finish() {
            self.clause(rest);
        }
        if matches!(self.open, Opened::Message | Opened::Call) {
            self.queue.push_back(Entry::Op(Op::End));
        }
        if next == Opened::Message {
            let spoken = self.manner.spoken.is_some();
            self.queue.push_back(Entry::Op(Op::BeginMessage { spoken }));
        }
        self.open = next;
    }

    fn clause(&mut self, text: String) {
        if !text.chars().any(char::is_alphanumeric) {
            // There is nothing to hear in it.
            self.queue.push_back(Entry::Op(Op::Text(text)));
            return;
        }
        self.clauses += 1;
        self.queue.push_back(Entry::Clause(Clause {
            number: self.clauses,
            text,
            state: Speaking::Waiting,
            ready: VecDeque::new(),
        }));
    }

    /// The next clause to be made into sound, if it is time: its number and its text.
    pub(crate) fn wish(&mut self) -> Option<(u64, String)> {
        let is_running = |clause: &&mut Clause| clause.job().is_some();
        if self.clauses_mut().filter(is_running).count() >= MAX_SPEAKING {
            return None;
        }
        let mut ahead = self.clauses_mut().take(MAX_AHEAD);
        let clause = ahead.find(|clause| matches!(clause.state, Speaking::Waiting))?;
        clause.state = Speaking::Asked;
        Some((clause.number, clause.text.trim().to_owned()))
    }

    /// The sound of a clause will come from a job: in pieces if there is a reader for them.
    pub(crate) fn await_sound(
        &mut self,
        number: u64,
        job: JobId,
        reader: Option<Box<dyn SoundReader>>,
    ) {
        if let Some(clause) = self.clauses_mut().find(|clause| clause.number == number) {
            clause.state = match reader {
                None => Speaking::Whole(job),
                Some(reader) => Speaking::Pieces(job, Box::new(Sound::new(reader))),
            };
        }
    }

    /// The clause whose sound a job makes.
    pub(crate) fn clause_of(&self, job: JobId) -> Option<u64> {
        self.queue.iter().find_map(|entry| match entry {
            Entry::Clause(clause) if clause.job() == Some(job) => Some(clause.number),
            _ => None,
        })
    }

    /// Whether the sound of this job comes in pieces.
    pub(crate) fn is_in_pieces(&self, job: JobId) -> bool {
        self.queue.iter().any(|entry| {
            matches!(entry, Entry::Clause(Clause { state: Speaking::Pieces(of, _), .. })
                if *of == job)
        })
    }

    /// Takes the whole sound of a clause.
    pub(crate) fn sound(&mut self, number: u64, clip: &Clip) -> Result<(), String> {
        let format = self.format();
        let Some(clause) = self.clauses_mut().find(|clause| clause.number == number) else {
            return Ok(());
        };
        let samples = resampled(clip, format)?;
        clause.ready = speech_ops(&clause.text, &samples, format).into();
        clause.state = Speaking::Done;
        Ok(())
    }

    /// Takes a piece of the sound that a job makes.
    pub(crate) fn hear(&mut self, job: JobId, bytes: &[u8]) -> Result<(), String> {
        let format = self.format();
        let mut clauses = self.clauses_mut();
        let Some(clause) = clauses.find(|clause| clause.job() == Some(job)) else {
            return Ok(());
        };
        if let Speaking::Pieces(_, sound) = &mut clause.state {
            let samples = sound.reader.read(bytes)?;
            sound.take(&samples, format)?;
            clause.pour(format, false);
        }
        Ok(())
    }

    /// The sound that came in pieces is complete.
    pub(crate) fn heard(&mut self, job: JobId) -> Result<(), String> {
        let format = self.format();
        let mut clauses = self.clauses_mut();
        let Some(clause) = clauses.find(|clause| clause.job() == Some(job)) else {
            return Ok(());
        };
        if let Speaking::Pieces(_, sound) = &mut clause.state {
            let samples = sound.reader.end()?;
            sound.take(&samples, format)?;
            sound.finish();
            clause.pour(format, true);
            clause.state = Speaking::Done;
        }
        Ok(())
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        if self.free_at > now && !self.queue.is_empty() {
            return Next::At(Some(self.free_at));
        }
        let op = loop {
            match self.queue.front_mut() {
                None if self.brain.is_some() => return Next::At(None),
                None => return Next::Over(self.cut),
                Some(Entry::Op(_)) => break self.pop(),
                Some(Entry::Clause(clause)) => match clause.ready.pop_front() {
                    Some(op) => break op,
                    None if matches!(clause.state, Speaking::Done) => {
                        self.queue.pop_front();
                    }
                    None => return Next::At(None),
                },
            }
        };
        if let (Op::Audio(bytes), Pacing::Realtime) = (&op, self.manner.pacing) {
            let ms = self.format().ms_of_bytes(bytes.len() as u64);
            self.free_at = self.free_at.max(now) + Duration::from_millis(ms);
        }
        Next::Op(op)
    }

    fn pop(&mut self) -> Op {
        match self.queue.pop_front() {
            Some(Entry::Op(op)) => op,
            Some(Entry::Clause(_)) | None => unreachable!("an operation was seen in front"),
        }
    }

    fn format(&self) -> Format {
        self.manner.spoken.unwrap_or(Format::PCM16_24K)
    }

    fn clauses_mut(&mut self) -> impl Iterator<Item = &mut Clause> {
        self.queue.iter_mut().filter_map(|entry| match entry {
            Entry::Clause(clause) => Some(clause),
            Entry::Op(_) => None,
        })
    }
}

impl Clause {
    fn job(&self) -> Option<JobId> {
        match &self.state {
            Speaking::Whole(job) | Speaking::Pieces(job, _) => Some(*job),
            Speaking::Waiting | Speaking::Asked | Speaking::Done => None,
        }
    }

    /// Makes deltas of the sound that is there; the last one may be short.
    fn pour(&mut self, format: Format, is_all: bool) {
        let Speaking::Pieces(_, sound) = &mut self.state else {
            return;
        };
        let begins = !sound.samples.is_empty() || is_all;
        if begins && !std::mem::replace(&mut sound.has_begun, true) {
            // How long the clause will be is not known yet: its words go before it.
            self.ready.push_back(Op::Text(self.text.clone()));
        }
        let chunk_samples = (CHUNK_MS * u64::from(format.rate_hz()) / 1000).max(1) as usize;
        let whole = sound.samples.len() / chunk_samples * chunk_samples;
        let ready = if is_all { sound.samples.len() } else { whole };
        for chunk in sound.samples[..ready].chunks(chunk_samples) {
            let mut bytes = Vec::with_capacity(chunk.len() * format.sample_bytes());
            codec::encode_into(format, chunk, &mut bytes);
            self.ready.push_back(Op::Audio(Bytes::from(bytes)));
        }
        sound.samples.drain(..ready);
    }
}

impl Sound {
    fn new(reader: Box<dyn SoundReader>) -> Self {
        Self {
            reader,
            resampler: None,
            samples: Vec::new(),
            has_begun: false,
        }
    }

    fn take(&mut self, samples: &[i16], format: Format) -> Result<(), String> {
        if samples.is_empty() {
            return Ok(());
        }
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => {
                let from_hz = self.reader.rate_hz();
                let new = Resampler::new(from_hz, format.rate_hz())
                    .map_err(|e| format!("the voice gave sound of {from_hz} Hz: {e}"))?;
                none.insert(new)
            }
        };
        resampler.process(samples, &mut self.samples);
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&mut self.samples);
        }
    }
}

fn resampled(clip: &Clip, format: Format) -> Result<Vec<i16>, String> {
    talkwire_core::audio::resample::resample(&clip.samples, clip.rate_hz, format.rate_hz())
        .map_err(|e| format!("the voice gave sound of {} Hz: {e}", clip.rate_hz))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text`, or calls after `>`.
    #[derive(Debug)]
    struct Plain;

    impl AnswerReader for Plain {
        fn read(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, String> {
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            let name = text.strip_prefix('>').map(str::to_owned);
            Ok(vec![
                name.map_or(Piece::Text(text), |name| Piece::Call { name }),
            ])
        }

        fn end(&mut self) -> Result<Vec<Piece>, String> {
            Ok(Vec::new())
        }
    }

    /// Each byte is a sample of 8 kHz.
    #[derive(Debug)]
    struct Samples;

    impl SoundReader for Samples {
        fn rate_hz(&self) -> u32 {
            8_000
        }

        fn read(&mut self, bytes: &[u8]) -> Result<Vec<i16>, String> {
            Ok(bytes.iter().map(|byte| i16::from(*byte)).collect())
        }

        fn end(&mut self) -> Result<Vec<i16>, String> {
            Ok(Vec::new())
        }
    }

    const FORMAT: Format = Format::Pcm16 { rate_hz: 8_000 };

    fn manner(pacing: Pacing) -> Manner {
        Manner {
            spoken: Some(FORMAT),
            pacing,
            may_call: true,
        }
    }

    fn flow(now: Instant, manner: Manner) -> Flow {
        Flow::of_brain(now, manner, 1, Box::new(Plain))
    }

    /// Everything that can be done now, in words; sound by its samples.
    fn given(flow: &mut Flow, now: Instant) -> Vec<String> {
        let mut given = Vec::new();
        while let Next::Op(op) = flow.next(now) {
            given.push(match op {
                Op::Text(text) => text,
                Op::Audio(bytes) => format!("{} samples", bytes.len() / 2),
                Op::BeginMessage { .. } => "<".to_owned(),
                Op::BeginCall { name } => format!("call {name}"),
                Op::Arguments(delta) => delta,
                Op::End => ">".to_owned(),
                other => panic!("{other:?} comes from scripts alone"),
            });
        }
        given
    }

    #[test]
    fn a_clause_is_heard_while_the_text_goes_on_and_clauses_keep_their_order() {
        let now = Instant::now();
        let mut flow = flow(now, manner(Pacing::Instant));
        flow.think(b"\n\nFirst sentence. Sec").expect("reads");
        assert_eq!(flow.wish(), Some((1, "First sentence.".to_owned())));
        flow.await_sound(1, 7, Some(Box::new(Samples)));
        assert_eq!(flow.wish(), None);
        flow.think(b"ond sentence. >").expect("reads");
        assert_eq!(flow.wish(), Some((2, "Second sentence.".to_owned())));
        flow.await_sound(2, 8, Some(Box::new(Samples)));
        flow.hear(8, &[0; 800]).expect("reads");
        assert_eq!(given(&mut flow, now), ["<"]);
        flow.hear(7, &[0; 1000]).expect("reads");
        assert_eq!(given(&mut flow, now), ["First sentence. ", "800 samples"]);
        assert_eq!(flow.jobs(), [1, 7, 8]);
        flow.heard(7).expect("ends");
        assert_eq!(
            given(&mut flow, now),
            ["200 samples", "Second sentence. ", "800 samples"]
        );
        flow.heard(8).expect("ends");
        flow.thought().expect("ends");
        assert_eq!(given(&mut flow, now), [">", ">"]);
        assert_eq!(flow.next(now), Next::Over(None));
    }

    #[test]
    fn a_call_comes_after_what_is_said_before_it() {
        let now = Instant::now();
        let mut flow = flow(now, manner(Pacing::Instant));
        flow.think(b"One moment").expect("reads");
        flow.think(b">order").expect("reads");
        flow.thought().expect("ends");
        assert_eq!(flow.wish(), Some((1, "One moment".to_owned())));
        assert_eq!(given(&mut flow, now), ["<"]);
        let clip = Clip {
            rate_hz: 8_000,
            samples: vec![0; 80],
        };
        flow.sound(1, &clip).expect("a good rate");
        let expected = ["One ", "moment", "80 samples", ">", "call order", ">"];
        assert_eq!(given(&mut flow, now), expected);
        let silent = Manner {
            spoken: None,
            may_call: false,
            ..manner(Pacing::Instant)
        };
        let mut flow = Flow::of_brain(now, silent, 1, Box::new(Plain));
        flow.think(b"Hi").expect("reads");
        flow.think(b">order").expect("reads");
        flow.thought().expect("ends");
        assert_eq!(given(&mut flow, now), ["<", "Hi", ">"]);
    }

    #[test]
    fn sound_leaves_no_faster_than_it_lasts() {
        let now = Instant::now();
        let mut flow = Flow::of_speech(now, manner(Pacing::Realtime), "Hello there".to_owned());
        assert_eq!(flow.wish(), None);
        flow.await_sound(ONLY_CLAUSE, 3, Some(Box::new(Samples)));
        flow.hear(3, &[0; 2000]).expect("reads");
        flow.heard(3).expect("ends");
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(given(&mut flow, now), ["<", "Hello there", "800 samples"]);
        assert_eq!(flow.next(now), Next::At(Some(at(100))));
        assert_eq!(given(&mut flow, at(100)), ["800 samples"]);
        assert_eq!(given(&mut flow, at(200)), ["400 samples"]);
        assert_eq!(given(&mut flow, at(250)), [">"]);
    }

    #[test]
    fn no_more_than_two_clauses_are_spoken_at_once_and_four_wait() {
        let now = Instant::now();
        let mut flow = flow(now, manner(Pacing::Realtime));
        flow.think("A sentence. ".repeat(9).as_bytes())
            .expect("reads");
        let mut asked = Vec::new();
        while let Some((number, _)) = flow.wish() {
            flow.await_sound(number, number + 10, Some(Box::new(Samples)));
            asked.push(number);
        }
        assert_eq!(asked, [1, 2]);
        for number in 1..=4 {
            flow.hear(number + 10, &[0; 80_000]).expect("reads");
            flow.heard(number + 10).expect("ends");
            if let Some((number, _)) = flow.wish() {
                flow.await_sound(number, number + 10, Some(Box::new(Samples)));
                asked.push(number);
            }
        }
        assert_eq!(asked, [1, 2, 3, 4]);
    }
}
