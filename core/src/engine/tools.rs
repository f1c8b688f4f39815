//! The book of function calls: each is offered once and answered once, and the calls of one
//! response are followed by one wish for the next.
//!
//! ```text
//! call of a registered tool:  Running --result, error, time over, arguments are bad--> Answered
//! call of any other:          Offered --the application's own item-------------------> Answered
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::io::LinkId;
use super::mcp::McpCalls;
use super::replay::Pair;
use crate::dialect::Dialect;
use crate::error::{Error, Kind, Result};
use crate::event::local::{ToolCall, ToolRef};
use crate::options::tool::Tool;
use crate::wire::server::OutputItem;
use crate::wire::{Item, Map};

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Of a tool that the application runs and answers by itself.
    Offered,
    /// Of a registered tool.
    Running {
        since: Instant,
        overdue: Option<Instant>,
        until: Instant,
    },
    Answered,
}

#[derive(Debug)]
struct Call {
    call_id: String,
    name: String,
    arguments: String,
    response_id: String,
    /// The link it came over.
    link: LinkId,
    /// The item that was the last of the conversation.
    after: Option<String>,
    output: Option<String>,
    is_registered: bool,
    state: State,
}

/// A call that is new.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is to be run.
    Run(ToolCall),
    /// Its arguments are no such call: the model is told.
    Bad(String, String),
}

/// A time of a call that has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The caller should hear something meanwhile, in these words if there are any.
    Overdue(ToolRef, Option<String>),
    /// Nobody waits any longer.
    Over(ToolRef),
}

/// The calls of the session, by `call_id`.
#[derive(Debug)]
pub(super) struct Tools {
    registered: Vec<Tool>,
    book: VecDeque<Call>,
    /// Of the session: calls of different sessions must not look the same to whoever runs them.
    key: String,
    /// Responses that are done and whose calls are not all answered.
    done: VecDeque<String>,
    pub(super) mcp: McpCalls,
}

/// The model calls few functions at once; older entries have been settled long ago.
const MOST: usize = 256;

impl Tools {
    pub(super) fn new(registered: Vec<Tool>, key: String) -> Self {
        Self {
            registered,
            book: VecDeque::new(),
            key,
            done: VecDeque::new(),
            mcp: McpCalls::default(),
        }
    }

    // ---- which there are ----------------------------------------------------------------------

    /// Registers a tool, in place of one of the same name.
    pub(super) fn register(&mut self, tool: Tool) {
        self.registered.retain(|known| known.name != tool.name);
        self.registered.push(tool);
    }

    /// The tools of a session with those that are registered.
    pub(super) fn join(&self, tools: Option<&Value>) -> Option<Value> {
        if self.registered.is_empty() {
            return None;
        }
        let ours: Vec<Value> = self.registered.iter().map(Tool::to_wire).collect();
        let theirs = tools.and_then(Value::as_array).into_iter().flatten();
        let is_other = |tool: &&Value| !ours.iter().any(|our| our["name"] == tool["name"]);
        let mut all: Vec<Value> = theirs.filter(is_other).cloned().collect();
        all.extend(ours);
        Some(all.into())
    }

    // ---- calls --------------------------------------------------------------------------------

    /// Notes the call that a finished item offers. An application may answer before: the item then
    /// says nothing new. It came over a link, after the last item of the conversation.
    pub(super) fn offered(
        &mut self,
        now: Instant,
        event: &OutputItem,
        dialect: &Dialect,
        (link, after): (LinkId, Option<&str>),
    ) -> Option<Offer> {
        let item = &event.item;
        let name = item.name.as_deref().unwrap_or_default();
        let is_ours = item.kind == "function_call"
            && item.status.as_deref() != Some("incomplete")
            && !dialect.table().server_tools.iter().any(|t| t == name);
        let call_id = item.call_id.as_deref().filter(|_| is_ours)?;
        if self.book.iter().any(|call| call.call_id == call_id) {
            return None;
        }
        let tool = self.registered.iter().find(|tool| tool.name == name);
        let state = tool.map_or(State::Offered, |tool| tool.running(now));
        let arguments = item.arguments.clone().unwrap_or_default();
        let offer = tool.map(|tool| match tool.judge(&arguments) {
            Ok(()) => Offer::Run(ToolCall {
                call_id: call_id.to_owned(),
                name: name.to_owned(),
                arguments: arguments.clone(),
                idempotency_key: format!("{}-{call_id}", self.key),
                response_id: event.response_id.clone(),
            }),
            Err(message) => Offer::Bad(call_id.to_owned(), message),
        });
        self.note(Call {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments,
            response_id: event.response_id.clone(),
            link,
            after: after.map(str::to_owned),
            output: None,
            is_registered: offer.is_some(),
            state,
        });
        offer
    }

