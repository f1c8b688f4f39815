//! Events against expectations: a state machine without backtracking.
//!
//! ```text
//!            push(unit)                 take(event)
//!   cues ---------------> [ window ] <--------------- events of one stream
//!                           oldest: optional and repeated units that may still take events
//!                           newest: the unit the runner waits for
//! ```
//! An event goes to the newest unit of the window that can take it; this closes all units before
//! it. What the window cannot take goes to the `~` lines, then to the pending lines, and is
//! unexpected otherwise. The first line that fits wins, so the same events give the same result.
//! Newest first, because an optional line must not take the event a required one waits for.

use serde_json::Value;

use super::ast::{Expect, Stream};
use super::expand::Cue;
use super::names::is_strict;
use super::value::Bindings;

/// Expectations that are open on one stream.
#[derive(Debug)]
pub struct Matcher {
    stream: Stream,
    window: Vec<Unit>,
    floats: Vec<Open>,
    pending: Vec<Open>,
}

#[derive(Debug)]
struct Unit {
    members: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    expect: Expect,
    cue: Cue,
    count: usize,
}

/// What became of an event.
#[derive(Debug)]
pub enum Fit {
    /// A line took it.
    Taken,
    /// It is none of the flow's business.
    Ignored,
    /// No line may take it; the reason names the nearest one.
    Unexpected(String),
    /// Only this pending line fits, which therefore must not be pending any more.
    Premature(Box<Cue>),
}

impl Matcher {
    /// Nothing is expected yet.
    pub const fn new(stream: Stream) -> Self {
        Self {
            stream,
            window: Vec::new(),
            floats: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Opens the lines of a cue.
    pub fn push(&mut self, expects: &[Expect], cue: &Cue) {
        let open = |expect: &Expect| Open {
            expect: expect.clone(),
            cue: cue.clone(),
            count: 0,
        };
        let members = expects.iter().map(open);
        if cue.pending.is_some() {
            self.pending.extend(members);
        } else if expects.iter().all(|expect| expect.float) {
            self.floats.extend(members);
        } else {
            self.window.push(Unit {
                members: members.collect(),
            });
        }
    }

    /// Whether a line at this point has not been satisfied.
    pub fn is_waiting(&self) -> bool {
        self.window.last().is_some_and(Unit::is_waiting)
    }

    /// The first `~` line that has not been satisfied.
    pub fn owed(&self) -> Option<&Cue> {
        self.floats
            .iter()
            .find(|open| open.is_owed())
            .map(|open| &open.cue)
    }

    /// Offers an event to the window alone; whether a line took it.
    pub fn take_early(&mut self, event: &Value, bindings: &mut Bindings) -> bool {
        let name = name_of(event);
        let stream = self.stream;
        let mut near = None;
        let mut offer = |open: &mut Open| open.take(stream, name, event, bindings, &mut near);
        self.offer_window(&mut offer)
    }

    fn offer_window(&mut self, offer: &mut dyn FnMut(&mut Open) -> bool) -> bool {
        let hit = self
            .window
            .iter_mut()
            .rposition(|unit| unit.members.iter_mut().any(&mut *offer));
        if let Some(unit) = hit {
            self.window.drain(..unit);
        }
        hit.is_some()
    }

    /// Offers the next event of the stream.
    pub fn take(&mut self, event: &Value, bindings: &mut Bindings) -> Fit {
        let name = name_of(event);
        let stream = self.stream;
        let mut near = None;
        let mut offer = |open: &mut Open| open.take(stream, name, event, bindings, &mut near);
        if self.offer_window(&mut offer) {
            return Fit::Taken;
        }
        if self.floats.iter_mut().any(&mut offer) {
            return Fit::Taken;
        }
        if let Some(open) = self
            .pending
            .iter_mut()
            .find_map(|open| offer(open).then_some(open))
        {
            return Fit::Premature(Box::new(open.cue.clone()));
        }
        if !is_strict(name) {
            return Fit::Ignored;
        }
        Fit::Unexpected(near.unwrap_or_else(|| "no open line names this event".into()))
    }
}

fn name_of(event: &Value) -> &str {
    event
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl Unit {
    fn is_waiting(&self) -> bool {
        self.members.iter().any(Open::is_owed)
    }
}

impl Open {
    fn is_owed(&self) -> bool {
        self.count == 0 && self.expect.is_required()
    }

    fn take(
        &mut self,
        stream: Stream,
        name: &str,
        event: &Value,
        bindings: &mut Bindings,
        near: &mut Option<String>,
    ) -> bool {
        if !self.expect.names_event(stream, name) {
            return false;
        }
        if self.count > 0 && !self.expect.is_repeated() {
            near.get_or_insert_with(|| format!("{} took one already", self.cue.place));
            return false;
        }
        match bindings.take(&self.expect.pattern, event) {
            Ok(()) => {
                self.count += 1;
                true
            }
            Err(mismatch) => {
                *near = Some(format!("{} does not fit: {mismatch}", self.cue.place));
                false
            }
        }
    }
}
