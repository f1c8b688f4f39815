//! Sockets: TLS and WebSocket dialling, with every failure typed.

pub mod dial;
pub mod endpoint;
pub mod tls;
pub mod ws;
