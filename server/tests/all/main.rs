//! The local server over real sockets, judged by a raw client.

mod common;
mod text;
