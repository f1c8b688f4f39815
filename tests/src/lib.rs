//! Everything that needs two crates: simulator, flows, vectors, faces.

pub mod flow;
