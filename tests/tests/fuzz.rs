//! Hostile input as properties: whatever comes, nothing panics and no invariant breaks.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::Config as Cases;
use serde_json::{Value, json};
use talkwire_core::Unsent;
use talkwire_core::audio::wav::Wav;
use talkwire_core::dialect::Dialect;
use talkwire_core::engine::Engine;
use talkwire_core::engine::io::{
    Command, Down, Effect, Effects, Frame, Heard, Input, LinkId, Mark, PartId, Ticket,
};
use talkwire_core::event::local::Local;
use talkwire_core::options::WhenBusy;
use talkwire_core::options::tool::Tool;
use talkwire_server::{Config, Plan};
use talkwire_tests::flow::{Common, parse_common, parse_flows};
use talkwire_tests::one_link;
use talkwire_tests::scaled;

const PROFILES: [&str; 2] = ["yandex", "openai"];
const LINK: LinkId = LinkId(1);

fn cases(quick: u32) -> Cases {
    Cases {
        cases: scaled(quick),
        // A failing case is printed whole; nothing is to be written beside the sources.
        failure_persistence: None,
        ..Cases::default()
    }
}

/// The frames of the committed vectors: what servers really send.
static FRAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let frame = |line: &str| {
        let vector: Value = serde_json::from_str(line).expect("a line of JSON");
        vector["frame"].to_string()
    };
    include_str!("../wire/vectors.jsonl")
        .lines()
        .map(frame)
        .collect()
});

/// An open session with a count of the answers to its commands.
struct Bench {
    engine: Engine,
    now: Instant,
    asked: u64,
    answers: HashMap<u64, u32>,
    ends: u32,
    /// Outputs of function calls that were sent, by call.
    outputs: HashMap<String, u32>,
}

impl Bench {
    fn open(profile: &str) -> Self {
        let dialect = Dialect::named(profile).expect("built in");
        let mut bench = Self {
            engine: Engine::new(dialect, one_link(), 1).expect("valid"),
            now: Instant::now(),
            asked: 0,
            answers: HashMap::new(),
            ends: 0,
            outputs: HashMap::new(),
        };
        bench.input(Input::Open { unix_ms: 0 });
        bench.input(Input::LinkUp(LINK));
        let greeting = json!({"type": "session.created", "session": {"id": "s"}});
        let fx = bench.server(&greeting.to_string());
        assert!(fx.iter().any(|effect| matches!(effect, Effect::Ready)));
        bench
    }

    fn input(&mut self, input: Input) -> Effects {
        let mut fx = Effects::new();
        self.engine.handle(self.now, input, &mut fx);
        self.engine.check();
        self.note(&fx);
        if fx.iter().any(|effect| matches!(effect, Effect::Flush)) {
            let cut = vec![Heard {
                part: PartId(1),
                samples: 7,
            }];
            fx.extend(self.input(Input::Flushed(cut)));
        }
        fx
    }

    fn note(&mut self, fx: &Effects) {
        for effect in fx {
            match effect {
                Effect::Reply(ticket, _) => *self.answers.entry(ticket.0).or_default() += 1,
                Effect::End(_) => self.ends += 1,
                Effect::Emit(event) => {
                    let json = event.json();
                    serde_json::from_str::<Value>(&json).expect("an event's JSON is JSON");
                    if let Some(Local::Cut(cut)) = event.own() {
                        assert!(cut.heard_ms <= cut.received_ms, "{cut:?}");
                        assert!(cut.truncated_ms.is_none_or(|ms| ms == cut.heard_ms));
                    }
                }
                Effect::Send(_, Frame::Text(text)) => self.sent(text),
                _ => {}
            }
        }
    }

    /// A call has one output, whoever gives it.
    fn sent(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("what is sent is JSON");
        let item = &frame["item"];
        let call_id = item["call_id"].as_str();
        if let Some(call_id) = call_id.filter(|_| item["type"] == "function_call_output") {
            let outputs = self.outputs.entry(call_id.to_owned()).or_default();
            *outputs += 1;
            assert_eq!(*outputs, 1, "{text}");
        }
    }

    /// A frame of the server may be nonsense; that is never a reason to end.
    fn server(&mut self, frame: &str) -> Effects {
        let fx = self.input(Input::Text(LINK, frame.into()));
        let ends = |effect: &Effect| {
            matches!(
                effect,
                Effect::End(_) | Effect::Abort(_) | Effect::Hangup(_)
            )
        };
        assert!(!fx.iter().any(ends), "{frame} ended the session: {fx:?}");
        fx
    }

    fn command(&mut self, event: &Value) {
        self.asked += 1;
        let ticket = Some(Ticket(self.asked));
        self.input(Input::Command(Command::Json(event.to_string()), ticket));
    }

