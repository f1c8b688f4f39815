//! The native module of the Python package: translation only.
//!
//! No thread of this library ever attaches to the interpreter. A session has a descriptor that is
//! readable while events wait; the event loop polls it and takes the events in batches, on its own
//! thread. So an await that is cancelled loses nothing, and the interpreter may exit at any time.
//!
//! Everything here is private to the package; the names that users see are in
//! `python/talkwire`.

mod alive;
mod brain;
mod call;
mod cli;
mod client;
mod error;
mod event;
mod key;
mod log;
mod reader;
mod recorder;
mod server;
mod session;
mod subscription;

use pyo3::prelude::*;

/// Version of the library.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The native module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::alive::alive;
    #[pymodule_export]
    use super::brain::Brain;
    #[pymodule_export]
    use super::call::Call;
    #[pymodule_export]
    use super::cli::Command;
    #[pymodule_export]
    use super::client::{Client, shutdown};
    #[pymodule_export]
    use super::error::kinds;
    #[pymodule_export]
    use super::event::{Event, Made};
    #[pymodule_export]
    use super::key::Keys;
    #[pymodule_export]
    use super::log::{Log, log};
    #[pymodule_export]
    use super::reader::Reader;
    #[pymodule_export]
    use super::recorder::Recorder;
    #[pymodule_export]
    use super::server::LocalServer;
    #[pymodule_export]
    use super::session::{Session, Waiting};
    #[pymodule_export]
    use super::subscription::Subscription;
    #[pymodule_export]
    use super::version;
}
