//! The embedded local realtime server.
//!
//! [`LocalServer`] is what programs use. Inside, a [`Peer`] is the server's side of one session: a
//! machine without clock, socket or thread, which a simulator can drive just as well; a [`Plan`]
//! is a checked configuration that judges upgrades and makes peers.

#![forbid(unsafe_code)]

mod answering;
mod backends;
pub mod brain;
mod config;
mod conversation;
mod driver;
pub mod ears;
mod error;
mod exec;
mod faults;
mod hearing;
mod io;
mod items;
mod jobs;
mod local;
mod outbox;
mod pace;
mod part;
mod peer;
mod plan;
mod response;
mod schema;
mod script;
mod session;
mod settings;
mod tls;
mod turn;
mod upgrade;
mod usage;
pub mod voice;

pub use backends::Backends;
pub use config::Config;
pub use faults::{Action, CloseWith, Fault, When};
pub use io::{Clock, Job, JobId, PeerEffect, PeerEffects, PeerInput};
pub use local::LocalServer;
pub use pace::Pacing;
pub use peer::{Peer, Setup};
pub use plan::Plan;
pub use script::Script;
pub use upgrade::{Knock, PATH, Refusal, Rules, Visit};
