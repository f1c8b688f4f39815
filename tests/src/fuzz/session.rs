//! Frames of a server to a session that is open: none ends it, and no invariant breaks.

use std::time::Instant;

use talkwire_core::Unsent;
use talkwire_core::dialect::Dialect;
use talkwire_core::engine::Engine;
use talkwire_core::engine::io::{Command, Down, Effect, Effects, Input, LinkId, Ticket};

const LINK: LinkId = LinkId(1);
const GREETING: &str = r#"{"type":"session.created","session":{"id":"s"}}"#;

/// The lines are frames; one that begins with `>` is a command of the application.
pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for profile in ["yandex", "openai"] {
        let mut bench = Bench::open(profile);
        for line in text.lines() {
            match line.strip_prefix('>') {
                Some(command) => bench.command(command),
                None => bench.server(line),
            }
        }
        bench.finish();
    }
}

struct Bench {
    engine: Engine,
    now: Instant,
    asked: u64,
    answers: u64,
    ends: u32,
}

impl Bench {
    fn open(profile: &str) -> Self {
        let dialect = Dialect::named(profile).expect("built in");
        let mut bench = Self {
            engine: Engine::new(dialect, crate::one_link(), 1).expect("valid"),
            now: Instant::now(),
            asked: 0,
            answers: 0,
            ends: 0,
        };
        bench.input(Input::Open { unix_ms: 0 });
        bench.input(Input::LinkUp(LINK));
        bench.server(GREETING);
        bench
    }

    fn input(&mut self, input: Input) {
        let mut fx = Effects::new();
        self.engine.handle(self.now, input, &mut fx);
        self.engine.check();
        for effect in &fx {
            match effect {
                Effect::Reply(..) => self.answers += 1,
                Effect::End(_) => self.ends += 1,
                _ => {}
            }
        }
        if fx.iter().any(|effect| matches!(effect, Effect::Flush)) {
            self.input(Input::Flushed(Vec::new()));
        }
    }

    fn server(&mut self, frame: &str) {
        self.input(Input::Text(LINK, frame.into()));
        assert_eq!(self.ends, 0, "a frame ended the session: {frame}");
    }

    fn command(&mut self, event: &str) {
        self.asked += 1;
        let ticket = Some(Ticket(self.asked));
        self.input(Input::Command(Command::Json(event.to_owned()), ticket));
    }

    /// The connection goes: one end, and an answer to each command.
    fn finish(mut self) {
        let code = 1011;
        let reason = String::new();
        let down = Down::Closed { code, reason };
        self.input(Input::LinkDown(LINK, down, Unsent::default()));
        assert_eq!((self.ends, self.answers), (1, self.asked));
    }
}