    /// A call has one output: the first one counts.
    pub(super) fn may_answer(&self, call_id: &str) -> Result<()> {
        let mut calls = self.book.iter().filter(|call| call.call_id == call_id);
        if calls.any(|call| call.state == State::Answered) {
            let message = format!("the call {call_id} has its output already");
            return Err(Error::new(Kind::Refused, message));
        }
        Ok(())
    }

    pub(super) fn call_ids(&self) -> impl Iterator<Item = &String> {
        self.book.iter().map(|call| &call.call_id)
    }

    pub(super) fn knows(&self, call_id: &str) -> bool {
        self.book.iter().any(|call| call.call_id == call_id)
    }

    /// Notes an output that is about to be sent.
    pub(super) fn answered(&mut self, item: &Item) {
        let is_output = item.kind == "function_call_output";
        let Some(call_id) = item.call_id.as_deref().filter(|_| is_output) else {
            return;
        };
        match self.entry(call_id) {
            Some(call) => {
                call.state = State::Answered;
                call.output.clone_from(&item.output);
            }
            None => self.note(Call {
                call_id: call_id.to_owned(),
                name: String::new(),
                arguments: String::new(),
                response_id: String::new(),
                link: LinkId(0),
                after: None,
                output: None,
                is_registered: false,
                state: State::Answered,
            }),
        }
    }

    // ---- a change of link ---------------------------------------------------------------------

    /// The call that an output answers, if another link than `link` has brought it.
    pub(super) fn foreign(&self, item: &Item, link: LinkId) -> Option<Pair> {
        let is_output = item.kind == "function_call_output";
        let call_id = item.call_id.as_deref().filter(|_| is_output)?;
        let call = self.book.iter().find(|call| call.call_id == call_id)?;
        let is_foreign = call.link != link && call.link != LinkId(0);
        is_foreign.then(|| call.pair(item.output.clone().unwrap_or_default()))
    }

    /// An output that the server may not have taken is given once more.
    pub(super) fn reopened(&mut self, item: &Item) {
        let is_output = item.kind == "function_call_output";
        let call_id = item.call_id.as_deref().filter(|_| is_output);
        if let Some(call) = call_id.and_then(|call_id| self.entry(call_id)) {
            call.state = State::Offered;
            call.output = None;
        }
    }

