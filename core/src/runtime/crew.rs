//! Threads for what may block: credentials that are asked for, tools, disks. Unlike the async
//! runtime's own, they are counted, and that none can be had is an error of whoever wants one.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::quiet_signals;
use super::tally::Tally;
use crate::error::{Error, Kind, Result};

/// How long a thread waits for more to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads at once; what comes when all of them are busy waits.
const MOST: usize = 512;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, `tw-job-N`; started when there is something to do.
#[derive(Default)]
pub(crate) struct Crew {
    state: Mutex<State>,
    changed: Condvar,
    threads: Arc<Tally>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    started: usize,
    handles: Vec<JoinHandle<()>>,
    is_closed: bool,
}

impl Crew {
    /// Runs a function that may block. Where none can be run it is dropped before this returns.
    pub(crate) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Error::new(Kind::Closed, "the runtime is shut down"));
        }
        state.jobs.push_back(Box::new(job));
        if state.jobs.len() <= state.idle {
            self.changed.notify_one();
            return Ok(());
        }
        let started = self.start(&mut state);
        let refused = started.is_err().then(|| state.jobs.pop_back());
        drop(state);
        // It may be anybody's code, which no lock is held for.
        drop(refused);
        started
    }

    /// Runs a function that may block. The receiver gets its result, or an error if it panicked.
    pub(crate) fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>> {
        let (answer, answered) = oneshot::channel();
        self.run(move || drop(answer.send(ask())))?;
        Ok(answered)
    }

    /// Ends the threads once all that waits is done; returns whether they ended by `until`.
    pub(super) fn stop(&self, until: Instant) -> bool {
        self.lock().is_closed = true;
        self.changed.notify_all();
        if self.threads.left(until) > 0 {
            return false;
        }
        let handles = std::mem::take(&mut self.lock().handles);
        for handle in handles {
            let _ = handle.join();
        }
        true
    }

    fn start(self: &Arc<Self>, state: &mut State) -> Result<()> {
        state.handles.retain(|handle| !handle.is_finished());
        if state.handles.len() >= MOST {
            return Ok(());
        }
        let (crew, presence) = (self.clone(), self.threads.enter());
        let work = move || {
            quiet_signals();
            crew.work();
            drop(presence);
        };
        let name = format!("tw-job-{}", state.started);
        let handle = Builder::new().name(name).spawn(work);
        let handle = handle.map_err(|e| Error::new(Kind::Io, format!("no thread: {e}")))?;
        state.started += 1;
        state.handles.push(handle);
        Ok(())
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Whoever waits for its result learns of it.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            if state.is_closed {
                return;
            }
            state.idle += 1;
            let bored = |state: &mut State| state.jobs.is_empty() && !state.is_closed;
            let waited = self.changed.wait_timeout_while(state, PATIENCE, bored);
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Crew")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_stop_waits_for_what_runs_and_waits_and_refuses_what_comes_later() {
        let crew = Arc::<Crew>::default();
        let (go, gone) = mpsc::channel::<()>();
        let (done, seen) = mpsc::channel();
        crew.run(move || {
            let _ = gone.recv();
            let _ = done.send(());
        })
        .expect("a thread");
        assert!(!crew.stop(Instant::now()), "it runs");
        drop(go);
        assert!(crew.stop(soon()));
        assert_eq!(seen.try_iter().count(), 1);
        assert_eq!(crew.run(|| ()).expect_err("closed").kind(), Kind::Closed);
    }

    #[test]
    fn what_panics_has_no_result_and_takes_nothing_with_it() {
        let crew = Arc::<Crew>::default();
        let panicked = crew.ask(|| panic!("a bug")).expect("a thread");
        assert!(panicked.blocking_recv().is_err());
        assert_eq!(crew.ask(|| 7).expect("a thread").blocking_recv(), Ok(7));
        assert!(crew.stop(soon()));
    }

    #[test]
    fn what_comes_while_others_run_does_not_wait_for_them() {
        let crew = Arc::<Crew>::default();
        let (go, gone) = mpsc::channel::<()>();
        let first = crew.ask(move || gone.recv()).expect("a thread");
        let second = crew.ask(|| 2).expect("another thread");
        assert_eq!(second.blocking_recv(), Ok(2));
        drop(go);
        assert!(first.blocking_recv().is_ok());
    }
}
