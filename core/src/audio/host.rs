//! What a host declares about its side of a media port.

use serde::{Deserialize, Deserializer};

use super::echo::EchoGate;
use super::format::{Format, check_rate};
use crate::error::{Error, Kind, Result};
use crate::json;

/// Whose sound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The human at the other end of the line.
    Customer,
    /// The human who works for the operator of the line, when there is one.
    Agent,
}

/// How the tracks arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracks {
    /// The customer alone.
    #[default]
    Mono,
    /// Interleaved in one push: customer, agent, customer, agent…
    Stereo,
    /// Each by pushes of its own, each from a thread of its own if need be.
    Two,
}

/// What of the tracks goes to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// The customer.
    #[default]
    Customer,
    /// The agent.
    Agent,
    /// The sum of both.
    Mix,
}

/// How a host gives and takes sound. Every number has a default that suits a telephone call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Format of what is pushed. JSON has it as the session does: `{"type":"audio/pcma"}` or
    /// `{"type":"audio/pcm","rate":8000}`; a `rate` of A-law and mu-law may be another than 8000.
    #[serde(deserialize_with = "format")]
    pub uplink: Format,
    /// Format of what is pulled; always mono.
    #[serde(deserialize_with = "format")]
    pub downlink: Format,
    /// How the tracks are pushed.
    pub tracks: Tracks,
    /// What goes to the server.
    pub send: Sent,
    /// Speech that waits in the ring before it begins to sound; a complete part begins at once.
    pub prebuffer_ms: u32,
    /// The same after it ran dry in the middle of a part.
    pub rebuffer_ms: u32,
    /// Length of the ring that is pulled from; at least twice a prebuffer.
    pub ring_ms: u32,
    /// Sound kept from before the session is open; older sound is dropped.
    pub preroll_ms: u32,
    /// After this long without a push, silence is sent by the clock, so that a turn can end.
    pub silence_after_ms: u32,
    /// The most silence that is sent between two pushes.
    pub silence_max_ms: u32,
    /// Speech of the agent that waits to be heard; what comes beyond that is dropped.
    pub queue_max_ms: u64,
    /// How long a pulled sample takes to the listener's ear.
    pub latency_ms: u32,
    /// Whether the host tells by `played` what has arrived at the listener: for hosts that queue what
    /// they pull. Then nothing counts as heard before, and `latency_ms` is of no consequence.
    pub confirm: bool,
    /// How much quieter the agent is while an interruption is considered; `null` pauses it.
    pub hold_db: Option<f32>,
    /// Keeps the agent's echo from being taken for the customer; `null` takes all for the customer.
    pub echo_gate: Option<EchoGate>,
    /// How long a sound takes to become quiet when it is cut or held, and to come back after a hold:
    /// a step would click. A cut is silent within one pull all the same, as no fade outlasts it.
    pub fade_ms: u32,
    /// Noise where a pull has no sound to give, so that the line does not seem dead: its level in
    /// dBFS, -70 to -30; `null` is silence. It is neither counted as sound nor told as heard.
    pub comfort_noise_dbfs: Option<f32>,
    /// How often the session looks at the rings.
    pub tick_ms: u32,
    /// How often when nothing was pushed or played for a second; a push after a pause may wait so
    /// long.
    pub idle_tick_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            uplink: Format::PCM16_24K,
            downlink: Format::PCM16_24K,
            tracks: Tracks::Mono,
            send: Sent::Customer,
            prebuffer_ms: 80,
            rebuffer_ms: 60,
            ring_ms: 250,
            preroll_ms: 5_000,
            silence_after_ms: 60,
            silence_max_ms: 3_000,
            queue_max_ms: 600_000,
            latency_ms: 0,
            confirm: false,
            hold_db: Some(18.0),
            echo_gate: None,
            fade_ms: 5,
            comfort_noise_dbfs: None,
            tick_ms: 20,
            idle_tick_ms: 100,
        }
    }
}

/// The longest of each that makes sense, in ms: a bound for memory.
const RING_MS: u32 = 5_000;
const PREROLL_MS: u32 = 60_000;

impl Options {
    /// Reads options from JSON; absent keys have their defaults, an unknown one is an error that
    /// names it.
    pub fn from_json(text: &str) -> Result<Self> {
        json::object(text).map_err(|e| Error::new(Kind::Config, format!("options of a call: {e}")))
    }

