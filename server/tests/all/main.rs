//! The local server over real sockets, judged by a raw client.

mod audio;
mod cassette;
mod common;
mod control;
mod doors;
mod errors;
mod faults;
mod host;
mod judge;
mod mcp;
mod sessions;
mod stand_in;
mod text;
mod tools;
mod upstream;
mod walk;
mod walk_judge;
