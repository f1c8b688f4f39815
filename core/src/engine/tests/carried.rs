//! What a link that is lost leaves to the next one.

use super::*;
use crate::options::WhenBusy;
use crate::options::tool::Tool;

const NEXT: LinkId = LinkId(2);

impl Bench {
    /// A session that outlives its link.
    fn lasting() -> Self {
        Self::with(Options::default()).greeted()
    }

    fn greeted(mut self) -> Self {
        self.input(Input::Open { unix_ms: 0 });
        self.input(Input::LinkUp(LINK));
        self.server(json!({"type": "session.created", "session": {"id": "s"}}));
        self
    }

    /// A registered tool is called, and answers over the next link.
    fn answer_over_the_next(&mut self) -> Effects {
        self.input(Input::Command(Command::Register(Tool::new("n")), None));
        let item = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "n",
            "arguments": "{}", "status": "completed"});
        self.server(json!({"type": "response.output_item.done", "response_id": "r", "item": item}));
        self.relinked();
        let (call_id, output) = ("c".to_owned(), Ok("found".to_owned()));
        self.input(Input::Command(
            Command::ToolResult { call_id, output },
            None,
        ))
    }

    /// The second link is lost as well; what is sent over the third one.
    fn relinked_again(&mut self) -> Vec<Value> {
        let down = Down::Failed(Error::new(Kind::Lost, "reset"));
        self.input(Input::LinkDown(NEXT, down, Unsent::default()));
        self.now = self.engine.deadline().expect("armed");
        self.input(Input::Timeout);
        self.input(Input::LinkUp(LinkId(3)));
        let greeting = json!({"type": "session.created", "session": {"id": "u"}});
        sent(&self.input(Input::Text(LinkId(3), greeting.to_string().into())))
    }

    /// The application has something said, and does not wait for it.
    fn say(&mut self) {
        let item = json!({"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "I am Anna."}]});
        let event = json!({"type": "conversation.item.create", "item": item});
        self.input(Input::Command(Command::Json(event.to_string()), None));
    }

    fn lose(&mut self) -> Effects {
        let down = Down::Failed(Error::new(Kind::Lost, "reset"));
        self.input(Input::LinkDown(LINK, down, Unsent::default()))
    }

    /// The link is lost; what is sent over the next one.
    fn relinked(&mut self) -> Vec<Value> {
        self.lose();
        self.linked_again()
    }

    /// The next link is dialled and greeted; what is sent over it.
    fn linked_again(&mut self) -> Vec<Value> {
        self.input(Input::Timeout);
        self.input(Input::LinkUp(NEXT));
        let greeting = json!({"type": "session.created", "session": {"id": "t"}});
        sent(&self.input(Input::Text(NEXT, greeting.to_string().into())))
    }
}

fn texts(frames: &[Value]) -> Vec<&str> {
    frames
        .iter()
        .filter_map(|frame| frame.pointer("/item/content/0/text")?.as_str())
        .collect()
}

/// The items among frames.
fn kinds(frames: &[Value]) -> Vec<&str> {
    frames
        .iter()
        .filter_map(|frame| frame.pointer("/item/type")?.as_str())
        .collect()
}

#[test]
fn what_a_silent_link_has_not_confirmed_is_sent_again_however_late_its_loss_is_known() {
    let mut bench = Bench::lasting();
    bench.say();
    bench.now += Duration::from_secs(25);
    assert_eq!(texts(&bench.relinked()), ["I am Anna."]);
}

#[test]
fn what_is_deleted_while_there_is_no_link_is_not_told_to_the_next_one() {
    for new in [Bench::lasting, || Bench::in_words().greeted()] {
        let mut bench = new();
        for (id, words) in [("item_a", "I am Anna."), ("item_b", "Forget my name.")] {
            let content = json!([{"type": "input_text", "text": words}]);
            let item = json!({"type": "message", "role": "user", "id": id, "content": content});
            bench.server(json!({"type": "conversation.item.added", "item": item}));
        }
        bench.lose();
        let delete = json!({"type": "conversation.item.delete", "item_id": "item_a"});
        bench.json(delete, 7);
        let frames = bench.linked_again();
        let told: String = texts(&frames).concat();
        assert!(
            told.contains("Forget my name.") && !told.contains("Anna"),
            "{told}"
        );
        let is_delete = |frame: &&Value| frame["type"] == "conversation.item.delete";
        assert_eq!(frames.iter().filter(is_delete).count(), 0, "{frames:?}");
    }
}

/// A server that takes no items of the agent, and counts from 1 in each session.
struct Counting(Bench, LinkId);

impl Counting {
    fn new() -> Self {
        let mut bench = Bench::in_words().greeted();
        bench.input(Input::Command(Command::Register(Tool::new("n")), None));
        Self(bench, LINK)
    }

    fn says(&mut self, event: Value) -> Effects {
        self.0.input(Input::Text(self.1, event.to_string().into()))
    }

    /// An answer with words and a call; what the application is told of it.
    fn answers(&mut self, words: &str) -> Vec<Value> {
        let message = json!({"id": "item_1", "type": "message", "role": "assistant",
            "status": "completed"});
        let call = json!({"id": "item_2", "type": "function_call", "call_id": "call_1",
            "name": "n", "arguments": "{}", "status": "completed"});
        let about = json!({"response_id": "resp_1", "item_id": "item_1"});
        let with = |name: &str, mut more: Value| {
            more["type"] = name.into();
            for (key, id) in about.as_object().expect("a map") {
                more[key] = id.clone();
            }
            more
        };
        let events = [
            json!({"type": "response.created", "response": {"id": "resp_1"}}),
            with("response.output_item.added", json!({"item": message})),
            with("response.output_text.delta", json!({"delta": words})),
            with("response.output_text.done", json!({"text": words})),
            with("response.output_item.done", json!({"item": call})),
            json!({"type": "response.done",
                "response": {"id": "resp_1", "status": "completed", "output": [message, call]}}),
        ];
        let mut told = Vec::new();
        for event in events {
            told.extend(self.says(event).iter().filter_map(|effect| match effect {
                Effect::Emit(event) => serde_json::from_str(&event.json()).ok(),
                _ => None,
            }));
        }
        told
    }
}

#[test]
fn a_server_that_counts_from_the_beginning_again_is_heard_and_its_calls_are_run() {
    let mut server = Counting::new();
    server.answers("One.");
    let give = |server: &mut Counting, call_id: &str| {
        let (call_id, output) = (call_id.to_owned(), Ok("found".to_owned()));
        let command = Command::ToolResult { call_id, output };
        sent(&server.0.input(Input::Command(command, None)))
    };
    give(&mut server, "call_1");
    server.0.relinked();
    server.1 = NEXT;
    let told = server.answers("Two.");
    let names: Vec<_> = told.iter().map(|event| event["type"].as_str()).collect();
    for name in [
        "response.created",
        "response.output_text.done",
        "tool.call",
        "response.done",
    ] {
        assert!(names.contains(&Some(name)), "{name} in {names:?}");
    }
    let call = told.iter().find(|event| event["type"] == "tool.call");
    assert_eq!(call.expect("told")["call_id"], "call_1~2");
    let frames = give(&mut server, "call_1~2");
    assert_eq!(frames[0]["item"]["call_id"], "call_1", "{frames:?}");
    let words: Vec<_> = server
        .0
        .engine
        .segments()
        .iter()
        .map(|s| s.text.as_str())
        .collect();
    assert_eq!(words, ["One.", "Two."]);
}

#[test]
fn what_a_link_does_not_confirm_while_it_speaks_counts_as_taken() {
    let mut bench = Bench::lasting();
    bench.say();
    bench.now += Duration::from_secs(11);
    bench.server(json!({"type": "rate_limits.updated", "rate_limits": []}));
    assert!(texts(&bench.relinked()).is_empty());
}

#[test]
fn an_item_of_another_kind_does_not_prove_that_one_of_the_application_is_there() {
    let call = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "n"});
    let turn = json!({"type": "message", "role": "user", "id": "u",
        "content": [{"type": "input_audio", "transcript": null}]});
    for item in [call, turn] {
        let mut bench = Bench::lasting();
        bench.say();
        bench.server(json!({"type": "conversation.item.added", "item": item}));
        let frames = bench.relinked();
        assert_eq!(texts(&frames), ["I am Anna."], "{item}");
    }
}

