//! The script of a server: what its ears hear, what its brain answers, what goes wrong. Read from
//! YAML; the format is described in `server/SCRIPT.md`.

mod model;
mod pattern;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_saphyr::{Location, Spanned};
use talkwire_core::audio::wav::Wav;
use talkwire_core::error::{Error, Kind, Result};

use crate::backends::Told;
use crate::brain::{Act, Clip, Step};
use crate::ears::Heard;
use crate::emulate::Emulated;
use crate::faults::Fault;
use crate::mcp::{McpCall, McpServer, McpServers};
use crate::pace::Pacing;
use model::{
    EarsKey, FaultsKey, HeardLine, RawMcpCall, RawMcpServer, RawScript, RawStep, RawTurn, Say,
    WhenTurn,
};
pub(crate) use pattern::Pattern;

/// A checked script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(crate) turns: Arc<Vec<Turn>>,
    pub(crate) hears: Vec<Heard>,
    pub(crate) recordings: Vec<(String, Arc<Clip>)>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) emulate: Vec<Emulated>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) pacing: Option<Pacing>,
    pub(crate) think: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) brain: Option<Told>,
    pub(crate) ears: Option<Told>,
    pub(crate) voice: Option<Told>,
    pub(crate) mcp: McpServers,
    /// The files that it names are relative to this directory.
    pub(crate) base: PathBuf,
}

/// One rule of the brain: when, and what then.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) when: When,
    pub(crate) steps: Vec<Step>,
    /// How often it may be used.
    pub(crate) times: Option<u32>,
}

/// Conditions; all that are given must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct When {
    pub(crate) user: Option<Pattern>,
    pub(crate) audio: Option<bool>,
    pub(crate) tool: Option<Pattern>,
    pub(crate) output: Option<Pattern>,
    pub(crate) turn: Option<u32>,
    pub(crate) start: Option<bool>,
}

impl Script {
    /// Reads a file; its WAV files are relative to it. Errors name file, line and what was expected.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let message = format!("cannot read the script {}: {e}", path.display());
            Error::new(Kind::Config, message)
        })?;
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        Self::parse(&text, path, base)
    }

    /// Reads a text. `name` stands for the file in errors; WAV files are relative to `base`.
    pub fn parse(text: &str, name: &Path, base: &Path) -> Result<Self> {
        let source = Source { name, base };
        // A file of comments, or an empty one, is a script that says nothing.
        let raw: Option<RawScript> = source.parse(text)?;
        source.check(raw.unwrap_or_default())
    }
}

/// Where a script comes from.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    name: &'a Path,
    base: &'a Path,
}

