//! A realtime server in this process, for tests and demonstrations.
