//! Faults that somebody asks for: what a server may do wrong, at a moment that can be named. The same
//! seed makes the same faults.

mod armed;
mod door;
mod model;

pub(crate) use armed::{Faults, Moment, Verdict};
pub(crate) use door::{Door, DoorTurn};
pub use model::{Action, CloseWith, DelayBy, ErrorWith, Fault, When};