impl Source<'_> {
    fn parse<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location().unwrap_or(Location::UNKNOWN);
            let text = error.without_snippet().to_string();
            self.error(place, first_line(&text))
        })
    }

    fn error(&self, place: Location, message: &str) -> Error {
        let name = self.name.display();
        let message = match place.line() {
            0 => format!("{name}: {message}"),
            line => format!("{name}:{line}:{}: {message}", place.column()),
        };
        Error::new(Kind::Config, message)
    }

    fn check(&self, raw: RawScript) -> Result<Script> {
        let (ears, hears) = match raw.ears {
            None => (None, Vec::new()),
            Some(EarsKey::Told(told)) => (Some(told), Vec::new()),
            Some(EarsKey::Lines(lines)) => {
                let hears = lines.into_iter().map(heard).collect();
                (Some(Told::Name("script".to_owned())), hears)
            }
        };
        let turns: Result<Vec<Turn>> = raw.turns.into_iter().map(|t| self.turn(t)).collect();
        let recordings: Result<Vec<_>> = raw
            .lines
            .into_iter()
            .map(|(text, wav)| Ok((text, self.clip(&wav)?)))
            .collect();
        let faults: Result<Vec<_>> = raw.faults.into_iter().map(|f| self.fault(f)).collect();
        let turns = turns?;
        Ok(Script {
            mcp: mcp_servers(raw.mcp, &turns),
            turns: Arc::new(turns),
            hears,
            recordings: recordings?,
            faults: faults?,
            emulate: raw.emulate,
            models: raw.models,
            pacing: raw.pacing,
            think: raw.think_ms.map(Duration::from_millis),
            lifetime: raw.lifetime_ms.map(Duration::from_millis),
            brain: raw.brain.map(|key| key.0),
            ears,
            voice: raw.voice.map(|key| key.0),
            base: self.base.to_owned(),
        })
    }

    fn turn(&self, raw: Spanned<RawTurn>) -> Result<Turn> {
        let place = raw.referenced;
        let raw = raw.value;
        let mut steps = Vec::new();
        let own = RawStep {
            after_ms: raw.after_ms,
            say: raw.say,
            call: raw.call,
            server_tool: raw.server_tool,
            mcp_call: raw.mcp_call,
            fail: raw.fail,
        };
        if own.is_empty() == raw.steps.is_empty() {
            let message =
                "expected `say`, `call`, `server_tool`, `mcp_call` or `fail`, or a list of `steps`";
            return Err(self.error(place, message));
        }
        for step in [own].into_iter().chain(raw.steps) {
            self.step(step, &mut steps)?;
        }
        Ok(Turn {
            when: self.when(raw.when)?,
            steps,
            times: raw.times,
        })
    }

    /// What the server runs comes before what is said, and what is called after it.
    fn step(&self, raw: RawStep, steps: &mut Vec<Step>) -> Result<()> {
        let mut acts = Vec::new();
        acts.extend(raw.server_tool.into_iter().map(|call| Act::ServerCall {
            name: call.name,
            arguments: arguments(call.arguments),
        }));
        if let Some(say) = raw.say {
            let (text, clip) = match say {
                Say::Text(text) => (text, None),
                Say::Full { text, wav } => (text, Some(self.clip(&wav)?)),
            };
            acts.push(Act::Say { text, clip });
        }
        acts.extend(raw.call.into_iter().map(|call| Act::Call {
            name: call.name,
            arguments: arguments(call.arguments),
        }));
        acts.extend(
            raw.mcp_call
                .into_iter()
                .map(|call| Act::Mcp(mcp_call(call))),
        );
        acts.extend(raw.fail.map(|fail| Act::Fail {
            code: fail.code,
            message: fail.message,
        }));
        let mut after_ms = raw.after_ms;
        for act in acts {
            steps.push(Step { after_ms, act });
            after_ms = 0;
        }
        Ok(())
    }

    fn when(&self, raw: WhenTurn) -> Result<When> {
        Ok(When {
            user: self.pattern(raw.user)?,
            audio: raw.audio.map(|any| any.0),
            tool: self.pattern(raw.tool)?,
            output: self.pattern(raw.output)?,
            turn: raw.turn,
            start: raw.start,
        })
    }

    fn pattern(&self, raw: Option<Spanned<String>>) -> Result<Option<Pattern>> {
        let Some(raw) = raw else {
            return Ok(None);
        };
        let pattern = Pattern::new(&raw.value);
        pattern
            .map(Some)
            .map_err(|message| self.error(raw.referenced, &message))
    }

    fn clip(&self, wav: &Spanned<String>) -> Result<Arc<Clip>> {
        let path = self.base.join(&wav.value);
        let read = Wav::read(&path).map_err(|e| self.error(wav.referenced, e.message()))?;
        Ok(Arc::new(Clip {
            rate_hz: read.rate_hz,
            samples: read.to_mono(),
        }))
    }

    fn fault(&self, raw: Spanned<Fault>) -> Result<Fault> {
        let checked = raw.value.check();
        checked.map_err(|why| self.error(raw.referenced, &why))?;
        Ok(raw.value)
    }
}

/// Reads a file of faults: a list of them, or a map with the key `faults`.
pub(crate) fn read_faults(path: &Path) -> Result<Vec<Fault>> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let message = format!("cannot read the faults {}: {e}", path.display());
        Error::new(Kind::Config, message)
    })?;
    let base = path.parent().unwrap_or_else(|| Path::new("."));
    let source = Source { name: path, base };
    let raw: FaultsKey = source.parse(&text)?;
    raw.0.into_iter().map(|fault| source.fault(fault)).collect()
}

/// Arguments of a call as JSON text; a text of the script is sent as it is.
fn arguments(raw: Option<serde_json::Value>) -> String {
    match raw {
        None => "{}".to_owned(),
        Some(serde_json::Value::String(text)) => text,
        Some(value) => value.to_string(),
    }
}

fn mcp_call(raw: RawMcpCall) -> McpCall {
    let output = match raw.output {
        None => "ok".to_owned(),
        output => arguments(output),
    };
    McpCall {
        server: raw.server,
        name: raw.name,
        arguments: arguments(raw.arguments),
        outcome: raw.error.map_or(Ok(output), Err),
    }
}

/// What is said of the servers, and of each the tools that the turns call all the same.
fn mcp_servers(raw: BTreeMap<String, RawMcpServer>, turns: &[Turn]) -> McpServers {
    let any = || serde_json::json!({"type": "object"});
    let tool = |tool: model::RawMcpTool| {
        let schema = tool.input_schema.unwrap_or_else(any);
        serde_json::json!({"name": tool.name, "description": tool.description,
            "input_schema": schema, "annotations": null})
    };
    let server = |raw: RawMcpServer| McpServer {
        tools: raw.tools.into_iter().map(tool).collect(),
        fail: raw.fail,
    };
    let named = raw.into_iter().map(|(label, raw)| (label, server(raw)));
    let mut servers: McpServers = named.collect();
    for step in turns.iter().flat_map(|turn| &turn.steps) {
        let Act::Mcp(call) = &step.act else { continue };
        let tools = &mut servers.entry(call.server.clone()).or_default().tools;
        if !tools.iter().any(|tool| tool["name"] == call.name.as_str()) {
            tools.push(serde_json::json!({"name": call.name, "description": null,
                "input_schema": any(), "annotations": null}));
        }
    }
    servers
}

