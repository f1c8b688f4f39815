//! Sockets: TLS, WebSocket dialling and HTTP requests, with every failure typed.

pub mod breaker;
pub mod dial;
pub mod endpoint;
pub mod http;
pub mod proxy;
mod refusal;
pub mod tls;
mod upgrade;
pub mod ws;
