//! What a link that is lost leaves to the next one.

use super::*;

const NEXT: LinkId = LinkId(2);

impl Bench {
    /// A session that outlives its link.
    fn lasting() -> Self {
        let dialect = Dialect::named("openai").expect("built in");
        let mut bench = Self {
            engine: Engine::new(dialect, Options::default(), 1).expect("valid"),
            now: Instant::now(),
        };
        bench.input(Input::Open { unix_ms: 0 });
        bench.input(Input::LinkUp(LINK));
        bench.server(json!({"type": "session.created", "session": {"id": "s"}}));
        bench
    }

    /// The application has something said, and does not wait for it.
    fn say(&mut self) {
        let item = json!({"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "I am Anna."}]});
        let event = json!({"type": "conversation.item.create", "item": item});
        self.input(Input::Command(Command::Json(event.to_string()), None));
    }

    /// The link is lost; what is sent over the next one.
    fn relinked(&mut self) -> Vec<Value> {
        let down = Down::Failed(Error::new(Kind::Lost, "reset"));
        self.input(Input::LinkDown(LINK, down, Unsent::default()));
        self.input(Input::Timeout);
        self.input(Input::LinkUp(NEXT));
        let greeting = json!({"type": "session.created", "session": {"id": "t"}});
        sent(&self.input(Input::Text(NEXT, greeting.to_string().into())))
    }
}

fn texts(frames: &[Value]) -> Vec<&str> {
    let text = |frame: &Value| frame["item"]["content"][0]["text"].is_string();
    let said = frames.iter().filter(|frame| text(frame));
    said.map(|frame| frame["item"]["content"][0]["text"].as_str().expect("text"))
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
