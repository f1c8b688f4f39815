//! Everything that needs two crates: the flows, the stages they are played on, and the simulator.

pub mod chaos;
pub mod flow;
pub mod stage;

mod numbers;

pub use numbers::scaled;

/// The Rust of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
