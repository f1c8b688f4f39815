//! Long and many: what only the deep tier has the time for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use talkwire_core::audio::dtmf;
use talkwire_core::dialect::Dialect;
use talkwire_core::engine::Engine;
use talkwire_core::engine::io::{Command, Effect, Effects, Frame, Input, LinkId};
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::wire::ClientEvent;
use talkwire_core::wire::client::Append;
use talkwire_core::{Client, Options, Session, Settings};
use talkwire_server::{
    Clock, Config, LocalServer, Peer, PeerEffect, PeerEffects, PeerInput, Plan, Visit,
};

const LINK: LinkId = LinkId(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// Of one turn of the call, in virtual time.
const TURN: Duration = Duration::from_secs(10);
const TURNS: usize = 180;
/// From here on everything that remembers a bounded number of things is full.
const WARM: usize = 150;

/// An engine and a server without a network between them.
struct Call {
    engine: Engine,
    peer: Peer,
    dialect: std::sync::Arc<Dialect>,
    now: Instant,
    names: Vec<String>,
}

/// The table of a dialect whose sessions outlive the call.
fn long_lived(profile: &str) -> String {
    let s = TURN.as_secs() * 1_000;
    let limits = json!({"lifetime_s": s, "lifetime_max_s": s});
    json!({"extends": profile, "name": profile, "limits": limits}).to_string()
}

impl Call {
    fn open(profile: &str) -> Self {
        let words: Vec<_> = (0..TURNS).map(|n| format!("words {n}")).collect();
        let config = Config::new()
            .profile(long_lived(profile))
            .script_text(json!({"ears": words}).to_string(), ".")
            .voice("tone");
        let plan = Plan::new(&config).expect("a plan");
        let dialect = Dialect::named(profile).expect("built in");
        let now = Instant::now();
        let clock = Clock {
            at: now,
            unix_s: 1_800_000_000,
        };
        let mut call = Self {
            engine: Engine::new(dialect.clone(), Options::default(), 1).expect("valid"),
            peer: plan.peer(now, clock, Visit::default(), 0),
            dialect,
            now,
            names: Vec::new(),
        };
        call.client(Input::Open { unix_ms: 0 });
        call.client(Input::LinkUp(LINK));
        call.server(PeerInput::Open);
        call
    }

    fn client(&mut self, input: Input) {
        let mut fx = Effects::new();
        self.engine.handle(self.now, input, &mut fx);
        for effect in fx {
            match effect {
                Effect::Send(_, Frame::Text(text)) => self.server(PeerInput::Frame(text)),
                Effect::Send(_, Frame::Audio(pcm, _)) => {
                    let mut text = String::new();
                    self.dialect.encode_append(&pcm, &mut text);
                    self.server(PeerInput::Frame(text));
                }
                Effect::Emit(event) => self.names.push(event.name().to_owned()),
                Effect::End(end) => panic!("{end:?}"),
                _ => {}
            }
        }
    }

    fn server(&mut self, input: PeerInput) {
        let mut fx = PeerEffects::new();
        self.peer.handle(self.now, input, &mut fx);
        let effects: Vec<_> = fx.drain().collect();
        for effect in effects {
            match effect {
                PeerEffect::Send(text) => self.client(Input::Text(LINK, text.into())),
                other => panic!("{other:?}"),
            }
        }
    }

    fn wait_until(&mut self, until: Instant) {
        loop {
            let (engine, peer) = (self.engine.deadline(), self.peer.deadline());
            let Some(due) = engine.into_iter().chain(peer).min().filter(|d| *d <= until) else {
                break;
            };
            self.now = self.now.max(due);
            if engine.is_some_and(|due| due <= self.now) {
                self.client(Input::Timeout);
            } else {
                self.server(PeerInput::Timeout);
            }
        }
        self.now = until;
    }

    fn say(&mut self, event: Value) {
        self.client(Input::Command(Command::Json(event.to_string()), None));
    }

    fn write(&mut self, n: usize) {
        let content = json!([{"type": "input_text", "text": format!("text {n}")}]);
        let item = json!({"type": "message", "role": "user", "content": content});
        self.say(json!({"type": "conversation.item.create", "item": item}));
        self.say(json!({"type": "response.create"}));
    }

    /// A second of tones, which are always taken for speech, and two of silence.
    fn speak(&mut self) {
        let rate_hz = self.engine.input_format().rate_hz();
        let frame = rate_hz as usize / 50;
        let tones = dtmf::tones("159D", rate_hz).expect("digits");
        let mut sound = tones.iter().copied().cycle().take(frame * 50);
        for _ in 0..150 {
            let samples = (0..frame).map(|_| sound.next().unwrap_or(0));
            let audio: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
            let audio = audio.into();
            let append = Command::Send(ClientEvent::Append(Append { audio }));
            self.client(Input::Command(append, None));
            self.wait_until(self.now + Duration::from_millis(20));
        }
    }

    fn count(&self, name: &str) -> usize {
        self.names.iter().filter(|seen| *seen == name).count()
    }

    /// Bytes that everything but the conversation takes when it is written out.
    fn size(&mut self) -> usize {
        let all = format!("{:?}", self.engine);
        let history = format!("{:?}", self.engine.segments());
        assert!(all.contains(&history), "the conversation is in it");
        // Of silence as much is kept as came since the server was last heard: a frame more or less.
        let silence = r"\0".len() * all.matches(r"\0").count();
        all.len() - history.len() - silence
    }
}

#[test]
#[ignore = "the deep tier runs it"]
fn soak_a_call_of_half_an_hour_grows_nothing_but_its_conversation() {
    for profile in ["yandex", "openai"] {
        let mut call = Call::open(profile);
        let begin = call.now;
        let mut warm = 0;
        for n in 0..TURNS {
            if n == WARM {
                warm = call.size();
            }
            let next = call.now + TURN;
            if n % 2 == 0 {
                call.write(n);
            } else {
                call.speak();
            }
            call.wait_until(next);
            assert_eq!(call.count("response.done"), n + 1, "{profile} turn {n}");
        }
        assert_eq!(call.now - begin, Duration::from_secs(1_800));
        let size = call.size();
        // Counters get longer by some digits.
        assert!(size <= warm + 200, "{profile}: {warm} bytes became {size}");
        let counts = [
            ("response.created", TURNS),
            ("input_audio_buffer.speech_started", TURNS / 2),
            ("input_audio_buffer.speech_stopped", TURNS / 2),
            ("error", 0),
            ("protocol.fault", 0),
        ];
        for (name, wanted) in counts {
            assert_eq!(call.count(name), wanted, "{profile} {name}");
        }
        let history = format!("{:?}", call.engine.segments());
        assert!(history.contains("text 0") && history.contains("text 178"));
    }
}

/// Reads until an answer is complete.
fn answered(session: &Session) {
    loop {
        match session.next_within(PATIENCE).expect("not in a callback") {
            Next::Event(event) if event.name() == "response.done" => return,
            Next::Event(event) => assert_ne!(event.name(), "error", "{}", event.json()),
            Next::End(end) => panic!("{end:?}"),
            Next::Empty => panic!("no answer"),
        }
    }
}

#[test]
#[ignore = "the deep tier runs it"]
fn soak_two_hundred_sessions_at_once_each_hold_five_turns() {
    let config = Config::new().profile("openai").max_sessions(200);
    let server = LocalServer::start(config).expect("starts");
    let options = || Options {
        session: Settings::new().set("/output_modalities", json!(["text"])),
        ..Options::default()
    };
    let client = Client::new().url(server.url()).dialect("openai");
    let client = client.expect("built in");
    let open = |_| client.open(options()).expect("valid options");
    let sessions: Vec<_> = (0..200).map(open).collect();
    for turn in 0..5 {
        for session in &sessions {
            session.send_text(format!("turn {turn}")).expect("queued");
            session.respond(None).expect("queued");
        }
        sessions.iter().for_each(answered);
    }
    for session in &sessions {
        session.close();
    }
    for session in &sessions {
        let end = session.ended_within(PATIENCE).expect("not in a callback");
        assert!(end.is_some_and(|end| end.expected));
    }
    server.stop();
}
