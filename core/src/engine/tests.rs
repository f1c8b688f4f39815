//! The router, input by input.

use super::io::{Command, Down, Frame, LinkId, Reply};
use super::*;
use crate::event::End;
use serde_json::{Value, json};

const LINK: LinkId = LinkId(1);

struct Bench {
    engine: Engine,
    now: Instant,
}

impl Bench {
    /// A session that ends with its link.
    fn new(mut options: Options) -> Self {
        options.recovery.budget_ms = 0;
        Self::with(options)
    }

    fn with(options: Options) -> Self {
        Self::of("openai", options)
    }

    /// The same with a server that takes no items of the agent.
    fn in_words() -> Self {
        Self::of("yandex", Options::default())
    }

    fn of(dialect: &str, options: Options) -> Self {
        let dialect = Dialect::named(dialect).expect("built in");
        Self {
            engine: Engine::new(dialect, options, 1).expect("valid"),
            now: Instant::now(),
        }
    }

    fn open() -> Self {
        let mut bench = Self::new(Options::default());
        bench.input(Input::Open { unix_ms: 0 });
        bench.input(Input::LinkUp(LINK));
        let fx = bench.server(json!({"type": "session.created", "session": {"id": "s"}}));
        assert!(fx.iter().any(|e| matches!(e, Effect::Ready)));
        bench
    }

    fn input(&mut self, input: Input) -> Effects {
        let mut fx = Effects::new();
        self.engine.handle(self.now, input, &mut fx);
        // Lines for the flight recorder are nothing that is done.
        fx.retain(|effect| !matches!(effect, Effect::Note(_)));
        fx
    }

    /// The driver's report of a socket that was dropped with two commands unsent.
    fn dropped(&mut self) -> Effects {
        let down = Down::Failed(Error::new(Kind::Lost, "aborted"));
        let unsent = Unsent {
            audio_ms: 0,
            commands: 2,
        };
        self.input(Input::LinkDown(LINK, down, unsent))
    }

    fn server(&mut self, event: Value) -> Effects {
        self.input(Input::Text(LINK, event.to_string().into()))
    }

    fn json(&mut self, event: Value, ticket: u64) -> Effects {
        self.input(Input::Command(
            Command::Json(event.to_string()),
            Some(Ticket(ticket)),
        ))
    }
}

