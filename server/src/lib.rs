//! The embedded local realtime server.