fn heard(line: HeardLine) -> Heard {
    match line {
        HeardLine::Text(text) => Heard::text(text),
        HeardLine::Full {
            text,
            fail,
            min_ms,
            max_ms,
        } => {
            let length_ms: RangeInclusive<u64> = min_ms.unwrap_or(0)..=max_ms.unwrap_or(u64::MAX);
            let outcome = fail.map_or(Ok(text), |fail| Err(fail.message));
            Heard { outcome, length_ms }
        }
    }
}

/// The first line without the place, which is told before it.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.rsplit_once(" at line ").map_or(line, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Script> {
        Script::parse(text, Path::new("order.yaml"), Path::new("/nowhere"))
    }

    #[test]
    fn a_whole_script_is_read() {
        let script = parse(
            r#"
ears:
  - "one pizza"
  - {text: "long", min_ms: 1500}
  - fail: {message: "inaudible"}
voice: tone
pacing: realtime
think_ms: 5
turns:
  - when: {user: /pizza|pasta/}
    say: "One moment."
    call: {name: order, arguments: {size: large}}
  - when: {tool: order, output: ok}
    after_ms: 20
    say: {text: "Done."}
    times: 1
  - when: {start: true}
    steps:
      - say: "Hello"
      - {after_ms: 300, say: "Are you there?"}
  - say: "Pardon?"
faults:
  - {when: {sent: response.output_audio.delta, count: 3}, do: drop}
  - {when: {received: response.create}, do: {close: 1011}}
  - {when: {connect: true, count: 2}, do: {http: 503}}
emulate: [growing_transcripts]
"#,
        )
        .expect("reads");
        assert_eq!((script.turns.len(), script.hears.len()), (4, 3));
        assert_eq!(script.turns[0].steps.len(), 2);
        let Act::Call { arguments, .. } = &script.turns[0].steps[1].act else {
            panic!("a call comes after what is said")
        };
        assert_eq!(arguments, r#"{"size":"large"}"#);
        assert_eq!(script.turns[1].steps[0].after_ms, 20);
        assert_eq!(script.hears[2].outcome, Err("inaudible".to_owned()));
        assert_eq!(script.pacing, Some(Pacing::Realtime));
        assert_eq!(script.faults.len(), 3);
    }

    #[test]
    fn back_ends_are_names_or_described_in_full() {
        let script = parse(
            "brain: {http: {url: \"http://h/v1\", model: m, extra: {temperature: 0}}}\n\
             ears: {exec: {command: listen, limit_ms: 500}}\n\
             voice: http://h/v1\n",
        );
        let script = script.expect("reads");
        assert!(matches!(script.brain, Some(Told::Http(raw)) if raw.extra.len() == 1));
        assert!(matches!(script.ears, Some(Told::Exec(raw)) if raw.limit_ms == Some(500)));
        assert!(matches!(script.voice, Some(Told::Name(_))));
    }

    #[test]
    fn an_error_names_file_line_and_what_was_expected() {
        let cases = [
            ("turns:\n  - sey: hello\n", ":2:", "say"),
            ("turns:\n  - when: {user: any}\n", ":2:", "say"),
            (
                "turns:\n  - when: {user: \"/[/\"}\n    say: x\n",
                ":2:",
                "expression",
            ),
            ("turns:\n  - say: 5\n", ":2:", "a text"),
            ("turns:\n  - say: {text: x, wav: no.wav}\n", ":2:", "no.wav"),
            ("turns: 7\n", ":1:", "sequence"),
            ("pacing: fast\n", ":1:", "realtime"),
            ("brain: {http: {url: x, key: y}}\n", ":1:", "key_env"),
            ("voice: {opera: {}}\n", ":1:", "http"),
            (
                "faults:\n  - {when: {sent: no.such}, do: drop}\n",
                ":2:",
                "no.such",
            ),
            ("faults:\n  - {when: {}, do: drop}\n", ":2:", "received"),
            (
                "faults:\n  - {when: {connect: true}, do: malformed}\n",
                ":2:",
                "http",
            ),
            (
                "faults:\n  - when: {sent: response.done}\n    do: {close: 1006}\n",
                ":2:",
                "drop",
            ),
            ("emulate: [late_tea]\n", ":1:", "growing_transcripts"),
            ("a: b: c\n", ":1:", ""),
        ];
        for (text, line, expected) in cases {
            let error = parse(text).expect_err(text);
            let message = error.message();
            assert!(message.starts_with("order.yaml"), "{message}");
            assert!(
                message.contains(line) && message.contains(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn an_empty_script_says_nothing() {
        for text in ["", "# nothing\n", "{}"] {
            assert!(parse(text).expect("reads").turns.is_empty(), "{text:?}");
        }
    }
}
