//! Everything that needs two crates: the flows, the stages they are played on, and the simulator.

pub mod chaos;
pub mod flow;
pub mod fuzz;
pub mod matrix;
pub mod stage;

mod numbers;

pub use numbers::scaled;

/// The Rust of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Options of a session that ends with its first link: it neither rolls over nor recovers.
pub fn one_link() -> talkwire_core::Options {
    let mut options = talkwire_core::Options::default();
    options.rollover.enabled = false;
    options.recovery.budget_ms = 0;
    options
}