#[test]
fn who_waits_for_a_wish_that_was_replaced_is_answered_when_the_link_goes() {
    let mut bench = Bench::lasting();
    for (ticket, policy) in [
        (1, WhenBusy::Merge),
        (2, WhenBusy::Merge),
        (3, WhenBusy::Replace),
    ] {
        bench.input(Input::Command(
            Command::Respond(None, policy),
            Some(Ticket(ticket)),
        ));
    }
    let fx = bench.lose();
    for ticket in [1, 2] {
        let answer = reply(&fx, ticket).expect("answered").clone();
        assert_eq!(answer.expect_err("replaced").kind(), Kind::Cancelled);
    }
    assert!(reply(&fx, 3).is_none(), "the new link is asked for it");
}

#[test]
fn who_closes_when_a_dead_link_is_dropped_gets_the_end() {
    let mut bench = Bench::lasting();
    for _ in ["the ping", "its answer"] {
        bench.now = bench.engine.deadline().expect("armed");
        bench.input(Input::Timeout);
    }
    let fx = bench.input(Input::Close { grace_ms: 500 });
    assert!(end(&fx).expected);
    assert!(bench.dropped().is_empty(), "the report says nothing new");
}

#[test]
fn a_tool_that_takes_too_long_in_an_outage_is_told_to_the_next_link_with_its_call() {
    let mut bench = Bench::lasting();
    let tool = Tool {
        timeout_ms: 3_000,
        overdue_ms: 0,
        ..Tool::new("n")
    };
    bench.input(Input::Command(Command::Register(tool), None));
    let item = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "n",
        "arguments": "{}", "status": "completed"});
    bench.server(json!({"type": "response.output_item.done", "response_id": "r", "item": item}));
    bench.lose();
    bench.now += Duration::from_secs(4);
    let fx = bench.input(Input::Timeout);
    assert!(sent(&fx).is_empty(), "there is no link");
    bench.input(Input::LinkUp(NEXT));
    let greeting = json!({"type": "session.created", "session": {"id": "t"}});
    let frames = sent(&bench.input(Input::Text(NEXT, greeting.to_string().into())));
    assert_eq!(kinds(&frames), ["function_call", "function_call_output"]);
}

