//! Sessions on tape: recorded between any client and any server, and served again.
//!
//! | file | what it does |
//! |---|---|
//! | `tape` | the files: one line for each frame, audio beside them |
//! | `record` | a proxy that tapes what passes |
//! | `replay` | a machine that gives a tape again, and the server that drives it |
//! | `door` | takes upgrades that are answered only after something else was asked |
//! | `host` | threads and a listening socket |

mod door;
mod host;
mod record;
mod replay;
mod tape;

pub use record::{RecordConfig, Recorder};
pub use replay::{Replay, ReplayConfig};