    fn call(&mut self, call: Calls) {
        let heard = |part, samples| Heard {
            part: PartId(part),
            samples,
        };
        let command = match call {
            Calls::Port(is_there) => return drop(self.input(Input::Port(is_there))),
            Calls::Heard(part, samples) => {
                return drop(self.input(Input::Heard(vec![heard(part, samples)])));
            }
            Calls::Echo(is_echo) => return drop(self.input(Input::Echo(is_echo))),
            Calls::Sound(bytes) => {
                return drop(self.input(Input::Captured(vec![0; bytes].into())));
            }
            Calls::Interrupt(is_one) => Command::Interrupt(is_one),
            Calls::Played(heard_ms) => Command::Played(Mark {
                item_id: "a".to_owned(),
                content_index: 0,
                heard_ms,
            }),
            Calls::Respond(when_busy) => Command::Respond(None, when_busy),
            Calls::Register => Command::Register(Tool::new("f")),
            Calls::ToolResult(call_id) => Command::ToolResult {
                call_id,
                output: Ok("{}".to_owned()),
            },
        };
        self.asked += 1;
        self.input(Input::Command(command, Some(Ticket(self.asked))));
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        if self.engine.deadline().is_some_and(|due| due <= self.now) {
            self.input(Input::Timeout);
        }
    }

    /// The connection goes: one end, and one answer to each command.
    fn finish(mut self) {
        let code = 1011;
        let reason = String::new();
        let down = Down::Closed { code, reason };
        self.input(Input::LinkDown(LINK, down, Unsent::default()));
        assert_eq!(self.ends, 1);
        for ticket in 1..=self.asked {
            assert_eq!(self.answers.get(&ticket), Some(&1), "ticket {ticket}");
        }
    }
}

/// One change of a text; positions are taken modulo its length.
#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, String),
    Twice(usize, usize),
    /// Puts a value of another type in place of the n-th value.
    Swap(usize, Value),
}

fn damage() -> impl Strategy<Value = Damage> {
    let anywhere = any::<usize>();
    let values = vec![
        Value::Null,
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("A*A="),
        json!("\u{0}\u{fffd}"),
        json!([]),
        json!([[null]]),
        json!({}),
        json!({"type": {}}),
        json!(true),
    ];
    prop_oneof![
        1 => anywhere.prop_map(Damage::Cut),
        2 => (anywhere, 1_usize..20).prop_map(|(at, n)| Damage::Remove(at, n)),
        2 => (anywhere, ".{1,8}").prop_map(|(at, text)| Damage::Insert(at, text)),
        1 => (anywhere, 1_usize..40).prop_map(|(at, n)| Damage::Twice(at, n)),
        6 => (anywhere, prop::sample::select(values)).prop_map(|(n, value)| Damage::Swap(n, value)),
    ]
}

fn damaged(frame: &str, damage: &Damage) -> String {
    let chars: Vec<char> = frame.chars().collect();
    let place = |at: usize| at % (chars.len() + 1);
    let text = |chars: &[char]| chars.iter().collect::<String>();
    match damage {
        Damage::Cut(at) => text(&chars[..place(*at)]),
        Damage::Remove(at, n) => {
            let (start, end) = (place(*at), (place(*at) + n).min(chars.len()));
            text(&chars[..start]) + &text(&chars[end..])
        }
        Damage::Insert(at, more) => text(&chars[..place(*at)]) + more + &text(&chars[place(*at)..]),
        Damage::Twice(at, n) => {
            let end = (place(*at) + n).min(chars.len());
            text(&chars[..end]) + &text(&chars[place(*at)..])
        }
        Damage::Swap(n, value) => match serde_json::from_str::<Value>(frame) {
            Ok(mut whole) => {
                let mut left = n % count(&whole).max(1);
                swap(&mut whole, &mut left, value);
                whole.to_string()
            }
            Err(_) => frame.to_owned(),
        },
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(map) => map.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    }
}

fn count(value: &Value) -> usize {
    1 + children(value).into_iter().map(count).sum::<usize>()
}

/// Replaces the value that comes after `left` others; returns whether it did.
fn swap(value: &mut Value, left: &mut usize, new: &Value) -> bool {
    if *left == 0 {
        *value = new.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Object(map) => map.values_mut().any(|one| swap(one, left, new)),
        Value::Array(list) => list.iter_mut().any(|one| swap(one, left, new)),
        _ => false,
    }
}

/// What happens to a session in the wildest order.
#[derive(Clone, Debug)]
enum Turn {
    Server(Value),
    Command(Value),
    Call(Calls),
    Wait(u64),
}