    /// The same format in both directions.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        (self.uplink, self.downlink) = (format, format);
        self
    }

    /// Refuses what cannot work.
    pub(super) fn check(&self) -> Result<()> {
        check_rate(self.uplink.rate_hz())?;
        check_rate(self.downlink.rate_hz())?;
        let buffer = self.prebuffer_ms.max(self.rebuffer_ms);
        let rules = [
            (
                self.ring_ms <= RING_MS && self.ring_ms / 2 >= buffer,
                "ring_ms is at least twice prebuffer_ms and rebuffer_ms, at most 5000",
            ),
            (self.preroll_ms <= PREROLL_MS, "preroll_ms is at most 60000"),
            (
                (5..=100).contains(&self.tick_ms)
                    && (self.tick_ms..=400).contains(&self.idle_tick_ms),
                "tick_ms is 5 to 100, idle_tick_ms no less and at most 400",
            ),
            (
                self.ring_ms >= 2 * self.tick_ms,
                "ring_ms is at least twice tick_ms",
            ),
            (
                self.hold_db.is_none_or(|db| (0.0..=96.0).contains(&db)),
                "hold_db is 0 to 96",
            ),
            (
                self.echo_gate.is_none_or(|gate| {
                    (0.0..=60.0).contains(&gate.erl_db) && gate.tail_ms <= 2_000
                }),
                "erl_db of echo_gate is 0 to 60, its tail_ms at most 2000",
            ),
            (self.fade_ms <= 50, "fade_ms is at most 50"),
            (
                self.comfort_noise_dbfs
                    .is_none_or(|dbfs| (-70.0..=-30.0).contains(&dbfs)),
                "comfort_noise_dbfs is -70 to -30",
            ),
            (
                self.tracks != Tracks::Mono || self.send == Sent::Customer,
                "there is only the track of the customer to send",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, rule)) => Err(Error::new(
                Kind::Config,
                format!("options of a call: {rule}"),
            )),
        }
    }
}

/// A format as the session object writes it.
fn format<'de, D: Deserializer<'de>>(from: D) -> Result<Format, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, expecting = "a JSON object")]
    struct Written {
        r#type: String,
        rate: Option<u32>,
    }
    let Written { r#type, rate } = Written::deserialize(from)?;
    match (r#type.as_str(), rate) {
        ("audio/pcm", rate) => Ok(Format::Pcm16 {
            rate_hz: rate.unwrap_or(24_000),
        }),
        ("audio/pcma", None | Some(8_000)) => Ok(Format::Alaw),
        ("audio/pcmu", None | Some(8_000)) => Ok(Format::Mulaw),
        ("audio/pcma", Some(rate_hz)) => Ok(Format::WideAlaw { rate_hz }),
        ("audio/pcmu", Some(rate_hz)) => Ok(Format::WideMulaw { rate_hz }),
        _ => Err(serde::de::Error::custom(
            "wanted is audio/pcm, audio/pcma or audio/pcmu, with a rate in Hz or its own",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_formats_as_the_session_does() {
        let text = r#"{"uplink": {"type": "audio/pcma"}, "tracks": "two", "send": "mix",
            "downlink": {"type": "audio/pcmu", "rate": 44100}, "hold_db": null}"#;
        let options = Options::from_json(text).expect("reads");
        let expected = Options {
            uplink: Format::Alaw,
            downlink: Format::WideMulaw { rate_hz: 44_100 },
            tracks: Tracks::Two,
            send: Sent::Mix,
            hold_db: None,
            ..Options::default()
        };
        assert_eq!(options, expected);
        options.check().expect("good");
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (text, named) in [
            (r#"{"prebufer_ms": 1}"#, "prebufer_ms"),
            (
                r#"{"uplink": {"type": "audio/pcma", "rate": 96000}}"#,
                "96000 Hz",
            ),
            (r#"{"uplink": {"type": "opus"}}"#, "audio/pcm"),
            (
                r#"{"uplink": {"type": "audio/pcm", "rate": 4000}}"#,
                "4000 Hz",
            ),
            (r#"{"ring_ms": 100}"#, "ring_ms"),
            (r#"{"tick_ms": 1}"#, "tick_ms"),
            (r#"{"hold_db": -3}"#, "hold_db"),
            (r#"{"echo_gate": {"erl_db": 90}}"#, "erl_db"),
            (r#"{"echo_gate": {"tail": 9}}"#, "tail"),
            (r#"{"fade_ms": 60}"#, "fade_ms"),
            (r#"{"comfort_noise_dbfs": -20}"#, "comfort_noise_dbfs"),
            (r#"{"send": "agent"}"#, "customer"),
            (r#"{"preroll_ms": 100000}"#, "preroll_ms"),
        ] {
            let checked = Options::from_json(text).and_then(|o| o.check());
            let error = checked.expect_err(text);
            assert!(error.message().contains(named), "{text}: {error}");
        }
    }
}
