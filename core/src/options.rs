//! Options of a session, typed, with a JSON escape hatch.

pub mod barge_in;
pub mod rollover;
pub mod tool;

use std::fmt;

use serde::Deserialize;

use crate::dialect::check::{Check, Waived};
use crate::error::{Error, Kind, Result};
use crate::event::Topics;
use crate::json;
use crate::wire::Session;

/// How a session is opened and kept. Every number has a default that suits a telephone call.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Model; a short name is completed by `folder` where the dialect builds full names.
    pub model: Option<String>,
    /// Folder that a short model name belongs to.
    pub folder: Option<String>,
    /// First patch of the session, sent right after the server's greeting; empty sends none.
    pub session: Session,
    /// Extra query parameters of the URL.
    pub query: Vec<(String, String)>,
    /// Extra headers of the upgrade request.
    pub headers: Vec<(String, String)>,
    /// Names of checks to switch off.
    pub waive: Vec<String>,
    /// URL of a proxy, `http://`, `https://` or `socks5://`, user and password allowed; empty goes
    /// straight. Absent asks the environment: `HTTPS_PROXY` (for `wss://`), `HTTP_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY`.
    pub proxy: Option<String>,
    /// PEM certificates to trust, and no other ones.
    pub only_ca: Option<String>,
    /// PEM certificate chain to show to servers that ask, with `client_key`.
    pub client_cert: Option<String>,
    /// PEM key of `client_cert`.
    pub client_key: Option<String>,
    /// Tools that the model may call and the application runs, beside those of `session`.
    pub tools: Vec<tool::Tool>,
    /// How the customer interrupts the agent, where a listener is known.
    pub barge_in: barge_in::BargeIn,
    /// The planned change to a new link before the server's session is too old.
    pub rollover: rollover::Rollover,
    /// What follows the loss of a link.
    pub recovery: rollover::Recovery,
    /// What becomes of a wish for a response while another one runs.
    pub when_busy: WhenBusy,
    /// Longest wait of such a wish.
    pub wish_timeout_ms: u64,
    /// Silence of the customer, from the end of an answer as it is heard, after which it is told and
    /// the agent asks whether they are there; 0 is never. `idle_timeout_ms` of the session's turn
    /// detection comes before it.
    pub customer_silence_ms: u64,
    /// Time from the beginning of a response to its first piece, after which it is told and the
    /// response cancelled; 0 is never.
    pub agent_silence_ms: u64,
    /// Time for name resolution, proxy, TCP and TLS.
    pub connect_timeout_ms: u64,
    /// Time for the WebSocket upgrade.
    pub handshake_timeout_ms: u64,
    /// Time for the server's `session.created`.
    pub greeting_timeout_ms: u64,
    /// Time for the answer to a command that has one.
    pub reply_timeout_ms: u64,
    /// Silence of the server after which it is asked for a sign of life, where the dialect's servers
    /// answer that; 0 is never.
    pub ping_ms: u64,
    /// Time for any sign of life after that; then the connection is lost.
    pub pong_timeout_ms: u64,
    /// Time for the closing handshake.
    pub close_timeout_ms: u64,
    /// Audio kept before the session is open or while the network is slow; older audio is dropped.
    pub uplink_max_ms: u64,
    /// What the session's own reader is told of: `audio`, `transcript`, `control` by default, and
    /// `raw`. What is left out costs nothing here; subscriptions have topics of their own. Without
    /// `control`, errors are told to subscriptions only, and the end to everybody.
    pub topics: Topics,
    /// Events kept unread before text is joined and audio dropped.
    pub mailbox_bytes: usize,
    /// Unread events, audio apart, at which the session ends with `slow_reader`.
    pub mailbox_events: usize,
    /// Steps that the flight recorder keeps: names, ids, sizes and codes of what was sent, received and
    /// decided, without what anybody said; 0 keeps none.
    pub flight_lines: usize,
    /// Directory where the flight recorder is written down when the session ends in a way that nobody
    /// asked for: `talkwire-ID.jsonl`. None by default.
    pub flight_dir: Option<String>,
    /// Seed of identifiers; the same seed gives the same ones. Absent means random.
    pub seed: Option<u64>,
}