fn end(fx: &Effects) -> &End {
    let ends: Vec<_> = fx
        .iter()
        .filter_map(|e| {
            if let Effect::End(end) = e {
                Some(end)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(ends.len(), 1, "exactly one end");
    ends[0]
}

/// The frames that were sent, read.
fn sent(fx: &Effects) -> Vec<Value> {
    let text = |effect: &Effect| match effect {
        Effect::Send(_, Frame::Text(text)) => Some(serde_json::from_str(text).expect("JSON")),
        _ => None,
    };
    fx.iter().filter_map(text).collect()
}

fn reply(fx: &Effects, ticket: u64) -> Option<&Result<Reply>> {
    fx.iter().find_map(|e| match e {
        Effect::Reply(t, result) if t.0 == ticket => Some(result),
        _ => None,
    })
}

#[test]
fn a_server_that_never_greets_ends_in_a_timeout() {
    let mut bench = Bench::new(Options::default());
    bench.input(Input::Open { unix_ms: 0 });
    bench.input(Input::LinkUp(LINK));
    bench.now = bench.engine.deadline().expect("armed");
    let fx = bench.input(Input::Timeout);
    assert!(matches!(&fx[..], [Effect::Abort(LINK)]));
    let fx = bench.dropped();
    let end = end(&fx);
    assert_eq!((end.why, end.expected), (Kind::Timeout, false));
    assert!(bench.input(Input::Text(LINK, "{}".into())).is_empty());
}

#[test]
fn what_is_asked_before_the_link_is_open_is_sent_after_the_first_settings() {
    let session = Session::new().voice("alloy");
    let mut bench = Bench::new(Options {
        session,
        ..Options::default()
    });
    bench.input(Input::Open { unix_ms: 0 });
    let fx = bench.json(json!({"type": "response.create"}), 7);
    assert!(fx.is_empty());
    bench.input(Input::LinkUp(LINK));
    let fx = bench.server(json!({"type": "session.created", "session": {}}));
    let sent = |fx: &Effects| fx.iter().filter(|e| matches!(e, Effect::Send(..))).count();
    assert_eq!(sent(&fx), 1, "only the settings");
    let fx = bench.server(json!({"type": "session.updated", "session": {}}));
    assert_eq!(sent(&fx), 1, "then the wish");
}

#[test]
fn a_command_is_answered_by_its_proof_by_its_error_by_time_or_by_the_end() {
    let mut bench = Bench::open();
    bench.json(
        json!({"type": "session.update", "session": {}, "event_id": "a"}),
        1,
    );
    let fx = bench.server(json!({"type": "session.updated", "session": {}}));
    assert!(matches!(reply(&fx, 1), Some(Ok(_))));
    bench.json(
        json!({"type": "conversation.item.delete", "item_id": "x", "event_id": "b"}),
        2,
    );
    let error = json!({"type": "error", "error": {"code": "c", "message": "m", "event_id": "b"}});
    let fx = bench.server(error);
    let failed = reply(&fx, 2)
        .expect("answered")
        .clone()
        .expect_err("refused");
    assert_eq!(
        (failed.kind(), failed.provider().code.as_deref()),
        (Kind::Server, Some("c"))
    );
    assert!(
        fx.iter().any(|e| matches!(e, Effect::Emit(_))),
        "the stream has it too"
    );
    bench.json(json!({"type": "response.create"}), 3);
    bench.now = bench.engine.deadline().expect("armed");
    let fx = bench.input(Input::Timeout);
    assert_eq!(
        reply(&fx, 3)
            .expect("answered")
            .clone()
            .expect_err("late")
            .kind(),
        Kind::Timeout
    );
    bench.json(json!({"type": "response.create"}), 4);
    let fx = bench.input(Input::LinkDown(
        LINK,
        Down::Closed {
            code: 1011,
            reason: String::new(),
        },
        Unsent::default(),
    ));
    assert!(matches!(reply(&fx, 4), Some(Err(_))));
    assert!(end(&fx).mid_turn);
}

#[test]
fn an_end_in_the_middle_of_a_call_of_a_function_is_mid_turn() {
    let mut bench = Bench::open();
    let item = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "n"});
    bench.server(json!({"type": "response.output_item.done", "response_id": "r", "item": item}));
    let fx = bench.input(Input::LinkDown(
        LINK,
        Down::Closed {
            code: 1000,
            reason: String::new(),
        },
        Unsent::default(),
    ));
    assert!(end(&fx).mid_turn && !end(&fx).expected);
}

#[test]
fn what_is_no_event_is_told_and_the_session_lives() {
    let mut bench = Bench::open();
    let bad_audio = r#"{"type":"response.output_audio.delta","delta":"A*A="}"#;
    for raw in ["nonsense", "[]", "{}", bad_audio] {
        let fx = bench.input(Input::Text(LINK, raw.into()));
        let [Effect::Emit(event)] = &fx[..] else {
            panic!("{raw}: {fx:?}")
        };
        assert_eq!((event.name(), event.raw()), ("protocol.fault", Some(raw)));
    }
    let fx = bench.input(Input::Binary(LINK, 3));
    assert!(matches!(&fx[..], [Effect::Emit(event)] if event.name() == "protocol.fault"));
    let fx = bench.server(json!({"type": "of.tomorrow", "x": {"y": null}}));
    let [Effect::Emit(event)] = &fx[..] else {
        panic!("{fx:?}")
    };
    assert_eq!((event.name(), event.number()), ("of.tomorrow", 0));
    assert!(event.json().contains("\"y\":null"));
}

#[test]
fn a_commit_of_nothing_is_refused_before_it_is_sent() {
    let mut bench = Bench::open();
    let fx = bench.json(json!({"type": "input_audio_buffer.commit"}), 1);
    let [Effect::Reply(_, Err(error))] = &fx[..] else {
        panic!("{fx:?}")
    };
    assert_eq!(error.kind(), Kind::Refused);
}

#[test]
fn audio_that_cannot_be_sent_is_told_at_once_and_the_rest_a_second_later() {
    let mut bench = Bench::open();
    let told = |fx: &Effects| match fx.as_slice() {
        [Effect::Emit(event)] => event.json().into_owned(),
        other => panic!("{other:?}"),
    };
    let fx = bench.input(Input::UplinkDropped { ms: 40 });
    assert!(told(&fx).contains(r#""dropped_ms":40"#), "{}", told(&fx));
    assert!(bench.input(Input::UplinkDropped { ms: 60 }).is_empty());
    bench.now += Duration::from_secs(1);
    assert!(bench.engine.deadline().is_some_and(|due| due <= bench.now));
    let fx = bench.input(Input::Timeout);
    assert!(told(&fx).contains(r#""dropped_ms":60"#), "{}", told(&fx));
}

#[test]
fn a_close_is_said_and_bounded() {
    let mut bench = Bench::open();
    let fx = bench.input(Input::Close { grace_ms: 500 });
    assert!(matches!(&fx[..], [Effect::Hangup(LINK)]));
    assert!(
        bench.input(Input::Close { grace_ms: 9 }).is_empty(),
        "closing is idempotent"
    );
    let fx = bench.json(json!({"type": "response.create"}), 1);
    assert_eq!(
        reply(&fx, 1)
            .expect("answered")
            .clone()
            .expect_err("closed")
            .kind(),
        Kind::Closed
    );
    bench.now += Duration::from_millis(500);
    let fx = bench.input(Input::Timeout);
    assert!(matches!(&fx[..], [Effect::Abort(LINK)]));
    assert!(
        bench.input(Input::Timeout).is_empty(),
        "an abort is said once"
    );
    let fx = bench.dropped();
    assert!(end(&fx).expected);
    assert_eq!(end(&fx).unsent.commands, 2);
}

mod calls;
mod carried;
mod wishes;
