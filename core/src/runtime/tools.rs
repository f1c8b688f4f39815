//! Tools that this process runs: one task a call, beside the session, which keeps flowing.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::task::{AbortHandle, Id, JoinSet};

use super::crew::Crew;
use crate::event::Event;
use crate::event::local::{Local, ToolCall};

/// What a tool gives: output for the model, or an error that it is told.
pub(crate) type Output = Result<String, String>;

/// The run of a tool.
pub(crate) type Run = Pin<Box<dyn Future<Output = Output> + Send>>;

/// How to run a tool.
pub(crate) type Runner = Arc<dyn Fn(ToolCall) -> Run + Send + Sync>;

/// Runs a function that may block on a thread of its own.
pub(crate) fn blocking<F>(crew: Arc<Crew>, run: F) -> Runner
where
    F: Fn(ToolCall) -> Output + Send + Sync + 'static,
{
    let run = Arc::new(run);
    Arc::new(move |call| {
        let run = run.clone();
        let asked = crew.ask(move || run(call));
        Box::pin(async move {
            let output = asked.map_err(|error| error.message().to_owned())?.await;
            output.map_err(|_| "the tool failed".to_owned())?
        })
    })
}

/// The tools of a session and those of them that run.
#[derive(Default)]
pub(super) struct Tools {
    runners: HashMap<String, Runner>,
    tasks: JoinSet<Output>,
    calls: HashMap<Id, (String, AbortHandle)>,
}

impl Tools {
    /// Knows how to run a tool from now on.
    pub(super) fn register(&mut self, name: String, runner: Runner) {
        self.runners.insert(name, runner);
    }

    /// Starts what an event calls, and stops what nobody waits for.
    pub(super) fn seen(&mut self, event: &Event) {
        match event.own() {
            Some(Local::ToolCall(call)) => self.start(call),
            Some(Local::ToolCancelled(told)) => {
                let is_it = |(call_id, _): &&(String, AbortHandle)| *call_id == told.call_id;
                if let Some((_, task)) = self.calls.values().find(is_it) {
                    task.abort();
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, call: &ToolCall) {
        if let Some(runner) = self.runners.get(&call.name) {
            let task = self.tasks.spawn(runner(call.clone()));
            self.calls.insert(task.id(), (call.call_id.clone(), task));
        }
    }

    /// The next result, with its call. Pending while no tool runs; losing the future loses nothing.
    pub(super) async fn next(&mut self) -> (String, Output) {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (id, output) = match ended {
                Ok((id, output)) => (id, output),
                // A panic of a tool is told to the model and stays there.
                Err(error) => (error.id(), Err("the tool failed".to_owned())),
            };
            if let Some((call_id, _)) = self.calls.remove(&id) {
                return (call_id, output);
            }
        }
    }
}