/// What becomes of a wish for a response while the conversation has one that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenBusy {
    /// It waits for its turn.
    Queue,
    /// It waits, and wishes for the same get one response together.
    #[default]
    Merge,
    /// What runs is cancelled, what waits is dropped, and it comes next.
    Replace,
    /// It is refused.
    Refuse,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model: None,
            folder: None,
            session: Session::new(),
            query: Vec::new(),
            headers: Vec::new(),
            waive: Vec::new(),
            proxy: None,
            only_ca: None,
            client_cert: None,
            client_key: None,
            tools: Vec::new(),
            barge_in: barge_in::BargeIn::default(),
            rollover: rollover::Rollover::default(),
            recovery: rollover::Recovery::default(),
            when_busy: WhenBusy::Merge,
            wish_timeout_ms: 60_000,
            customer_silence_ms: 0,
            agent_silence_ms: 20_000,
            connect_timeout_ms: 10_000,
            handshake_timeout_ms: 10_000,
            greeting_timeout_ms: 10_000,
            reply_timeout_ms: 10_000,
            ping_ms: 15_000,
            pong_timeout_ms: 10_000,
            close_timeout_ms: 3_000,
            uplink_max_ms: 30_000,
            topics: Topics::USUAL,
            mailbox_bytes: 8 << 20,
            mailbox_events: 20_000,
            flight_lines: 500,
            flight_dir: None,
            seed: None,
        }
    }
}

impl Options {
    /// Reads options from JSON. An unknown key is an error that names it.
    pub fn from_json(text: &str) -> Result<Self> {
        json::object(text).map_err(|e| {
            let said = e.to_string();
            // Of a wrong value serde repeats the value, which may be a credential.
            let what = match said.strip_prefix("unknown field") {
                Some(_) => said,
                // Ours, and of the whole.
                None if e.line() == 0 => said,
                None => format!(
                    "a value is wrong at line {} column {}",
                    e.line(),
                    e.column()
                ),
            };
            Error::new(Kind::Config, format!("options: {what}"))
        })
    }

    /// The checks that are switched off.
    pub(crate) fn waived(&self) -> Result<Waived> {
        let named = |name: &String| {
            let known = || {
                Check::ALL
                    .iter()
                    .map(|c| c.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            Check::named(name).ok_or_else(|| {
                Error::new(
                    Kind::Config,
                    format!("no check is named `{name}`: there are {}", known()),
                )
            })
        };
        self.waive
            .iter()
            .map(named)
            .collect::<Result<Vec<_>>>()
            .map(Waived::new)
    }
}

/// Names of headers and parameters only: their values may be credentials.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        f.debug_struct("Options")
            .field("model", &self.model)
            .field("query", &names(&self.query))
            .field("headers", &names(&self.headers))
            .field("waive", &self.waive)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_in_the_options_is_never_printed() {
        let options = Options {
            headers: vec![("authorization".to_owned(), "Bearer SECRET".to_owned())],
            query: vec![("api-key".to_owned(), "SECRET".to_owned())],
            ..Options::default()
        };
        assert!(!format!("{options:?}").contains("SECRET"));
        let json = r#"{"headers": ["authorization: Bearer SECRET"]}"#;
        let error = Options::from_json(json).expect_err("not a pair");
        assert!(!error.message().contains("SECRET"), "{error}");
    }

    #[test]
    fn an_unknown_key_or_check_is_named() {
        let error = Options::from_json(r#"{"modle": "x"}"#).expect_err("unknown");
        assert!(error.message().contains("modle"), "{error}");
        let options = Options::from_json(r#"{"waive": ["rolle"]}"#).expect("reads");
        assert!(
            options
                .waived()
                .expect_err("unknown")
                .message()
                .contains("rolle")
        );
    }
}
