//! Jobs of brain, ears and voice: what they bring, and what becomes of it.

use std::time::Instant;

use crate::io::{JobId, PeerEffects};
use crate::jobs::Purpose;
use crate::peer::Peer;
use crate::response::Ending;
use crate::voice::{Line, Speech};

impl Peer {
    /// A piece of a job's output has come.
    pub(crate) fn job_progress(
        &mut self,
        now: Instant,
        job: JobId,
        piece: &[u8],
        fx: &mut PeerEffects,
    ) {
        match self.jobs.purpose(job).cloned() {
            // It was stopped in the meantime.
            None => {}
            Some(Purpose::Hear { .. } | Purpose::Probe) => self.hear_on(now, job, piece, fx),
            Some(Purpose::Think { response_id }) => {
                self.flow_on(now, &response_id, fx, |flow| flow.think(piece));
            }
            Some(Purpose::Speak { response_id }) => {
                self.flow_on(now, &response_id, fx, |flow| flow.hear(job, piece));
            }
        }
    }

    /// A job has ended.
    pub(crate) fn job_done(
        &mut self,
        now: Instant,
        job: JobId,
        outcome: Result<Vec<u8>, String>,
        fx: &mut PeerEffects,
    ) {
        match self.jobs.done(job) {
            // It was stopped in the meantime.
            None => {}
            Some(Purpose::Hear { item_id }) => {
                let words = self.words_of(job, outcome);
                self.heard(now, &item_id, words, fx);
            }
            Some(Purpose::Probe) => {
                let words = self.words_of(job, outcome);
                self.probed(now, words, fx);
            }
            Some(Purpose::Think { response_id }) => {
                self.flow_on(now, &response_id, fx, |flow| {
                    outcome.and_then(|_| flow.thought())
                });
            }
            Some(Purpose::Speak { response_id }) => {
                self.spoken(now, &response_id, job, outcome, fx);
            }
        }
    }

    fn spoken(
        &mut self,
        now: Instant,
        response_id: &str,
        job: JobId,
        outcome: Result<Vec<u8>, String>,
        fx: &mut PeerEffects,
    ) {
        let voice = &mut self.backends.voice;
        let mut runs = self.answering.runs.iter_mut();
        let run = runs.find(|run| run.id() == response_id);
        let Some(flow) = run.and_then(|run| run.flowing()) else {
            return;
        };
        let heard = match flow.clause_of(job) {
            Some(_) if flow.is_in_pieces(job) => outcome.and_then(|_| flow.heard(job)),
            Some(number) => outcome
                .and_then(|output| voice.spoken(&output))
                .and_then(|clip| flow.sound(number, &clip)),
            None => Ok(()),
        };
        self.flow_on(now, response_id, fx, |_| heard);
    }

    /// Lets something happen to the flow of a response; a failure ends the response.
    fn flow_on(
        &mut self,
        now: Instant,
        response_id: &str,
        fx: &mut PeerEffects,
        happen: impl FnOnce(&mut crate::flow::Flow) -> Result<(), String>,
    ) {
        let runs = &mut self.answering.runs;
        let Some(at) = runs.iter().position(|run| run.id() == response_id) else {
            return;
        };
        let happened = runs[at].flowing().map_or(Ok(()), happen);
        if let Err(message) = happened {
            self.finish(now, at, &Ending::Failed(message), fx);
        }
    }

    /// Asks the voice for a clause of response `at`; false if that ended the response.
    pub(crate) fn voice(
        &mut self,
        now: Instant,
        at: usize,
        number: u64,
        text: &str,
        fx: &mut PeerEffects,
    ) -> bool {
        self.answering.spoken = true;
        let run = &mut self.answering.runs[at];
        let rate_hz = run.format().rate_hz();
        let speech = self.backends.voice.speak(&Line {
            text,
            clip: None,
            rate_hz,
            voice: run.request().settings.voice(),
        });
        let Speech::Now(clip) = speech else {
            self.voice_later(at, number, speech, fx);
            return true;
        };
        let heard = run
            .flowing()
            .map_or(Ok(()), |flow| flow.sound(number, &clip));
        match heard {
            Ok(()) => true,
            Err(message) => {
                self.finish(now, at, &Ending::Failed(message), fx);
                false
            }
        }
    }

    /// Starts the job of a voice for a clause of response `at`.
    pub(crate) fn voice_later(
        &mut self,
        at: usize,
        number: u64,
        speech: Speech,
        fx: &mut PeerEffects,
    ) {
        let run = &mut self.answering.runs[at];
        let (job, reader) = match speech {
            Speech::Now(_) => return,
            Speech::Later(job) => (job, None),
            Speech::Stream(job, reader) => (job, Some(reader)),
        };
        let response_id = run.id().to_owned();
        let job = self.jobs.start(Purpose::Speak { response_id }, job, fx);
        if let Some(flow) = run.flowing() {
            flow.await_sound(number, job, reader);
        }
    }
}
