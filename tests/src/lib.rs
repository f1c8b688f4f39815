//! Everything that needs two crates: the flows, the stages they are played on, and the simulator.

pub mod flow;
pub mod stage;

mod numbers;

pub use numbers::scaled;
