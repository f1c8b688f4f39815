//! A response beside the conversation that a server refuses: it is asked for again over a link of
//! its own, which knows the conversation as a text and lives as long as the response.
//!
//! ```text
//! Idle --refused--> Dialing --up--> Greeting --greeted--> Asked --response.done--> Idle
//!                      \               \                    \---error, time, loss--> Idle
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::history::{Role, Segment};
use super::io::{Down, Effect, Effects, Frame, LinkId};
use super::requests::until;
use super::{Engine, answer};
use crate::error::{Error, Kind};
use crate::event::{Event, Origin};
use crate::wire::client::{ItemCreate, ResponseCreate};
use crate::wire::server::ErrorBody;
use crate::wire::{ClientEvent, Item, Map, ServerEvent};

/// A response that was asked for.
#[derive(Clone, Debug)]
struct Errand {
    event_id: String,
    response: Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Dialing,
    Greeting,
    Asked,
}

/// The link that is under way.
#[derive(Debug)]
struct Active {
    link: LinkId,
    step: Step,
    until: Instant,
    errand: Errand,
}

/// The responses that need a link of their own, one at a time.
#[derive(Debug, Default)]
pub(super) struct Aside {
    sent: VecDeque<Errand>,
    waiting: VecDeque<Errand>,
    active: Option<Active>,
}

/// Nobody asks for so many at once.
const MOST: usize = 16;

impl Aside {
    /// Notes a response beside the conversation that is asked for over the session's own link.
    pub(super) fn sent(&mut self, event_id: &str, response: &Map) {
        if self.sent.len() == MOST {
            self.sent.pop_front();
        }
        self.sent.push_back(Errand {
            event_id: event_id.to_owned(),
            response: response.clone(),
        });
    }

    /// The server refuses it there; returns whether it is one of these.
    fn refused(&mut self, event_id: &str) -> bool {
        let Some(at) = self.sent.iter().position(|e| e.event_id == event_id) else {
            return false;
        };
        self.waiting.extend(self.sent.remove(at));
        true
    }

    /// Whether a link is the one that is under way.
    pub(super) fn is(&self, link: LinkId) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.link == link)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.active.as_ref().map(|active| active.until)
    }

    /// Nobody waits for any of them.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// Whether a link is to be dialled.
    fn is_next(&self) -> bool {
        self.active.is_none() && !self.waiting.is_empty()
    }

    /// The next response is under way over `link`.
    fn next(&mut self, link: LinkId, until: Instant) {
        let Some(errand) = self.waiting.pop_front() else {
            return;
        };
        let step = Step::Dialing;
        self.active = Some(Active {
            link,
            step,
            until,
            errand,
        });
    }
}

impl Engine {
    /// An error that says that there is nothing beside the conversation here; returns whether the
    /// matter is settled by a link of its own.
    pub(super) fn is_aside_refused(
        &mut self,
        now: Instant,
        error: &ErrorBody,
        fx: &mut Effects,
    ) -> bool {
        let is_about = error.param.as_deref() == Some("response.conversation");
        let event_id = error.event_id.as_deref().unwrap_or_default();
        let is_refused =
            (is_about || !self.dialect.can("out_of_band")) && self.aside.refused(event_id);
        if is_refused {
            self.responses.refused(event_id);
            self.dial_aside(now, fx);
        }
        is_refused
    }

    fn dial_aside(&mut self, now: Instant, fx: &mut Effects) {
        if self.aside.is_next() {
            let link = self.new_link();
            self.aside
                .next(link, until(now, self.options.greeting_timeout_ms));
            fx.push(Effect::Dial(link, self.endpoints.at()));
        }
    }

    pub(super) fn aside_up(&mut self, now: Instant) {
        if let Some(active) = &mut self.aside.active {
            active.step = Step::Greeting;
            active.until = until(now, self.options.greeting_timeout_ms);
        }
    }

    pub(super) fn aside_text(&mut self, now: Instant, raw: &str, fx: &mut Effects) {
        // What is no event is of no use beside the conversation; the time bounds the wait.
        let Ok(decoded) = self.dialect.decode_server(raw) else {
            return;
        };
        match decoded.event {
            ServerEvent::SessionCreated(_) => self.ask_aside(now, fx),
            ServerEvent::Error(e) => {
                let error = Error::new(Kind::Server, e.error.message.as_str())
                    .with_provider(super::link::provider(&e.error));
                self.fail_aside(now, &error, fx);
            }
            event => self.tell_aside(now, event, fx),
        }
    }

