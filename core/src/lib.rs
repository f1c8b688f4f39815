//! Realtime voice agents: protocol, audio framing and session engine.
//!
//! Six words carry the design: **wire** (vocabulary), **dialect** (data tables), **machine** (pure
//! state plus `now`), **driver** (the only I/O), **mailbox** (events to applications) and **ring**
//! (audio to and from media threads).

pub mod audio;
pub mod dialect;
pub mod engine;
pub mod error;
pub mod event;
pub mod options;
pub mod wire;
