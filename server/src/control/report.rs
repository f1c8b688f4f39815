//! Figures over the sessions that memory holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::journal::{Entry, From, Journal, Summary};

/// How long clients waited, in milliseconds, from their last word to each step of an answer.
#[derive(Debug, Default)]
struct Waits {
    created: Vec<u64>,
    first_text: Vec<u64>,
    first_audio: Vec<u64>,
    done: Vec<u64>,
}

/// The figures of all sessions.
pub(super) fn report(journal: &Journal) -> Value {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut errors, mut faults) = (Vec::new(), 0_u64);
    let mut waits = Waits::default();
    let mut sessions = Vec::new();
    for summary in journal.sessions() {
        let entries = journal.entries(summary.number, 0).unwrap_or_default();
        for entry in &entries {
            let key = format!("{} {}", entry.from.name(), entry.name);
            *counts.entry(key).or_default() += 1;
            match (entry.from, entry.name.as_str()) {
                (From::Server, "error") => errors.push(error(summary.number, entry)),
                (From::Journal, "fault") => faults += 1,
                _ => {}
            }
        }
        waits.measure(&entries);
        sessions.push(describe(&summary));
    }
    json!({
        "sessions": sessions,
        "events": counts,
        "errors": errors,
        "faults": faults,
        "refused_upgrades": journal.refusals(),
        "waits_ms": waits.to_json(),
    })
}

/// One session, as lists show it.
pub(super) fn describe(summary: &Summary) -> Value {
    json!({
        "session": summary.number,
        "opened_unix_ms": summary.opened_unix_ms,
        "model": summary.model,
        "entries": summary.entries,
        "first": summary.first,
        "running": summary.ended.is_none(),
        "ended": summary.ended,
    })
}

fn error(session: u64, entry: &Entry) -> Value {
    let event: Value = serde_json::from_str(&entry.event).unwrap_or_default();
    json!({"session": session, "t_ms": entry.t_ms, "error": event["error"]})
}

impl Waits {
    fn measure(&mut self, entries: &[Entry]) {
        let mut asked = None;
        let (mut has_text, mut has_audio) = (true, true);
        for entry in entries {
            let wait = asked.map(|asked| entry.t_ms.saturating_sub(asked));
            match entry.name.as_str() {
                "response.create" | "input_audio_buffer.speech_stopped" => asked = Some(entry.t_ms),
                "response.created" => {
                    self.created.extend(wait);
                    (has_text, has_audio) = (false, false);
                }
                "response.done" => {
                    self.done.extend(wait);
                    asked = None;
                }
                name if name.ends_with("text.delta") || name.ends_with("transcript.delta") => {
                    self.first_text.extend(wait.filter(|_| !has_text));
                    has_text = true;
                }
                name if name.ends_with("audio.delta") => {
                    self.first_audio.extend(wait.filter(|_| !has_audio));
                    has_audio = true;
                }
                _ => {}
            }
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "to_created": spread(&self.created),
            "to_first_text": spread(&self.first_text),
            "to_first_audio": spread(&self.first_audio),
            "to_done": spread(&self.done),
        })
    }
}

fn spread(waits: &[u64]) -> Value {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let last = sorted.len().checked_sub(1)?;
        Some(sorted[last * percent / 100])
    };
    json!({"count": sorted.len(), "p50": at(50), "p95": at(95), "max": at(100)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_counted_from_the_last_word_to_the_first_piece() {
        let entry = |(t_ms, name): &(u64, &str)| Entry {
            t_ms: *t_ms,
            from: From::Server,
            name: (*name).to_owned(),
            event: "{}".to_owned(),
        };
        let told = [
            (100, "response.create"),
            (110, "response.created"),
            (150, "response.output_audio_transcript.delta"),
            (160, "response.output_audio.delta"),
            (190, "response.output_audio.delta"),
            (300, "response.done"),
            (400, "response.created"),
        ];
        let entries: Vec<_> = told.iter().map(entry).collect();
        let mut waits = Waits::default();
        waits.measure(&entries);
        let json = waits.to_json();
        for (step, wait) in [
            ("to_created", 10),
            ("to_first_text", 50),
            ("to_first_audio", 60),
            ("to_done", 200),
        ] {
            assert_eq!(json[step]["max"], wait, "{json}");
            assert_eq!(json[step]["count"], 1, "{json}");
        }
    }
}
