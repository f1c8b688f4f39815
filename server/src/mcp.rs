//! Tools of MCP servers, as the script has them: nothing is dialled. A server's tools are listed when
//! a session names it; its calls run inside responses, after the client's approval where it wants to
//! be asked.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use talkwire_core::wire::server::{ItemEvent, ItemRef};
use talkwire_core::wire::{Item, Map, ServerEvent};

use crate::conversation::Recording;
use crate::error::{Judged, Problem};
use crate::io::PeerEffects;
use crate::peer::Peer;
use crate::settings::Settings;

/// A call of a tool of an MCP server, and what it brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpCall {
    /// `server_label` of the session's tool.
    pub server: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text.
    pub arguments: String,
    /// Its output, or why it fails.
    pub outcome: Result<String, String>,
}

/// What an MCP server of the script can do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct McpServer {
    /// Its tools, as `mcp_list_tools` shows them.
    pub tools: Vec<Value>,
    /// Why they cannot be listed.
    pub fail: Option<String>,
}

/// The MCP servers of a script by their labels.
pub type McpServers = BTreeMap<String, McpServer>;

/// Most requests for approval that wait; the oldest is forgotten.
const MAX_ASKED: usize = 64;

/// The MCP side of a session.
#[derive(Debug, Default)]
pub(crate) struct Mcp {
    servers: McpServers,
    /// Labels and addresses of the servers whose tools were listed.
    listed: Vec<(String, String)>,
    pub(crate) approvals: Approvals,
}

/// Calls that wait for the client's word, by the id of the item that asks for it.
#[derive(Debug, Default)]
pub(crate) struct Approvals(VecDeque<(String, McpCall)>);

/// Whether a call may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The session has no such tool.
    No,
    /// The client wants to be asked.
    Ask,
    /// At once.
    Yes,
}

impl Mcp {
    pub(crate) fn new(servers: McpServers) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// Takes the session's tools and returns those of servers that are new to it.
    fn news(&mut self, settings: &Settings) -> Vec<String> {
        let key = |tool: &Value| {
            let text = |key: &str| tool[key].as_str().unwrap_or_default().to_owned();
            (
                text("server_label"),
                text("server_url") + &text("connector_id"),
            )
        };
        let tools = settings.echo("/tools");
        let named: Vec<_> = tools
            .as_array()
            .into_iter()
            .flatten()
            .filter(is_mcp)
            .map(key)
            .collect();
        let is_new = |tool: &&(String, String)| !self.listed.contains(tool);
        let news = named
            .iter()
            .filter(is_new)
            .map(|(label, _)| label.clone())
            .collect();
        self.listed = named;
        news
    }
}

impl Approvals {
    /// Notes that an item asks for approval.
    pub(crate) fn ask(&mut self, item_id: &str, call: McpCall) {
        if self.0.len() == MAX_ASKED {
            self.0.pop_front();
        }
        self.0.push_back((item_id.to_owned(), call));
    }

    fn is_asked(&self, item_id: &str) -> bool {
        self.0.iter().any(|(asked, _)| asked == item_id)
    }

    fn take(&mut self, item_id: &str) -> Option<McpCall> {
        let at = self.0.iter().position(|(asked, _)| asked == item_id)?;
        self.0.remove(at).map(|(_, call)| call)
    }

    /// Judges the client's answer.
    pub(crate) fn judge(&self, item: &Item) -> Judged<()> {
        let field = "item.approval_request_id";
        let id = match item.extra.get("approval_request_id") {
            Some(Value::String(id)) => id,
            None | Some(Value::Null) => return Err(Problem::missing(field)),
            Some(_) => return Err(Problem::kind(field, "a string")),
        };
        match item.extra.get("approve") {
            Some(Value::Bool(_)) => {}
            None | Some(Value::Null) => return Err(Problem::missing("item.approve")),
            Some(_) => return Err(Problem::kind("item.approve", "a boolean")),
        }
        if self.is_asked(id) {
            return Ok(());
        }
        let message = format!("No request '{id}' waits for approval.");
        Err(Problem::value(field, message))
    }
}

impl McpCall {
    /// Whether the session lets it run.
    pub(crate) fn leave(&self, settings: &Settings) -> Leave {
        let tools = settings.echo("/tools");
        let is_it = |tool: &&Value| is_mcp(tool) && tool["server_label"] == self.server.as_str();
        let Some(tool) = tools.as_array().into_iter().flatten().find(is_it) else {
            return Leave::No;
        };
        if !settings.allows_tools() || !allows(&tool["allowed_tools"], &self.name) {
            return Leave::No;
        }
        let rule = &tool["require_approval"];
        let never = rule == "never" || names(&rule["never"], &self.name);
        // Without a word about it the vendors ask.
        if never { Leave::Yes } else { Leave::Ask }
    }
}

impl Peer {
    /// Lists the tools of the MCP servers that the session names for the first time.
    pub(crate) fn list_tools(&mut self, fx: &mut PeerEffects) {
        for label in self.mcp.news(&self.settings) {
            let item_id = self.out.id("mcpl");
            let server = self.mcp.servers.get(&label).cloned().unwrap_or_default();
            let refer = ItemRef {
                item_id: item_id.clone(),
            };
            self.out
                .send(&ServerEvent::McpListInProgress(refer.clone()), fx);
            let empty = listing(&item_id, &label, Vec::new());
            let previous = self.talk.push(empty.clone(), Recording::default());
            let entry = |item| ItemEvent {
                previous_item_id: previous.clone(),
                item,
            };
            self.out.send(&ServerEvent::ItemAdded(entry(empty)), fx);
            let event = match &server.fail {
                None => ServerEvent::McpListCompleted(refer),
                Some(_) => ServerEvent::McpListFailed(refer),
            };
            let tools = if server.fail.is_none() {
                server.tools
            } else {
                Vec::new()
            };
            let item = listing(&item_id, &label, tools);
            self.talk.replace(&item);
            self.out.send(&event, fx);
            self.out.send(&ServerEvent::ItemDone(entry(item)), fx);
        }
    }

