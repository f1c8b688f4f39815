//! What the client does to the conversation.

use std::time::Instant;

use serde_json::Value;
use talkwire_core::wire::server::{ItemRef, ItemTruncated, RetrievedItem};
use talkwire_core::wire::{Map, ServerEvent};

use crate::conversation::Place;
use crate::error::{Judged, Problem};
use crate::io::PeerEffects;
use crate::item_rules::ItemRules;
use crate::peer::Peer;

impl Peer {
    pub(crate) fn item_create(
        &mut self,
        now: Instant,
        fields: &Map,
        fx: &mut PeerEffects,
    ) -> Judged<()> {
        self.know(fields, &["item", "previous_item_id"])?;
        let place = Place::read(fields)?;
        let dialect = self.out.dialect.clone();
        let rules = ItemRules {
            talk: &self.talk,
            approvals: &self.mcp.approvals,
            dialect: &dialect,
        };
        let out = &mut self.out;
        let item = rules.create(fields, || out.id("item"))?;
        let is_answer = item.kind == "mcp_approval_response";
        let answer = is_answer.then(|| item.clone());
        self.insert(now, &place, item, fx)?;
        if let Some(approved) = answer.and_then(|item| self.approved(&item)) {
            self.run_approved(approved);
        }
        Ok(())
    }

    pub(crate) fn item_retrieve(&mut self, fields: &Map, fx: &mut PeerEffects) -> Judged<()> {
        self.know(fields, &["item_id"])?;
        let item = self.talk.retrieve(text(fields, "item_id")?)?;
        let event = ServerEvent::ItemRetrieved(RetrievedItem { item });
        self.out.send(&event, fx);
        Ok(())
    }

    pub(crate) fn item_truncate(&mut self, fields: &Map, fx: &mut PeerEffects) -> Judged<()> {
        self.know(fields, &["item_id", "content_index", "audio_end_ms"])?;
        let item_id = text(fields, "item_id")?;
        let content_index = match fields.get("content_index") {
            None => 0,
            Some(_) => count(fields, "content_index")?,
        };
        let audio_end_ms = count(fields, "audio_end_ms")?;
        self.talk.truncate(item_id, content_index, audio_end_ms)?;
        let event = ServerEvent::ItemTruncated(ItemTruncated {
            item_id: item_id.to_owned(),
            content_index: content_index as u32,
            audio_end_ms,
        });
        self.out.send(&event, fx);
        Ok(())
    }

    pub(crate) fn item_delete(&mut self, fields: &Map, fx: &mut PeerEffects) -> Judged<()> {
        self.know(fields, &["item_id"])?;
        let item_id = text(fields, "item_id")?;
        self.talk.remove(item_id)?;
        let event = ServerEvent::ItemDeleted(ItemRef {
            item_id: item_id.to_owned(),
        });
        self.out.send(&event, fx);
        Ok(())
    }
}

fn text<'a>(fields: &'a Map, name: &str) -> Judged<&'a str> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(Problem::missing(name)),
        Some(_) => Err(Problem::kind(name, "a string")),
    }
}

fn count(fields: &Map, name: &str) -> Judged<u64> {
    match fields.get(name) {
        None | Some(Value::Null) => Err(Problem::missing(name)),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| Problem::kind(name, "an integer of at least 0")),
    }
}
