//! The item a response is writing: its events from `added` to `done`, also when it is cut short.

use bytes::Bytes;
use serde_json::{Value, json};
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Quirk;
use talkwire_core::wire::server::{
    Arguments, AudioDelta, ContentPart, Delta, ItemEvent, OutputItem, OutputRef,
};
use talkwire_core::wire::{Item, Part, ServerEvent};

use crate::brain::McpCall;
use crate::conversation::Recording;
use crate::response::Scene;

/// Where an item belongs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) response_id: String,
    pub(crate) item_id: String,
    pub(crate) output_index: u32,
    pub(crate) in_conversation: bool,
}

/// An item that is being written.
#[derive(Debug)]
pub(crate) struct Open {
    place: Place,
    /// The item before it in the conversation.
    previous: Option<String>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Message {
        spoken: bool,
        text: String,
    },
    Call {
        call_id: String,
        name: String,
        arguments: String,
    },
    /// A call of an MCP tool; `runs` once its arguments are complete.
    Mcp {
        call: McpCall,
        approved: Option<String>,
        arguments: String,
        runs: bool,
    },
    /// The question whether one may run.
    Approval(McpCall),
}

impl Open {
    /// Opens a message with one part.
    pub(crate) fn message(place: Place, spoken: bool, scene: &mut Scene<'_>) -> Self {
        let text = String::new();
        let open = Self::new(place, Body::Message { spoken, text }, scene);
        let part = ServerEvent::PartAdded(open.part());
        open.send(part, scene);
        open
    }

    /// Opens a function call.
    pub(crate) fn call(place: Place, name: String, scene: &mut Scene<'_>) -> Self {
        let call_id = scene.out.id("call");
        let arguments = String::new();
        let body = Body::Call {
            call_id,
            name,
            arguments,
        };
        Self::new(place, body, scene)
    }

    /// Opens a call of an MCP tool.
    pub(crate) fn mcp(
        place: Place,
        call: McpCall,
        approved: Option<String>,
        scene: &mut Scene<'_>,
    ) -> Self {
        let body = Body::Mcp {
            call,
            approved,
            arguments: String::new(),
            runs: false,
        };
        Self::new(place, body, scene)
    }

    /// Asks the client whether a call of an MCP tool may run.
    pub(crate) fn approval(place: Place, call: McpCall, scene: &mut Scene<'_>) -> Self {
        scene.approvals.ask(&place.item_id, call.clone());
        Self::new(place, Body::Approval(call), scene)
    }

    fn new(place: Place, body: Body, scene: &mut Scene<'_>) -> Self {
        let mut open = Self {
            place,
            previous: None,
            body,
        };
        let item = open.item("in_progress");
        open.send(ServerEvent::OutputItemAdded(open.output(&item)), scene);
        if open.place.in_conversation {
            open.previous = scene.talk.push(item.clone(), Recording::default());
            open.send(ServerEvent::ItemAdded(open.entry(item)), scene);
        }
        open
    }

    /// Adds text: of a text part, or the transcript of a spoken one.
    pub(crate) fn text(&mut self, delta: String, scene: &mut Scene<'_>) {
        let Body::Message { text, .. } = &mut self.body else {
            return;
        };
        text.push_str(&delta);
        let event = Delta {
            delta: Some(delta),
            ..self.delta()
        };
        let event = if self.is_transcript(scene) {
            ServerEvent::TranscriptDelta(event)
        } else {
            ServerEvent::TextDelta(event)
        };
        self.send(event, scene);
    }

    /// Adds sound.
    pub(crate) fn audio(&mut self, audio: Bytes, format: Format, scene: &mut Scene<'_>) {
        if self.place.in_conversation {
            scene.talk.record(&self.place.item_id, format, &audio);
        }
        let event = AudioDelta {
            response_id: self.place.response_id.clone(),
            item_id: self.place.item_id.clone(),
            output_index: self.place.output_index,
            content_index: 0,
            audio,
        };
        self.send(ServerEvent::AudioDelta(event), scene);
    }

