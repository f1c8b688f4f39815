//! What state the machines are in, by names: a change of it is a line of the flight recorder.

use super::Engine;

/// The states that a reader of a flight recorder asks for, each beside what it is the state of.
pub(super) type Posture = [(&'static str, &'static str); 5];

impl Engine {
    pub(super) fn posture(&self) -> Posture {
        let when = |is: bool, yes, no| if is { yes } else { no };
        let responses = &self.responses;
        [
            ("link", self.link.name()),
            ("standby", self.rollover.name()),
            (
                "customer",
                when(self.turns.is_speaking(), "speaking", "quiet"),
            ),
            ("responses", when(responses.is_busy(), "busy", "free")),
            ("barge_in", when(self.barge_in.is_held(), "held", "idle")),
        ]
    }
}

/// The changes, as lines.
pub(super) fn changes(before: &Posture, after: &Posture) -> impl Iterator<Item = String> {
    let changed = before.iter().zip(after).filter(|(old, new)| old != new);
    changed.map(|((what, old), (_, new))| format!("{what}: {old} -> {new}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let before: Posture = [
            ("link", "open"),
            ("a", "x"),
            ("b", "x"),
            ("c", "x"),
            ("d", "x"),
        ];
        let mut after = before;
        assert_eq!(changes(&before, &after).count(), 0);
        after[0].1 = "closed";
        let told: Vec<_> = changes(&before, &after).collect();
        assert_eq!(told, ["link: open -> closed"]);
    }
}