/// What a call adds to that.
#[derive(Clone, Debug)]
enum Calls {
    Port(bool),
    Heard(u64, u64),
    Sound(usize),
    Echo(bool),
    Interrupt(bool),
    Played(u64),
    Respond(WhenBusy),
    Register,
    ToolResult(String),
}

fn calls() -> impl Strategy<Value = Calls> {
    use WhenBusy::{Merge, Queue, Refuse, Replace};
    prop_oneof![
        any::<bool>().prop_map(Calls::Port),
        (0_u64..6, 0_u64..4_000).prop_map(|(part, samples)| Calls::Heard(part, samples)),
        (0_usize..2_000).prop_map(|n| Calls::Sound(2 * n)),
        any::<bool>().prop_map(Calls::Echo),
        any::<bool>().prop_map(Calls::Interrupt),
        (0_u64..500).prop_map(Calls::Played),
        prop::sample::select(vec![Queue, Merge, Replace, Refuse]).prop_map(Calls::Respond),
        Just(Calls::Register),
        prop::sample::select(vec!["a", "b", "c"]).prop_map(|id| Calls::ToolResult(id.to_owned())),
    ]
}

fn id() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("a"),
        json!("b"),
        json!("c"),
        json!(""),
        Value::Null,
    ])
}

fn response_event() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["response.created", "response.done"]);
    let conversation = prop::sample::select(vec![Value::Null, json!("c"), json!("none")]);
    (name, id(), conversation, any::<bool>()).prop_map(|(name, id, conversation, aside)| {
        let mut response =
            json!({"id": id, "status": "completed", "conversation_id": conversation});
        if aside {
            response["conversation"] = conversation;
        }
        json!({"type": name, "response": response})
    })
}

fn item_event() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.done",
        "conversation.item.retrieved",
        "response.output_item.added",
        "response.output_item.done",
    ]);
    let kind = prop::sample::select(vec!["message", "function_call", "function_call_output"]);
    let role = prop::sample::select(vec!["user", "assistant", "system", "x"]);
    (name, kind, role, id(), id(), id()).prop_map(|(name, kind, role, id, call, previous)| {
        let content = json!([{"type": "input_text", "text": "words"}]);
        let item = json!({"id": id, "type": kind, "role": role, "call_id": call, "name": "f",
            "arguments": "{}", "content": content});
        json!({"type": name, "item": item, "previous_item_id": previous, "response_id": call})
    })
}

fn part_event() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.content_part.added",
        "response.content_part.done",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "input_audio_buffer.cleared",
        "input_audio_buffer.timeout_triggered",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.truncated",
        "conversation.item.deleted",
        "rate_limits.updated",
    ]);
    let delta = prop::sample::select(vec!["AQ==", "AQID", "AQIDBA==", "", "nine"]);
    (name, id(), id(), delta, 0_u32..3).prop_map(|(name, response, item, delta, index)| {
        json!({"type": name, "response_id": response, "item_id": item, "delta": delta,
            "content_index": index, "text": delta, "transcript": delta, "call_id": item,
            "arguments": "{}", "audio_start_ms": index, "audio_end_ms": 0})
    })
}

fn session_event() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["session.created", "session.updated"]);
    let kind = prop::sample::select(vec!["audio/pcm", "audio/pcmu", "audio/opus", ""]);
    let rate = prop::sample::select(vec![
        Value::Null,
        json!(0),
        json!(1),
        json!(8_000),
        json!(u64::MAX),
    ]);
    (name, kind, rate, any::<bool>()).prop_map(|(name, kind, rate, detects)| {
        let format = json!({"type": kind, "rate": rate});
        let detection = if detects {
            json!({"type": "server_vad"})
        } else {
            Value::Null
        };
        let input = json!({"format": format, "turn_detection": detection});
        let audio = json!({"input": input, "output": {"format": format}});
        json!({"type": name, "session": {"audio": audio}})
    })
}