    /// Adds to the arguments of a call.
    pub(crate) fn arguments(&mut self, delta: String, scene: &mut Scene<'_>) {
        if let Body::Call { arguments, .. } | Body::Mcp { arguments, .. } = &mut self.body {
            arguments.push_str(&delta);
        }
        let mut event = self.arguments_event();
        (event.delta, event.arguments, event.name) = (Some(delta), None, None);
        let event = match &self.body {
            Body::Mcp { .. } => ServerEvent::McpArgumentsDelta(event),
            _ => ServerEvent::ArgumentsDelta(event),
        };
        self.send(event, scene);
    }

    /// The arguments of a call of an MCP tool are complete: it runs.
    pub(crate) fn run_mcp(&mut self, scene: &mut Scene<'_>) {
        if let Body::Mcp { runs, .. } = &mut self.body {
            *runs = true;
            let event = self.arguments_event();
            self.send(ServerEvent::McpArgumentsDone(event), scene);
            let event = self.reference();
            self.send(ServerEvent::McpCallInProgress(event), scene);
        }
    }

    /// Closes what is open, in the order of the protocol, and returns the final item.
    pub(crate) fn close(self, status: &str, scene: &mut Scene<'_>) -> Item {
        match &self.body {
            Body::Message { spoken, text } => {
                if *spoken {
                    self.send(ServerEvent::AudioDone(self.delta()), scene);
                }
                self.send(self.text_done(text.clone(), scene), scene);
                self.send(ServerEvent::PartDone(self.part()), scene);
            }
            Body::Call { .. } => {
                let event = self.arguments_event();
                self.send(ServerEvent::ArgumentsDone(event), scene);
            }
            Body::Mcp { call, runs, .. } => {
                if !runs {
                    let event = self.arguments_event();
                    self.send(ServerEvent::McpArgumentsDone(event), scene);
                }
                let event = match &call.outcome {
                    Ok(_) if status == "completed" => ServerEvent::McpCallCompleted,
                    _ => ServerEvent::McpCallFailed,
                };
                self.send(event(self.reference()), scene);
            }
            Body::Approval(_) => {}
        }
        let item = self.item(status);
        if self.place.in_conversation {
            scene.talk.replace(&item);
            self.send(ServerEvent::ItemDone(self.entry(item.clone())), scene);
        }
        self.send(ServerEvent::OutputItemDone(self.output(&item)), scene);
        item
    }

    fn text_done(&self, text: String, scene: &Scene<'_>) -> ServerEvent {
        if self.is_transcript(scene) {
            let transcript = Some(text);
            return ServerEvent::TranscriptDone(Delta {
                transcript,
                ..self.delta()
            });
        }
        let text = Some(text);
        ServerEvent::TextDone(Delta {
            text,
            ..self.delta()
        })
    }

    fn send(&self, event: ServerEvent, scene: &mut Scene<'_>) {
        scene.out.send(&event, scene.fx);
    }

    fn is_transcript(&self, scene: &Scene<'_>) -> bool {
        let spoken = matches!(self.body, Body::Message { spoken: true, .. });
        spoken && !scene.out.dialect.has(Quirk::SpokenTextIsOutputText)
    }

    fn delta(&self) -> Delta {
        Delta {
            response_id: self.place.response_id.clone(),
            item_id: self.place.item_id.clone(),
            output_index: self.place.output_index,
            ..Delta::default()
        }
    }

    fn part(&self) -> ContentPart {
        let mut part = Part::default();
        if let Body::Message { spoken, text } = &self.body {
            // Parts of these two events have other names than those of items.
            part.kind = if *spoken { "audio" } else { "text" }.to_owned();
            let place = if *spoken {
                &mut part.transcript
            } else {
                &mut part.text
            };
            *place = Some(text.clone());
        }
        ContentPart {
            response_id: self.place.response_id.clone(),
            item_id: self.place.item_id.clone(),
            output_index: self.place.output_index,
            content_index: 0,
            part,
        }
    }

