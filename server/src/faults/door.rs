//! Faults at the door: what happens to a client before its upgrade is answered.

use std::time::{Duration, Instant};

use super::armed::{Faults, Moment};
use super::{Action, DelayBy};

/// How a client is received at the door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Door {
    /// It waits so long.
    pub(crate) wait: Duration,
    /// What happens to it then.
    pub(crate) turn: DoorTurn,
}

/// What happens to a client at the door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DoorTurn {
    /// It is let in.
    #[default]
    In,
    /// It is sent away.
    Away,
    /// It waits for ever.
    Wait,
    /// It gets this HTTP status.
    Status(u16),
}

impl Faults {
    /// A client connects.
    pub(crate) fn door(&mut self, now: Instant) -> Door {
        let mut door = Door::default();
        for action in self.due(now, Moment::Connect) {
            let wait = match action {
                Action::Delay(DelayBy::Ms(ms)) => ms,
                Action::Delay(DelayBy::Full { ms, jitter_ms }) => {
                    ms.saturating_add(self.dice.at_most(jitter_ms))
                }
                Action::Jitter(most) => self.dice.at_most(most),
                _ => 0,
            };
            door.wait += Duration::from_millis(wait);
            if door.turn == DoorTurn::In {
                door.turn = match action {
                    Action::Hang => DoorTurn::Wait,
                    Action::Drop => DoorTurn::Away,
                    Action::Http(status) => DoorTurn::Status(status),
                    Action::RateLimit => DoorTurn::Status(429),
                    _ => DoorTurn::In,
                };
            }
        }
        door
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, When};
    use super::*;

    #[test]
    fn a_door_waits_and_turns_away() {
        let at = |action| Fault::new(When::connect(), action);
        let now = Instant::now();
        let faults = [at(Action::Delay(DelayBy::Ms(7))), at(Action::RateLimit)];
        let mut faults = Faults::new(&faults, 1, now);
        let door = faults.door(now);
        assert_eq!(door.wait, Duration::from_millis(7));
        assert_eq!(door.turn, DoorTurn::Status(429));
        assert_eq!(faults.door(now), Door::default());
    }
}