fn command() -> impl Strategy<Value = Value> {
    (0_usize..10, id()).prop_map(|(which, id)| match which {
        0 => json!({"type": "response.create"}),
        1 => json!({"type": "response.cancel", "response_id": id}),
        2 => json!({"type": "input_audio_buffer.append", "audio": "AAAA".repeat(2_000)}),
        3 => json!({"type": "input_audio_buffer.commit"}),
        4 => json!({"type": "input_audio_buffer.clear"}),
        5 => json!({"type": "session.update", "session": {}}),
        6 => json!({"type": "conversation.item.delete", "item_id": id}),
        7 => json!({"type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": id, "output": "{}"}}),
        8 => json!({"type": "response.create", "event_id": id}),
        _ => json!({"type": "conversation.item.retrieve", "item_id": id}),
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    let codes = vec![
        Value::Null,
        json!("conversation_already_has_active_response"),
        json!("response_cancel_not_active"),
    ];
    let code = prop::sample::select(codes);
    let named = prop_oneof![id(), (0_u32..12).prop_map(|n| json!(format!("evt_{n}")))];
    let error = (named, code).prop_map(|(id, code)| {
        json!({"type": "error", "error": {"message": "m", "event_id": id, "code": code}})
    });
    prop_oneof![
        6 => response_event().prop_map(Turn::Server),
        4 => item_event().prop_map(Turn::Server),
        8 => part_event().prop_map(Turn::Server),
        1 => session_event().prop_map(Turn::Server),
        2 => error.prop_map(Turn::Server),
        6 => calls().prop_map(Turn::Call),
        4 => command().prop_map(Turn::Command),
        1 => (0_u64..20_000).prop_map(Turn::Wait),
    ]
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn no_text_makes_a_dialect_panic(text in "\\PC{0,60}", wrapped in any::<bool>()) {
        let text = if wrapped { format!(r#"{{"type":"error","x":{text}}}"#) } else { text };
        for dialect in PROFILES.map(|name| Dialect::named(name).expect("built in")) {
            let _ = dialect.decode_server(&text);
            let _ = dialect.decode_client(&text);
        }
    }

    #[test]
    fn no_damage_to_a_frame_makes_a_dialect_panic(
        frame in prop::sample::select(FRAMES.as_slice()),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let text = damages.iter().fold(frame, |frame, damage| damaged(&frame, damage));
        for dialect in PROFILES.map(|name| Dialect::named(name).expect("built in")) {
            let _ = dialect.decode_server(&text);
            let _ = dialect.decode_client(&text);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_of_wav_files_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        chunks in prop::collection::vec((prop::sample::select(vec!["fmt ", "data", "LIST"]),
            any::<u32>(), 0_usize..40), 0..4),
    ) {
        let _ = Wav::parse(&bytes);
        let mut file = b"RIFF\xff\xff\xff\xffWAVE".to_vec();
        for (name, size, taken) in chunks {
            file.extend_from_slice(name.as_bytes());
            file.extend_from_slice(&(size % 64).to_le_bytes());
            file.extend_from_slice(&bytes[..taken.min(bytes.len())]);
        }
        let _ = Wav::parse(&file);
    }

    #[test]
    fn no_text_makes_the_readers_of_scripts_and_flows_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "turns:", "- when:", "{turn: 2}", "say:", "call:", "steps:", "ears:", "faults:", "\n",
            "  ", "[", "]", "{", "}", "\"", "&a", "*a", "flow", "profiles:", "yandex", "server:",
            "<", ">", "^", "@", "use", "expect", "$x", "...", "1", "-1", "é", "\t", "open", "end",
            "session.created", "|", "(", ")", "common", "macro",
        ]), 0..40),
        text in "\\PC{0,40}",
    ) {
        let words = words.join(" ");
        for text in [&words, &text, &format!("{words}\n{text}")] {
            let _ = Plan::new(&Config::new().script_text(text.as_str(), "."));
            let _ = parse_common("f", text);
            let _ = parse_flows("f", text, &Common::default());
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn damaged_frames_neither_end_a_session_nor_break_an_invariant(
        frames in prop::collection::vec((prop::sample::select(FRAMES.as_slice()), prop::collection::vec(damage(), 0..3)), 1..30),
    ) {
        for profile in PROFILES {
            let mut bench = Bench::open(profile);
            for (frame, damages) in &frames {
                let text = damages.iter().fold(frame.clone(), |frame, damage| damaged(&frame, damage));
                bench.server(&text);
            }
            bench.finish();
        }
    }

    #[test]
    fn events_in_any_order_neither_end_a_session_nor_break_an_invariant(
        turns in prop::collection::vec(turn(), 1..80),
    ) {
        for profile in PROFILES {
            let mut bench = Bench::open(profile);
            for turn in &turns {
                match turn {
                    Turn::Server(event) => {
                        bench.server(&event.to_string());
                    }
                    Turn::Command(event) => bench.command(event),
                    Turn::Call(call) => bench.call(call.clone()),
                    Turn::Wait(ms) => bench.wait(*ms),
                }
            }
            bench.finish();
        }
    }
}

#[test]
fn damage_changes_what_it_says() {
    let frame = r#"{"a":[1,2]}"#;
    assert_eq!(damaged(frame, &Damage::Cut(3)), r#"{"a"#[..3]);
    assert_eq!(damaged(frame, &Damage::Remove(0, 1)), &frame[1..]);
    assert_eq!(
        damaged(frame, &Damage::Insert(1, "x".into())),
        r#"{x"a":[1,2]}"#
    );
    let swapped = damaged(frame, &Damage::Swap(2, Value::Null));
    assert_eq!(swapped, r#"{"a":[null,2]}"#);
}
