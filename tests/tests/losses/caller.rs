//! A caller in real time: writes, or presses keys and listens, and answers tools.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;
use talkwire_core::audio::dtmf::{Detector, tones};
use talkwire_core::audio::format::Format;
use talkwire_core::call::Track;
use talkwire_core::event::local::Local;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::transcript::Form;
use talkwire_core::{Call, CallOptions, Client, End, Event, Options, Session};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const RATE_HZ: u32 = 8_000;
const FRAME: Duration = Duration::from_millis(20);
const FRAME_SAMPLES: usize = 160;

/// The sound of a call.
struct Line {
    call: Call,
    due: Instant,
    to_say: VecDeque<i16>,
    detector: Detector,
    heard: Vec<char>,
}

impl Line {
    /// A frame each way, by the clock of the host.
    fn frame(&mut self) {
        let mut frame = [0; FRAME_SAMPLES];
        for sample in &mut frame {
            *sample = self.to_say.pop_front().unwrap_or(0);
        }
        // A session that is at its end takes nothing any more, which is told by that end.
        let _ = self.call.push_samples(Track::Customer, &frame);
        let _ = self.call.pull_samples(&mut frame);
        self.detector.push(&frame, &mut self.heard);
        self.due += FRAME;
    }
}

pub(crate) struct Caller {
    pub(crate) session: Session,
    pub(crate) events: Vec<Event>,
    pub(crate) end: Option<End>,
    /// Whether tools are answered at once.
    pub(crate) answers_tools: bool,
    line: Option<Line>,
}

impl Caller {
    /// A session that is on its way.
    pub(crate) fn dials(url: &str, profile: &str, options: &Value) -> Self {
        // A host that is not this machine is only dialled with a credential.
        let client = Client::new().url(url).key("a-key");
        let client = client.dialect(profile).expect("built in");
        let options = Options::from_json(&options.to_string()).expect("options");
        Self {
            session: client.open(options).expect("valid options"),
            events: Vec::new(),
            end: None,
            answers_tools: true,
            line: None,
        }
    }

    /// A session that is open, whose caller writes.
    pub(crate) fn writes(url: &str, profile: &str, options: &Value) -> Self {
        let mut caller = Self::dials(url, profile, options);
        caller.until("it is open", |caller| caller.count("session.updated") > 0);
        caller
    }

    /// A session that is open, whose caller presses keys.
    pub(crate) fn presses(url: &str, profile: &str, options: &Value) -> Self {
        let mut caller = Self::writes(url, profile, options);
        let format = Format::Pcm16 { rate_hz: RATE_HZ };
        let call = caller
            .session
            .attach(CallOptions::default().with_format(format));
        caller.line = Some(Line {
            call: call.expect("attached"),
            due: Instant::now(),
            to_say: VecDeque::new(),
            detector: Detector::new(RATE_HZ).expect("a usual rate"),
            heard: Vec::new(),
        });
        caller
    }

    /// Says a text and asks for an answer.
    pub(crate) fn write(&self, text: &str) {
        self.session.send_text(text).expect("queued");
        self.session.respond(None).expect("queued");
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, digit: char) {
        let line = self.line.as_mut().expect("a caller with a telephone");
        let sound = tones(&digit.to_string(), RATE_HZ).expect("a digit");
        line.to_say.extend(sound);
    }

    /// Goes on with the call until something holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + PATIENCE;
        while !holds(self) {
            let is_over = self.end.is_some() || Instant::now() > limit;
            assert!(!is_over, "not seen: {what}; {}", self.told());
            self.step();
        }
    }

    /// Goes on until so many events of this name were seen.
    pub(crate) fn until_seen(&mut self, name: &str, count: usize) {
        self.until(&format!("{count} x {name}"), |caller| {
            caller.count(name) >= count
        });
    }

    /// Goes on until nothing is told for a second of the call.
    pub(crate) fn settle(&mut self) {
        let limit = Instant::now() + PATIENCE;
        let (mut seen, mut since) = (self.events.len(), Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            assert!(Instant::now() < limit, "it never settles; {}", self.told());
            self.step();
            if self.events.len() != seen {
                (seen, since) = (self.events.len(), Instant::now());
            }
        }
    }

    /// Goes on to the end.
    pub(crate) fn ended(&mut self) -> End {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = &self.end {
                return end.clone();
            }
            assert!(Instant::now() < limit, "no end; {}", self.told());
            self.step();
        }
    }

    /// Closes the session and gives its end, which must be the caller's.
    pub(crate) fn hang_up(mut self) -> Vec<Event> {
        self.session.close();
        let end = self.ended();
        assert!(end.expected, "{end:?}");
        self.events
    }

    /// Takes the next event, or moves a frame of sound when it is due.
    fn step(&mut self) {
        let now = Instant::now();
        let wait = self.line.as_ref().map_or(FRAME, |line| line.due - now);
        match self.session.next_within(wait).expect("not in a callback") {
            Next::Event(event) => self.saw(event),
            Next::End(end) => self.end = Some(end),
            Next::Empty => {}
        }
        if let Some(line) = &mut self.line {
            while line.due <= Instant::now() {
                line.frame();
            }
        }
    }

    fn saw(&mut self, event: Event) {
        if let Some(Local::ToolCall(call)) = event.own()
            && self.answers_tools
        {
            self.answer(&call.call_id);
        }
        self.events.push(event);
    }

    pub(crate) fn answer(&self, call_id: &str) {
        let output = Ok("found".to_owned());
        self.session.answer_tool(call_id, output).expect("queued");
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    pub(crate) fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.name() == name)
    }

    /// How the answers ended, in order.
    pub(crate) fn answers(&self) -> Vec<String> {
        let status = |event: &Event| json(event)["response"]["status"].clone();
        let done = self.named("response.done").map(status);
        done.map(|s| s.as_str().expect("a status").to_owned())
            .collect()
    }

    /// What the customer said, as the conversation has it.
    pub(crate) fn understood(&self) -> String {
        let text = self.session.transcript(Form::Json);
        let told: Value = serde_json::from_str(&text).expect("JSON");
        let segments = told["segments"].as_array().expect("a list").iter();
        let customer = segments.filter(|segment| segment["role"] == "customer");
        customer
            .map(|segment| segment["text"].as_str().expect("a text"))
            .collect()
    }

    /// The keys that were heard in what the agent said.
    pub(crate) fn heard(&self) -> String {
        let line = self.line.as_ref().expect("a caller with a telephone");
        line.heard.iter().collect()
    }

    /// What was seen, for a failure.
    pub(crate) fn told(&self) -> String {
        let seen = |event: &Event| format!("{} {}", event.at_ms(), event.name());
        let seen: Vec<_> = self.events.iter().map(seen).collect();
        format!("end {:?}; seen {}", self.end, seen.join(", "))
    }
}

/// An event as a value.
pub(crate) fn json(event: &Event) -> Value {
    serde_json::from_str(&event.json()).expect("JSON")
}
