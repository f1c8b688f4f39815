//! All invariants of the engine as one function, called after each step in tests and debug builds.

use super::Engine;

impl Engine {
    /// Panics when an invariant does not hold. The numbers are those of ARCHITECTURE.md.
    pub fn check(&self) {
        if self.link.is_closed() && !self.rollover.is_recovering() {
            assert!(self.ended, "I1: a closed link has ended its session");
            assert_eq!(
                self.requests.len(),
                0,
                "I7: no ticket is left without a reply"
            );
            assert!(self.held.is_empty(), "I7: nothing is held after the end");
            assert_eq!(self.deadline(), None, "I8: nothing is armed after the end");
        }
        self.rollover.check();
        self.turns.check();
        self.responses.check();
        self.playout.check();
        self.tools.check();
        self.history.check();
    }
}
