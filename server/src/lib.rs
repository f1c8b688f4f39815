//! The embedded local realtime server.
//!
//! [`LocalServer`] is what programs use. Inside, a [`Peer`] is the server's side of one session: a
//! machine without clock, socket or thread, which a simulator can drive just as well; a [`Plan`]
//! is a checked configuration that judges upgrades and makes peers.
//!
//! The format of scripts is described in `server/SCRIPT.md`.
//!
//! # Driving a peer without a socket
//!
//! ```
//! use std::time::Instant;
//! use talkwire_server::{Clock, Config, Knock, PeerEffect, PeerEffects, PeerInput, Plan};
//!
//! let plan = Plan::new(&Config::new()).unwrap();
//! let knock = Knock::new("ws://server/v1/realtime", Vec::new());
//! let visit = plan.rules().judge(&knock, 0).expect("let in");
//! let mut now = Instant::now();
//! let clock = Clock { at: now, unix_s: 1_800_000_000 };
//! let mut peer = plan.peer(now, clock, visit, 0);
//! let mut effects = PeerEffects::new();
//! let mut sent = Vec::new();
//! peer.handle(now, PeerInput::Open, &mut effects);
//! let create = r#"{"type":"response.create"}"#.to_owned();
//! peer.handle(now, PeerInput::Frame(create), &mut effects);
//! while !sent.iter().any(|frame: &String| frame.contains("response.done")) {
//!     for effect in effects.drain() {
//!         match effect {
//!             PeerEffect::Send(frame) => sent.push(frame),
//!             other => panic!("{other:?}"),
//!         }
//!     }
//!     // A deadline in the past means "at once": time never goes back.
//!     now = now.max(peer.deadline().expect("it has not ended"));
//!     peer.handle(now, PeerInput::Timeout, &mut effects);
//! }
//! ```

#![deny(unsafe_code)]

mod answering;
mod backends;
pub mod brain;
mod caps;
pub mod cassette;
mod clause;
mod config;
mod context;
mod control;
mod conversation;
mod detector;
mod doorway;
mod driver;
pub mod ears;
mod emulate;
mod error;
mod exec;
mod faults;
mod flow;
mod flowing;
mod hearing;
mod host;
mod idle;
mod initial;
mod io;
mod item_rules;
mod items;
mod jobs;
mod journal;
pub mod judge;
mod local;
mod mcp;
mod outbox;
mod pace;
mod part;
mod pause;
mod peer;
mod plan;
mod question;
mod quota;
mod redact;
mod response;
mod scan;
mod schema;
mod script;
mod session;
mod settings;
mod sse;
mod time;
mod tls;
mod turn;
mod upgrade;
mod upstream;
mod usage;
pub mod voice;

pub use backends::Backends;
pub use config::Config;
pub use emulate::Emulated;
pub use faults::{Action, CloseWith, DelayBy, ErrorWith, Fault, When};
pub use host::{Host, HostJob, HostQuestion};
pub use io::{Clock, HttpJob, Job, JobId, PeerEffect, PeerEffects, PeerInput};
pub use journal::{Entry, From, Journal, Summary};
pub use local::LocalServer;
pub use mcp::{McpServer, McpServers};
pub use pace::Pacing;
pub use peer::{Peer, Setup};
pub use plan::Plan;
pub use script::Script;
pub use upgrade::{Knock, PATH, Refusal, Rules, Visit};
pub use upstream::Upstream;
