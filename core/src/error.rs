//! The one error type and the one status table.
//!
//! The C constants (`TW_ERR_*`), their names and the Python exception classes are tested against
//! [`Kind::ALL`], so a number is given once and never used for anything else.

use std::fmt;

/// Who an error or an end of a session is to be blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Who {
    /// The application that uses this library.
    App,
    /// This library.
    Library,
    /// The server at the other end.
    Server,
    /// Whatever lies between us and the server.
    Network,
}

impl Who {
    /// The lower-case name used in every JSON of ours.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Library => "library",
            Self::Server => "server",
            Self::Network => "network",
        }
    }
}

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// The same call may succeed at once or after a short wait.
    Later,
}

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $code:literal, $name:literal, $who:ident, $retry:ident; )+) => {
        /// What went wrong, or why a session ended. The number is the C status code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Kind { $( $(#[doc = $doc])+ $variant = $code, )+ }

        impl Kind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable lower-case name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// One sentence for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),+ }
            }

            const fn who(self) -> Who {
                match self { $(Self::$variant => Who::$who),+ }
            }

            const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry),+ }
            }
        }
    };
}

kinds! {
    /// An argument is missing, out of range or not valid UTF-8.
    Argument = -1, "argument", App, Never;
    /// The session is closed or closing.
    Closed = -2, "closed", App, Never;
    /// The call would wait for itself: a blocking call inside a callback.
    WouldDeadlock = -3, "would_deadlock", App, Never;
    /// The process forked after the library started its threads.
    Forked = -4, "forked", App, Never;
    /// A queue is full; nothing was taken.
    QueueFull = -5, "queue_full", App, Later;
    /// A deadline passed.
    Timeout = -6, "timeout", Network, Later;
    /// The dialect of this endpoint cannot do that.
    Unsupported = -7, "unsupported", App, Never;
    /// The dialect's table knows the value to be wrong; nothing was sent.
    Refused = -8, "refused", App, Never;
    /// A configuration, dialect table or script has an error.
    Config = -9, "config", App, Never;
    /// No connection could be made.
    Unreachable = -10, "unreachable", Network, Later;
    /// The TLS certificate or handshake failed.
    Tls = -11, "tls", Network, Never;
    /// The server answered the WebSocket upgrade with something else.
    Handshake = -12, "handshake", Server, Never;
    /// The credential is missing, wrong or without the needed role.
    Auth = -13, "auth", App, Never;
    /// The endpoint, folder or model does not exist.
    NotFound = -14, "not_found", App, Never;
    /// A quota or rate limit was hit.
    RateLimited = -15, "rate_limited", Server, Later;
    /// The peer broke the protocol.
    Protocol = -16, "protocol", Server, Never;
    /// The server reported an error event.
    Server = -17, "server", Server, Never;
    /// The session reached its maximum duration.
    Expired = -18, "expired", Server, Later;
    /// The connection was lost without a closing handshake.
    Lost = -19, "lost", Network, Later;
    /// The server closed the connection although nobody asked.
    ServerClosed = -20, "server_closed", Server, Later;
    /// The server closed for a reason that will not go away: policy, bad model, withdrawn API.
    Fatal = -21, "fatal", Server, Never;
    /// The server is overloaded or shutting down.
    Overloaded = -22, "overloaded", Server, Later;
    /// Events were not read and the hard bound of the mailbox was reached.
    SlowReader = -23, "slow_reader", App, Never;
    /// The call was cancelled before it had an answer.
    Cancelled = -24, "cancelled", App, Later;
    /// A file could not be read or written.
    Io = -25, "io", App, Never;
    /// A bug in this library; it was contained.
    Panic = -26, "panic", Library, Never;
    /// Two threads called a function that is for one thread at a time; nothing was done.
    Busy = -27, "busy", App, Later;
}

/// An error: what, whose fault, whether a retry can help, and the peer's own words.
///
/// Never holds a credential or audio.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: Kind,
    who: Who,
    retry: Retry,
    message: String,
    provider: Provider,
}

/// What the server itself said, as far as it said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// `error.type` of an error event.
    pub kind: Option<String>,
    /// `error.code` of an error event or of an HTTP error body.
    pub code: Option<String>,
    /// The path of the offending parameter.
    pub param: Option<String>,
    /// The client event that caused it.
    pub event_id: Option<String>,
    /// HTTP status of a refused upgrade.
    pub http_status: Option<u16>,
    /// `Retry-After` of a refused upgrade, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// WebSocket close code.
    pub close_code: Option<u16>,
    /// Body of a refused upgrade, at most 4 KiB.
    pub body: Option<String>,
}

impl Error {
    /// An error of `kind` with a message for people.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            who: kind.who(),
            retry: kind.retry(),
            message: message.into(),
            provider: Provider::default(),
        }))
    }

    /// Attaches what the server said.
    #[must_use]
    pub fn with_provider(mut self, provider: Provider) -> Self {
        self.0.provider = provider;
        self
    }

    /// Blames somebody else than the kind's usual suspect.
    #[must_use]
    pub fn with_who(mut self, who: Who) -> Self {
        self.0.who = who;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whose fault it is.
    pub fn who(&self) -> Who {
        self.0.who
    }

    /// Whether doing the same again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What it is without any words of a server: for records that may be passed on.
    pub(crate) fn outline(&self) -> String {
        let provider = self.provider();
        let mut text = self.kind().name().to_owned();
        if let Some(code) = &provider.code {
            text += &format!(", code {code}");
        }
        if let Some(code) = provider.close_code {
            text += &format!(", closed with {code}");
        }
        if let Some(status) = provider.http_status {
            text += &format!(", HTTP {status}");
        }
        text
    }

    /// Whether the same may succeed later, as far as can be known: a server that is being restarted
    /// answers with any 5xx.
    pub(crate) fn may_pass(&self) -> bool {
        let status = self.provider().http_status;
        self.retry() == Retry::Later || status.is_some_and(|status| status >= 500)
    }

    /// The sentence for people, without the kind.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the server said.
    pub fn provider(&self) -> &Provider {
        &self.0.provider
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self::new(kind, kind.meaning())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.name(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("who", &self.0.who)
            .field("message", &self.0.message)
            .field("provider", &self.0.provider)
            .finish()
    }
}

impl std::error::Error for Error {}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_negative_number_and_name() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(
                *kind as i32,
                -(i as i32) - 1,
                "{} is out of order",
                kind.name()
            );
            assert!(kind.meaning().ends_with('.'));
        }
        let names: std::collections::HashSet<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
