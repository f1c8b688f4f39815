//! Sockets: TLS and WebSocket dialling, with every failure typed.

pub mod endpoint;
pub mod tls;
pub mod ws;