    /// The calls with their outputs, oldest first.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let answered = self.book.iter().filter(|call| call.link != LinkId(0));
        answered
            .filter_map(|call| Some(call.pair(call.output.clone()?)))
            .collect()
    }

    /// A response is done. One that was cancelled leaves the next word to the customer.
    pub(super) fn response_done(&mut self, response_id: &str, is_cancelled: bool) {
        let mut calls = self.book.iter().filter(|c| c.response_id == response_id);
        // Who answers calls by itself asks by itself, too.
        let is_asked = match calls.clone().next() {
            Some(_) => calls.any(|call| call.is_registered),
            None => self.mcp.are_made_by(response_id),
        };
        if is_asked && !is_cancelled {
            self.finish(response_id);
        }
    }

    /// A call of an MCP tool is over. An approved one may belong to no response.
    pub(super) fn mcp_over(&mut self, item_id: &str) {
        if !self.mcp.over(item_id) {
            self.finish("");
        }
    }

    fn finish(&mut self, response_id: &str) {
        if self.done.len() == MOST {
            self.done.pop_front();
        }
        self.done.push_back(response_id.to_owned());
    }

    /// Whether all calls of a response that is done are answered, so that the model goes on. Told
    /// once for each response.
    pub(super) fn is_batch_ready(&mut self) -> bool {
        let is_open = |id: &String| {
            let mut calls = self.book.iter().filter(|call| call.response_id == *id);
            calls.any(|call| call.state != State::Answered) || self.mcp.run_for(id)
        };
        let ready = self.done.iter().position(|id| !is_open(id));
        ready.and_then(|at| self.done.remove(at)).is_some()
    }

    // ---- time ---------------------------------------------------------------------------------

    pub(super) fn deadline(&self) -> Option<Instant> {
        let times = self.book.iter().filter_map(|call| match &call.state {
            State::Running { overdue, until, .. } => Some(overdue.unwrap_or(*until).min(*until)),
            State::Offered | State::Answered => None,
        });
        times.min()
    }

    /// The calls whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        for call in &mut self.book {
            let State::Running {
                since,
                overdue,
                until,
            } = &mut call.state
            else {
                continue;
            };
            let after = now.saturating_duration_since(*since).as_millis();
            let told = ToolRef {
                call_id: call.call_id.clone(),
                name: call.name.clone(),
                after_ms: u64::try_from(after).unwrap_or(u64::MAX),
            };
            if now >= *until {
                due.push(Due::Over(told));
            } else if overdue.take_if(|at| now >= *at).is_some() {
                let tool = self.registered.iter().find(|tool| tool.name == call.name);
                due.push(Due::Overdue(told, tool.and_then(|t| t.filler.clone())));
            }
        }
        due
    }

    /// Calls whose result nobody waits for: the session is over.
    pub(super) fn abandon(&mut self, now: Instant) -> Vec<ToolRef> {
        let mut left = Vec::new();
        for call in self.book.iter_mut().filter(|call| call.is_registered) {
            if let State::Running { since, .. } = &call.state {
                let after = now.saturating_duration_since(*since).as_millis();
                left.push(ToolRef {
                    call_id: call.call_id.clone(),
                    name: call.name.clone(),
                    after_ms: u64::try_from(after).unwrap_or(u64::MAX),
                });
                call.state = State::Answered;
            }
        }
        left
    }

    fn entry(&mut self, call_id: &str) -> Option<&mut Call> {
        self.book.iter_mut().find(|call| call.call_id == call_id)
    }

    fn note(&mut self, call: Call) {
        if self.book.len() == MOST {
            self.book.pop_front();
        }
        self.book.push_back(call);
    }

    /// Whether a call waits for its output or runs.
    pub(super) fn is_waiting(&self) -> bool {
        self.book.iter().any(|call| call.state != State::Answered) || self.mcp.run()
    }

    pub(super) fn check(&self) {
        let mut calls: Vec<_> = self.book.iter().map(|call| &call.call_id).collect();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), self.book.len(), "I5: a call is offered once");
    }
}

impl Call {
    fn pair(&self, output: String) -> Pair {
        Pair {
            call_id: self.call_id.clone(),
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            output,
            after: self.after.clone(),
        }
    }
}

impl Tool {
    fn running(&self, now: Instant) -> State {
        let after = |ms: u64| now + Duration::from_millis(ms.min(86_400_000));
        State::Running {
            since: now,
            overdue: (self.overdue_ms > 0).then(|| after(self.overdue_ms)),
            until: after(self.timeout_ms),
        }
    }

    /// Whether arguments are an object with all that the schema requires.
    fn judge(&self, arguments: &str) -> std::result::Result<(), String> {
        let object: Map = serde_json::from_str(arguments)
            .map_err(|_| "the arguments are no JSON object".to_owned())?;
        let required = self.parameters.get("required").and_then(Value::as_array);
        let mut required = required.into_iter().flatten().filter_map(Value::as_str);
        match required.find(|name| !object.contains_key(*name)) {
            Some(missing) => Err(format!("the argument `{missing}` is missing")),
            None => Ok(()),
        }
    }
}

