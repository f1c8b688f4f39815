//! The C library of Talkwire.
//!
//! Translation only: each function here turns C arguments into a call of [`talkwire_core`] and its
//! result into a status. The doc comments are the manual that C programmers read in `talkwire.h`.

// Named as C names them, so that the header and these files can be searched for the same word.
#![allow(non_camel_case_types)]
// The contract of every function stands in the manual at the top of the header.
#![allow(clippy::missing_safety_doc)]

mod guard;
mod handle;
mod text;

pub mod call;
pub mod config;
pub mod end;
pub mod error;
pub mod event;
pub mod event_types;
pub mod flight;
pub mod key;
pub mod log;
pub mod push;
pub mod recorder;
pub mod runtime;
pub mod server;
pub mod session;
pub mod session_commands;
pub mod session_turns;
pub mod stats;
pub mod subscription;
pub mod tool;
pub mod transcript;
pub mod version;