#[test]
fn a_server_that_ends_each_session_at_once_is_not_followed_by_plan() {
    let mut bench = Bench::lasting();
    let mut link = LINK;
    let mut ended = false;
    for _ in 0..100 {
        bench.now += Duration::from_millis(160);
        let error = json!({"type": "error", "error": {"code": "session_expired", "message": ""}});
        bench.input(Input::Text(link, error.to_string().into()));
        let down = Down::Closed {
            code: 1001,
            reason: String::new(),
        };
        let mut fx = bench.input(Input::LinkDown(link, down, Unsent::default()));
        while !fx
            .iter()
            .any(|e| matches!(e, Effect::Dial(..) | Effect::End(_)))
        {
            bench.now = bench.engine.deadline().expect("armed");
            fx = bench.input(Input::Timeout);
        }
        ended = fx.iter().any(|e| matches!(e, Effect::End(_)));
        if ended {
            break;
        }
        link = LinkId(link.0 + 1);
        bench.input(Input::LinkUp(link));
        let greeting = json!({"type": "session.created", "session": {"id": "t"}});
        bench.input(Input::Text(link, greeting.to_string().into()));
    }
    assert!(ended, "the budget of the outage ends it");
}

#[test]
fn a_call_that_two_links_were_lost_with_is_told_to_the_third_once() {
    let mut bench = Bench::lasting();
    bench.answer_over_the_next();
    let frames = bench.relinked_again();
    assert_eq!(kinds(&frames), ["function_call", "function_call_output"]);
}

#[test]
fn an_output_in_words_is_told_to_each_link_once_and_is_no_words_of_the_customer() {
    for is_confirmed in [false, true] {
        let mut bench = Bench::in_words().greeted();
        let fx = bench.answer_over_the_next();
        let frames = sent(&fx);
        let item = frames.iter().find(|frame| frame["item"].is_object());
        let item = item.expect("the output is told")["item"].clone();
        if is_confirmed {
            let added = json!({"type": "conversation.item.added", "item": item});
            bench.input(Input::Text(NEXT, added.to_string().into()));
        }
        let frames = bench.relinked_again();
        let told: String = texts(&frames).concat();
        assert_eq!(told.matches("found").count(), 1, "{told}");
        assert!(!told.contains("Customer"), "{told}");
    }
}