/// The output that tells the model of an error.
pub(super) fn failure(message: &str) -> String {
    json!({ "error": message }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(call_id: &str, arguments: &str) -> OutputItem {
        let item = json!({"type": "function_call", "name": "n", "call_id": call_id,
            "arguments": arguments, "status": "completed"});
        serde_json::from_value(json!({"response_id": "r", "item": item})).expect("an item")
    }

    fn book(tools: Vec<Tool>) -> Tools {
        Tools::new(tools, "key".to_owned())
    }

    fn tool() -> Tool {
        Tool {
            parameters: json!({"type": "object", "required": ["city"]}),
            overdue_ms: 1_000,
            timeout_ms: 3_000,
            ..Tool::new("n")
        }
    }

    fn answer(tools: &mut Tools, call_id: &str) {
        tools.may_answer(call_id).expect("it waits");
        tools.answered(&Item::function_call_output(call_id, "{}"));
        tools.check();
    }

    #[test]
    fn a_call_of_the_application_waits_until_it_is_answered_whichever_comes_first() {
        let (dialect, now) = (Dialect::default_dialect(), Instant::now());
        let mut tools = book(Vec::new());
        assert_eq!(
            tools.offered(now, &offer("a", "{}"), &dialect, (LinkId(1), None)),
            None
        );
        assert!(tools.is_waiting());
        answer(&mut tools, "a");
        assert!(!tools.is_waiting());
        tools.answered(&Item::function_call_output("b", "{}"));
        tools.offered(now, &offer("b", "{}"), &dialect, (LinkId(1), None));
        tools.offered(now, &offer("a", "{}"), &dialect, (LinkId(1), None));
        assert!(!tools.is_waiting(), "an answered call is not offered again");
        tools.response_done("r", false);
        assert!(!tools.is_batch_ready(), "the application asks by itself");
    }

    #[test]
    fn calls_of_one_response_are_followed_by_one_wish() {
        let (dialect, now) = (Dialect::default_dialect(), Instant::now());
        let mut tools = book(vec![tool()]);
        for call_id in ["a", "b"] {
            let offered = tools.offered(
                now,
                &offer(call_id, r#"{"city": "x"}"#),
                &dialect,
                (LinkId(1), None),
            );
            let Some(Offer::Run(call)) = offered else {
                panic!("{offered:?}")
            };
            assert_eq!(call.idempotency_key, format!("key-{call_id}"));
        }
        answer(&mut tools, "b");
        tools.response_done("r", false);
        assert!(!tools.is_batch_ready(), "one is still running");
        answer(&mut tools, "a");
        assert!(tools.is_batch_ready());
        assert!(!tools.is_batch_ready(), "and only once");
    }

    #[test]
    fn the_first_result_counts_and_a_second_one_is_refused() {
        let (dialect, now) = (Dialect::default_dialect(), Instant::now());
        let mut tools = book(vec![tool()]);
        tools.offered(
            now,
            &offer("a", r#"{"city": "x"}"#),
            &dialect,
            (LinkId(1), None),
        );
        answer(&mut tools, "a");
        let error = tools.may_answer("a").expect_err("settled");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(!tools.knows("z"));
    }

    #[test]
    fn arguments_that_are_no_such_call_are_answered_without_running_anything() {
        let dialect = Dialect::default_dialect();
        for (arguments, said) in [
            ("{", "no JSON object"),
            ("[]", "no JSON object"),
            ("{}", "`city` is missing"),
        ] {
            let mut tools = book(vec![tool()]);
            let offered = tools.offered(
                Instant::now(),
                &offer("a", arguments),
                &dialect,
                (LinkId(1), None),
            );
            assert!(
                matches!(&offered, Some(Offer::Bad(_, message)) if message.contains(said)),
                "{offered:?}"
            );
        }
    }

    #[test]
    fn a_slow_tool_is_told_once_and_given_up_at_its_end() {
        let (dialect, now) = (Dialect::default_dialect(), Instant::now());
        let mut tools = book(vec![tool()]);
        tools.offered(
            now,
            &offer("a", r#"{"city": "x"}"#),
            &dialect,
            (LinkId(1), None),
        );
        let (late, over) = (now + Duration::from_secs(1), now + Duration::from_secs(3));
        assert_eq!(tools.deadline(), Some(late));
        assert!(
            matches!(&tools.due(late)[..], [Due::Overdue(told, None)] if told.after_ms == 1_000)
        );
        assert_eq!(tools.due(late), []);
        assert_eq!(tools.deadline(), Some(over));
        assert!(matches!(&tools.due(over)[..], [Due::Over(_)]));
    }
}