    fn arguments_event(&self) -> Arguments {
        let mut event = Arguments {
            response_id: self.place.response_id.clone(),
            item_id: self.place.item_id.clone(),
            output_index: self.place.output_index,
            ..Arguments::default()
        };
        if let Body::Call {
            call_id,
            name,
            arguments,
        } = &self.body
        {
            event.call_id.clone_from(call_id);
            event.name = Some(name.clone());
            event.arguments = Some(arguments.clone());
        }
        if let Body::Mcp { arguments, .. } = &self.body {
            event.arguments = Some(arguments.clone());
        }
        event
    }

    fn reference(&self) -> OutputRef {
        OutputRef {
            item_id: self.place.item_id.clone(),
            output_index: self.place.output_index,
        }
    }

    fn output(&self, item: &Item) -> OutputItem {
        OutputItem {
            response_id: self.place.response_id.clone(),
            output_index: self.place.output_index,
            item: item.clone(),
        }
    }

    fn entry(&self, item: Item) -> ItemEvent {
        ItemEvent {
            previous_item_id: self.previous.clone(),
            item,
        }
    }

    fn item(&self, status: &str) -> Item {
        let mut item = Item {
            id: Some(self.place.item_id.clone()),
            object: Some("realtime.item".to_owned()),
            status: Some(status.to_owned()),
            ..Item::default()
        };
        match &self.body {
            Body::Message { spoken, text } => {
                item.kind = "message".to_owned();
                item.role = Some("assistant".to_owned());
                let open = status == "in_progress";
                item.content = Some(if open {
                    Vec::new()
                } else {
                    vec![final_part(*spoken, text)]
                });
            }
            Body::Call {
                call_id,
                name,
                arguments,
            } => {
                item.kind = "function_call".to_owned();
                item.call_id = Some(call_id.clone());
                item.name = Some(name.clone());
                item.arguments = Some(arguments.clone());
            }
            Body::Mcp {
                call,
                approved,
                arguments,
                ..
            } => {
                item.arguments = Some(arguments.clone());
                mcp_item(&mut item, "mcp_call", call);
                let approved = json!(approved);
                item.extra
                    .insert("approval_request_id".to_owned(), approved);
                tell_outcome(&mut item, mcp_outcome(status, call));
            }
            Body::Approval(call) => {
                item.arguments = Some(call.arguments.clone());
                mcp_item(&mut item, "mcp_approval_request", call);
            }
        }
        item
    }
}

/// Fields that items about MCP calls share. They have no `status`.
fn mcp_item(item: &mut Item, kind: &str, call: &McpCall) {
    item.kind = kind.to_owned();
    item.status = None;
    item.object = None;
    item.name = Some(call.name.clone());
    item.extra
        .insert("server_label".to_owned(), json!(call.server));
}

/// What an MCP call brought, or why it failed; nothing while it runs.
fn mcp_outcome(status: &str, call: &McpCall) -> Option<Result<String, String>> {
    match (status, &call.outcome) {
        ("in_progress", _) => None,
        ("completed", outcome) | (_, outcome @ Err(_)) => Some(outcome.clone()),
        (_, Ok(_)) => Some(Err("the response was stopped".to_owned())),
    }
}

/// Clients refuse the item of a call that lacks one of the two fields, null or not.
fn tell_outcome(item: &mut Item, outcome: Option<Result<String, String>>) {
    let (output, error) = match outcome {
        Some(Ok(output)) => (Some(output), Value::Null),
        Some(Err(message)) => {
            let error = json!({"type": "tool_execution_error", "message": message});
            (None, error)
        }
        None => (None, Value::Null),
    };
    if output.is_none() {
        item.extra.insert("output".to_owned(), Value::Null);
    }
    item.output = output;
    item.extra.insert("error".to_owned(), error);
}

fn final_part(spoken: bool, text: &str) -> Part {
    let mut part = Part::default();
    if spoken {
        part.kind = "output_audio".to_owned();
        part.transcript = Some(text.to_owned());
    } else {
        part.kind = "output_text".to_owned();
        part.text = Some(text.to_owned());
    }
    part
}