    /// Tells the new link the conversation, and asks.
    fn ask_aside(&mut self, now: Instant, fx: &mut Effects) {
        let Some(active) = self
            .aside
            .active
            .as_mut()
            .filter(|a| a.step == Step::Greeting)
        else {
            return;
        };
        active.step = Step::Asked;
        active.until = until(now, self.options.reply_timeout_ms);
        let (link, mut response) = (active.link, active.errand.response.clone());
        response.remove("conversation");
        let input = response.remove("input");
        let items = told(input.as_ref(), self.history.segments());
        let create = |item| {
            ClientEvent::ItemCreate(ItemCreate {
                previous_item_id: None,
                item,
            })
        };
        let mut events: Vec<ClientEvent> = items.into_iter().map(create).collect();
        let response = Some(response);
        events.push(ClientEvent::ResponseCreate(ResponseCreate { response }));
        for event in events {
            let event_id = self.ids.next("evt");
            // What cannot be said in this dialect is left out; the question itself always can.
            if let Ok(frame) = self.dialect.encode_client(&event, Some(&event_id)) {
                fx.push(Effect::Send(link, Frame::Text(frame)));
            }
        }
    }

    /// Gives the events of the response to the application, as those of one beside the conversation.
    fn tell_aside(&mut self, now: Instant, mut event: ServerEvent, fx: &mut Effects) {
        let Some(active) = self.aside.active.as_mut().filter(|a| a.step == Step::Asked) else {
            return;
        };
        if event.response_id().is_none() {
            return;
        }
        active.until = until(now, self.options.reply_timeout_ms);
        let (link, event_id) = (active.link, active.errand.event_id.clone());
        if let ServerEvent::ResponseCreated(e) | ServerEvent::ResponseDone(e) = &mut event {
            e.response.conversation_id = None;
        }
        let proven = self.requests.proven(&event, Some(&event_id));
        let origin = Origin {
            at_ms: self.at_ms(now),
            rewritten: true,
            audio_ms: self.audio_ms(&event),
            ..Origin::default()
        };
        fx.push(Effect::Emit(Event::wire(event.clone(), origin)));
        answer(proven, fx);
        self.counted(now, &event, fx);
        if matches!(event, ServerEvent::ResponseDone(_)) {
            self.aside.active = None;
            self.hang_up(now, link, fx);
            self.dial_aside(now, fx);
        }
    }

    pub(super) fn aside_down(&mut self, now: Instant, down: &Down, fx: &mut Effects) {
        let error = match down {
            Down::Failed(error) => error.clone(),
            Down::Closed { reason, .. } => Error::new(Kind::ServerClosed, reason.as_str()),
        };
        self.fail_aside(now, &error, fx);
    }

    pub(super) fn aside_timeout(&mut self, now: Instant, fx: &mut Effects) {
        if self.aside.deadline().is_some_and(|due| now >= due) {
            let message = "a response beside the conversation did not come in time";
            self.fail_aside(now, &Error::new(Kind::Timeout, message), fx);
        }
    }

    /// It came to nothing: whoever asked is told, and so is the event stream if nobody waits.
    fn fail_aside(&mut self, now: Instant, error: &Error, fx: &mut Effects) {
        let Some(active) = self.aside.active.take() else {
            return;
        };
        fx.push(Effect::Abort(active.link));
        let failed = self.requests.failed(&active.errand.event_id, error);
        if failed.is_none() {
            fx.push(Effect::Emit(Event::fault(
                self.at_ms(now),
                error.clone(),
                None,
            )));
        }
        answer(failed, fx);
        self.dial_aside(now, fx);
    }
}

/// What a link that knows nothing is told: the items that were given, those of the conversation by
/// their words; without any, the whole conversation as one text.
fn told(input: Option<&Value>, segments: &[Arc<Segment>]) -> Vec<Item> {
    let Some(Value::Array(given)) = input else {
        let lines: Vec<String> = segments.iter().filter_map(|s| line(s)).collect();
        let text = format!("The conversation so far:\n{}", lines.join("\n"));
        return Some(Item::user_text(text))
            .filter(|_| !lines.is_empty())
            .into_iter()
            .collect();
    };
    let item = |value: &Value| {
        if value["type"] != "item_reference" {
            return serde_json::from_value(value.clone()).ok();
        }
        let segment = segments.iter().find(|s| value["id"] == json!(s.item_id));
        segment
            .and_then(|segment| line(segment))
            .map(Item::user_text)
    };
    given.iter().filter_map(item).collect()
}

fn line(segment: &Segment) -> Option<String> {
    let who = match segment.role {
        Role::Customer => "Customer",
        Role::Agent => "Agent",
        Role::System => return None,
    };
    let text = segment.text.trim();
    (!text.is_empty()).then(|| format!("{who}: {text}"))
}
