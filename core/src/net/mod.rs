//! Sockets: TLS and WebSocket dialling, with every failure typed.

pub mod dial;
pub mod endpoint;
pub mod proxy;
pub mod tls;
mod upgrade;
pub mod ws;