    /// The call that a client's item approves, if it does.
    pub(crate) fn approved(&mut self, item: &Item) -> Option<(String, McpCall)> {
        let id = item.extra.get("approval_request_id")?.as_str()?;
        let call = self.mcp.approvals.take(id)?;
        let is_approved = item.extra.get("approve") == Some(&json!(true));
        is_approved.then(|| (id.to_owned(), call))
    }
}

fn is_mcp(tool: &&Value) -> bool {
    tool["type"] == "mcp"
}

/// A list of names, or an object that holds one as `tool_names`.
fn names(rule: &Value, name: &str) -> bool {
    let list = rule.as_array().or_else(|| rule["tool_names"].as_array());
    list.is_some_and(|list| list.iter().any(|known| known == name))
}

fn allows(rule: &Value, name: &str) -> bool {
    let is_open = rule.is_null() || (rule.is_object() && rule["tool_names"].is_null());
    is_open || names(rule, name)
}

fn listing(id: &str, label: &str, tools: Vec<Value>) -> Item {
    let mut extra = Map::new();
    extra.insert("server_label".to_owned(), json!(label));
    extra.insert("tools".to_owned(), Value::Array(tools));
    Item {
        id: Some(id.to_owned()),
        kind: "mcp_list_tools".to_owned(),
        extra,
        ..Item::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Circumstances;
    use talkwire_core::dialect::Dialect;

    fn settings(tools: Value) -> Settings {
        let dialect = Dialect::named("openai").expect("built in");
        let mut settings = Settings::new(dialect, "sess_1", "m", 1);
        let patch = json!({"type": "realtime", "tools": tools});
        let patch = patch.as_object().expect("an object");
        settings
            .update(patch, Circumstances::default())
            .expect("fine");
        settings
    }

    fn call(server: &str) -> McpCall {
        McpCall {
            server: server.to_owned(),
            name: "find".to_owned(),
            arguments: "{}".to_owned(),
            outcome: Ok("1".to_owned()),
        }
    }

    #[test]
    fn a_call_runs_as_the_sessions_tool_allows() {
        let cases = [
            (json!({}), Leave::Ask),
            (json!({"require_approval": "never"}), Leave::Yes),
            (json!({"require_approval": "always"}), Leave::Ask),
            (
                json!({"require_approval": {"never": {"tool_names": ["find"]}}}),
                Leave::Yes,
            ),
            (
                json!({"require_approval": {"never": {"tool_names": ["put"]}}}),
                Leave::Ask,
            ),
            (
                json!({"require_approval": "never", "allowed_tools": ["put"]}),
                Leave::No,
            ),
            (
                json!({"require_approval": "never", "allowed_tools": ["find"]}),
                Leave::Yes,
            ),
            (
                json!({"require_approval": "never", "allowed_tools": {"tool_names": ["put"]}}),
                Leave::No,
            ),
        ];
        for (mut tool, leave) in cases {
            tool["type"] = json!("mcp");
            tool["server_label"] = json!("crm");
            let settings = settings(json!([tool]));
            assert_eq!(call("crm").leave(&settings), leave, "{tool}");
            assert_eq!(call("other").leave(&settings), Leave::No);
        }
    }

    #[test]
    fn a_server_is_news_once_until_it_is_another() {
        let mut mcp = Mcp::default();
        let tool = |url: &str| json!({"type": "mcp", "server_label": "crm", "server_url": url});
        let function = json!({"type": "function", "name": "f"});
        let first = settings(json!([function, tool("a")]));
        assert_eq!(mcp.news(&first), ["crm"]);
        assert!(mcp.news(&first).is_empty());
        assert_eq!(mcp.news(&settings(json!([tool("b")]))), ["crm"]);
        assert!(mcp.news(&settings(json!([]))).is_empty());
        assert_eq!(mcp.news(&first), ["crm"]);
    }

    #[test]
    fn an_answer_names_a_request_that_waits() {
        let mut approvals = Approvals::default();
        approvals.ask("q", call("crm"));
        let judge = |fields: Value, approvals: &Approvals| {
            let item: Item = serde_json::from_value(fields).expect("an item");
            approvals
                .judge(&item)
                .map_err(|p| p.param().map(str::to_owned))
        };
        let id = |field: &str| Err(Some(format!("item.{field}")));
        let cases = [
            (json!({"approve": true}), id("approval_request_id")),
            (
                json!({"approval_request_id": 1, "approve": true}),
                id("approval_request_id"),
            ),
            (json!({"approval_request_id": "q"}), id("approve")),
            (
                json!({"approval_request_id": "q", "approve": "yes"}),
                id("approve"),
            ),
            (
                json!({"approval_request_id": "p", "approve": true}),
                id("approval_request_id"),
            ),
            (
                json!({"approval_request_id": "q", "approve": false}),
                Ok(()),
            ),
        ];
        for (fields, expected) in cases {
            assert_eq!(judge(fields.clone(), &approvals), expected, "{fields}");
        }
        assert!(approvals.take("q").is_some() && approvals.take("q").is_none());
        for n in 0..2 * MAX_ASKED {
            approvals.ask(&n.to_string(), call("crm"));
        }
        assert_eq!(approvals.0.len(), MAX_ASKED);
    }
}
