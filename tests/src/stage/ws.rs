//! A real WebSocket: the session as an application uses it, against the local server or against a
//! scripted one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use talkwire_core::call::Track;
use talkwire_core::runtime::mailbox::Next;
use talkwire_core::{Call, CallOptions, Client, Error, Session};
use talkwire_server::LocalServer;

use super::hostile::Hostile;
use super::{FRAME_MS, Speaker, config, end, input_format, is_event, options, seen};
use crate::flow::{End, Flow, OpenSpec, Role, Seen, ServerAct, Sound, Stage, StageError};

/// One flow over loopback.
pub struct Ws {
    far: Far,
    session: Option<Session>,
    others: Vec<Session>,
    seen: VecDeque<Seen>,
    ended: bool,
    speaker: Option<Speaker>,
    call: Option<Call>,
}

enum Far {
    Local(LocalServer),
    Script(Hostile),
}

/// How often a scripted server is asked what it got.
const TURN: Duration = Duration::from_millis(5);

impl Ws {
    /// A stage with its own server.
    ///
    /// Fails where the local server does not understand the flow's script.
    pub fn new(flow: &Flow, profile: &str) -> talkwire_core::Result<Self> {
        let far = match flow.role {
            Role::Session => Far::Local(LocalServer::start(config(flow, profile))?),
            Role::ClientUnderTest => Far::Script(Hostile::start()),
        };
        Ok(Self {
            far,
            session: None,
            others: Vec::new(),
            seen: VecDeque::new(),
            ended: false,
            speaker: None,
            call: None,
        })
    }

    fn url(&self) -> &str {
        match &self.far {
            Far::Local(server) => server.url(),
            Far::Script(script) => &script.url,
        }
    }

    fn session(&self) -> Result<&Session, StageError> {
        self.session
            .as_ref()
            .ok_or_else(|| StageError("there is no session".to_owned()))
    }

    /// Waits for anything at either end; true when there is something.
    fn look(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            if let Far::Script(script) = &self.far {
                self.seen.extend(script.sent.try_iter().map(Seen::Sent));
            }
            if !self.seen.is_empty() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            let slice = if matches!(self.far, Far::Script(_)) {
                left.min(TURN)
            } else {
                left
            };
            let Some(session) = self.session.as_ref().filter(|_| !self.ended) else {
                return false;
            };
            match session.next_within(slice).expect("not in a callback") {
                Next::Event(event) => self.seen.push_back(Seen::Event(seen(&event))),
                Next::End(it) => {
                    self.ended = true;
                    self.seen.push_back(Seen::End(end(&it)));
                }
                Next::Empty if left.is_zero() => return false,
                Next::Empty => {}
            }
        }
    }

    fn dial(&self, spec: &OpenSpec) -> Session {
        let client = Client::new()
            .url(self.url())
            .dialect(&spec.profile)
            .expect("built in");
        let client = match spec.key.as_deref() {
            Some(key) if !key.is_empty() => client.key(key),
            _ => client,
        };
        client
            .open(options(spec))
            .expect("the options of flows are valid")
    }
}

/// A host that pulls what the agent says by its own clock, until the session is over.
fn listen(call: Call) -> Call {
    let (listener, started) = (call.clone(), Instant::now());
    let format = call.downlink();
    let samples = (format.rate_hz() * FRAME_MS / 1_000) as usize;
    let mut frame = vec![0; samples * format.sample_bytes()];
    std::thread::spawn(move || {
        for tick in 1.. {
            if listener.pull(&mut frame).is_err() {
                return;
            }
            let due = started + Duration::from_millis(tick * u64::from(FRAME_MS));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
    call
}

impl Stage for Ws {
    fn open(&mut self, spec: &OpenSpec) -> Result<(), End> {
        let session = self.dial(spec);
        if spec.call.is_some() {
            let call = session.attach(CallOptions::default());
            self.call = Some(listen(call.expect("the options of tests are valid")));
        }
        self.session = Some(session);
        if spec.role == Role::ClientUnderTest {
            return Ok(());
        }
        self.look(Duration::from_secs(10));
        match self.seen.pop_front() {
            Some(Seen::End(it)) => Err(it),
            first => {
                self.seen.extend(first);
                Ok(())
            }
        }
    }

    fn send(&mut self, json: &str) -> Result<(), StageError> {
        let session = self.session()?;
        let sent = if is_event(json) {
            session.send_json(json)
        } else {
            session.send_frame(json)
        };
        sent.map(drop)
            .map_err(|error| StageError(error.to_string()))
    }

    fn append_audio(&mut self, sound: Sound, ms: u32) -> Result<(), StageError> {
        let session = self.session()?.clone();
        let settings = session.runtime().block_on(session.settings());
        let format = match &self.call {
            Some(call) => call.uplink(),
            None => input_format(&settings.unwrap_or_default()),
        };
        let started = Instant::now();
        for frame in 0..ms / FRAME_MS {
            let speaker = self.speaker.get_or_insert_with(|| Speaker::new(format));
            let audio = speaker.frame(sound);
            let taken = match &self.call {
                Some(call) => call
                    .push(Track::Customer, &audio)
                    .map(drop)
                    .map_err(Into::into),
                None => session.append(audio),
            };
            taken.map_err(|error: Error| StageError(error.to_string()))?;
            // Speech comes at the speed of speech.
            let due = started + Duration::from_millis(u64::from((frame + 1) * FRAME_MS));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn next(&mut self, within_ms: u32) -> Option<Seen> {
        self.look(Duration::from_millis(within_ms.into()));
        self.seen.pop_front()
    }

    fn wait(&mut self, ms: u32) {
        std::thread::sleep(Duration::from_millis(ms.into()));
    }

    fn close(&mut self) {
        if let Some(session) = &self.session {
            session.close();
        }
    }

    fn played(&mut self, ms: u32) -> Result<(), StageError> {
        self.wait(ms);
        Ok(())
    }

    fn crowd(&mut self, sessions: u32) -> Result<(), StageError> {
        let client = Client::new().url(self.url());
        for _ in 0..sessions {
            let session = client
                .open(Default::default())
                .map_err(|e| StageError(e.to_string()))?;
            let opened = session.runtime().block_on(session.opened());
            opened.map_err(|error| StageError(error.to_string()))?;
            self.others.push(session);
        }
        Ok(())
    }

    fn line(&mut self, item_id: &str) -> Result<Option<String>, StageError> {
        let session = self.session()?;
        let history = session.history();
        let line = history.iter().find(|s| s.item_id == item_id);
        Ok(line.map(|s| s.text.clone()))
    }

    fn serve(&mut self, act: ServerAct) -> Result<(), StageError> {
        match &self.far {
            Far::Script(script) => {
                script.act(act);
                Ok(())
            }
            Far::Local(_) => Err(StageError::unable("play the server")),
        }
    }
}
