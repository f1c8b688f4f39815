//! What became of the links under a call.

use serde::Serialize;
use talkwire_core::event::local::{Local, Lost, Rolled};

/// A loss and what followed it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Recovery {
    #[serde(flatten)]
    rolled: Rolled,
    why: &'static str,
    close_code: Option<u16>,
}

/// The changes of link of a call.
#[derive(Debug, Default)]
pub(crate) struct Links {
    rollovers: Vec<Rolled>,
    recoveries: Vec<Recovery>,
    lost: Option<Lost>,
}

impl Links {
    /// Notes an event; returns what people want to know of it.
    pub(crate) fn seen(&mut self, event: &Local) -> Option<String> {
        match event {
            Local::Rolled(rolled) => {
                self.rollovers.push(rolled.clone());
                Some(format!("goes on over a new session{}", told(rolled)))
            }
            Local::Lost(lost) => {
                self.lost = Some(lost.clone());
                Some(format!("connection lost: {}", lost.message))
            }
            Local::Recovered(rolled) => {
                let lost = self.lost.take().unwrap_or_default();
                self.recoveries.push(Recovery {
                    rolled: rolled.clone(),
                    why: lost.why,
                    close_code: lost.close_code,
                });
                let gap_ms = rolled.gap_ms;
                Some(format!(
                    "goes on after {gap_ms} ms without a connection{}",
                    told(rolled)
                ))
            }
            _ => None,
        }
    }

    /// The planned changes.
    pub(crate) fn rollovers(&self) -> &[Rolled] {
        &self.rollovers
    }

    /// The losses that were made good.
    pub(crate) fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// Captured audio that was never sent, in milliseconds.
    pub(crate) fn lost_ms(&self) -> u64 {
        let recovered = self.recoveries.iter().map(|recovery| &recovery.rolled);
        let all = self.rollovers.iter().chain(recovered);
        all.map(|rolled| rolled.lost_ms).sum()
    }
}

fn told(rolled: &Rolled) -> String {
    match (rolled.items, rolled.lost_ms) {
        (items, 0) => format!(", {items} items told"),
        (items, ms) => format!(", {items} items told, {ms} ms of audio lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_changes_are_counted_apart_and_what_is_lost_together() {
        let mut links = Links::default();
        let rolled = |lost_ms| Rolled {
            lost_ms,
            ..Rolled::default()
        };
        links.seen(&Local::Rolled(rolled(0)));
        links.seen(&Local::Lost(Lost {
            why: "lost",
            ..Lost::default()
        }));
        links.seen(&Local::Recovered(rolled(40)));
        assert_eq!(links.rollovers().len(), 1);
        assert_eq!(links.recoveries()[0].why, "lost");
        assert_eq!(links.lost_ms(), 40);
    }
}
