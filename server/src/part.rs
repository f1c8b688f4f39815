//! The item a response is writing: its events from `added` to `done`, also when it is cut short.

use bytes::Bytes;
use talkwire_core::audio::format::Format;
use talkwire_core::dialect::Quirk;
use talkwire_core::wire::server::{
    Arguments, AudioDelta, ContentPart, Delta, ItemEvent, OutputItem,
};
use talkwire_core::wire::{Item, Part, ServerEvent};

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
        if let Body::Call { arguments, .. } = &mut self.body {
            arguments.push_str(&delta);
        }
        let mut event = self.arguments_event();
        (event.delta, event.arguments, event.name) = (Some(delta), None, None);
        self.send(ServerEvent::ArgumentsDelta(event), scene);
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
        event
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
        }
        item
    }
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
