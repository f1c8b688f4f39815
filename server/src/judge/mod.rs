//! Conformance: what a server, or a client, does that the protocol does not allow.
//!
//! Written from the protocol's rules and not from the code that keeps them: it shares names, shapes
//! and sockets with the rest, and no state machine.
//!
//! | file | what it does |
//! |---|---|
//! | `rules` | the rules by number, in words |
//! | `server` | watches what a server sends |
//! | `client` | watches what a client sends |
//! | `walk` | asks a server for everything, and looks at what comes |
//! | `steps` | what is asked |
//! | `report` | the result, for people and for programs |

mod client;
mod report;
mod rules;
mod server;
mod steps;
mod walk;
mod watch;

pub use report::{Breach, Capability, Report, Step};
pub use rules::{RULES, Rule};
pub use walk::{CheckServer, check_server};
pub use watch::ClientCheck;
