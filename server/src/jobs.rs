//! Work that is done outside: which number stands for what.

use std::collections::BTreeMap;

use crate::io::{Job, JobId, PeerEffect, PeerEffects};

/// What a job is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The transcript of an item.
    Hear { item_id: String },
    /// The words of a response.
    Think { response_id: String },
    /// The words before a pause, which tell whether a turn is over.
    Probe,
    /// The sound of a response.
    Speak { response_id: String },
}

/// Jobs that run.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    last: JobId,
    running: BTreeMap<JobId, Purpose>,
}

impl Jobs {
    pub(crate) fn start(&mut self, purpose: Purpose, job: Job, fx: &mut PeerEffects) -> JobId {
        self.last += 1;
        self.running.insert(self.last, purpose);
        let id = self.last;
        fx.push(PeerEffect::Start { id, job });
        id
    }

    /// What a running job is for; `None` if nobody waits for it any more.
    pub(crate) fn purpose(&self, id: JobId) -> Option<&Purpose> {
        self.running.get(&id)
    }

    /// Takes a finished job off the list; `None` if nobody waits for it any more.
    pub(crate) fn done(&mut self, id: JobId) -> Option<Purpose> {
        self.running.remove(&id)
    }

    pub(crate) fn stop(&mut self, id: JobId, fx: &mut PeerEffects) {
        if self.running.remove(&id).is_some() {
            fx.push(PeerEffect::Stop(id));
        }
    }

    pub(crate) fn stop_all(&mut self, fx: &mut PeerEffects) {
        for id in std::mem::take(&mut self.running).into_keys() {
            fx.push(PeerEffect::Stop(id));
        }
    }

    /// Whether a transcript is still to come.
    pub(crate) fn hears(&self) -> bool {
        let mut purposes = self.running.values();
        purposes.any(|purpose| matches!(purpose, Purpose::Hear { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_job_has_no_outcome() {
        let (mut jobs, mut fx) = (Jobs::default(), PeerEffects::new());
        let job = || Job::Command {
            argv: Vec::new(),
            stdin: Vec::new(),
            limit: std::time::Duration::ZERO,
        };
        let purpose = Purpose::Hear {
            item_id: "i".to_owned(),
        };
        let id = jobs.start(purpose.clone(), job(), &mut fx);
        assert!(jobs.hears());
        jobs.stop(id, &mut fx);
        assert!(jobs.done(id).is_none() && !jobs.hears());
        let again = jobs.start(purpose.clone(), job(), &mut fx);
        assert_eq!(jobs.done(again), Some(purpose));
        jobs.stop_all(&mut fx);
        let last = fx.drain().last();
        assert!(matches!(last, Some(PeerEffect::Start { .. })));
    }
}
