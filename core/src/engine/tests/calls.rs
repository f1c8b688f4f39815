//! Each call of a registered tool is run once and answered once.

use std::time::Duration;

use super::*;
use crate::event::local::Local;
use crate::options::tool::Tool;

fn bench() -> Bench {
    bench_of("openai")
}

fn bench_of(dialect: &str) -> Bench {
    let mut tool = Tool::new("weather").parameters(json!({"type": "object",
        "properties": {"city": {"type": "string"}}, "required": ["city"]}));
    tool.filler = Some("One moment.".to_owned());
    let mut options = Options {
        tools: vec![tool],
        ..Options::default()
    };
    options.recovery.budget_ms = 0;
    let mut bench = Bench::of(dialect, options);
    bench.input(Input::Open { unix_ms: 0 });
    bench.input(Input::LinkUp(LINK));
    let fx = bench.server(json!({"type": "session.created", "session": {"id": "s"}}));
    let update = &sent(&fx)[0];
    assert_eq!(update["session"]["tools"][0]["name"], "weather");
    bench.server(json!({"type": "session.updated", "session": {"id": "s"}}));
    bench.server(json!({"type": "response.created", "response": {"id": "r"}}));
    bench
}

fn own(fx: &Effects) -> Vec<&Local> {
    fx.iter()
        .filter_map(|effect| match effect {
            Effect::Emit(event) => event.own(),
            _ => None,
        })
        .collect()
}

fn call(bench: &mut Bench, call_id: &str, arguments: &str) -> Effects {
    bench.server(
        json!({"type": "response.output_item.done", "response_id": "r", "item": {
        "id": call_id, "type": "function_call", "status": "completed", "name": "weather",
        "call_id": call_id, "arguments": arguments}}),
    )
}

fn result(bench: &mut Bench, call_id: &str, ticket: u64) -> Effects {
    let call_id = call_id.to_owned();
    let output = Ok("{}".to_owned());
    let command = Command::ToolResult { call_id, output };
    bench.input(Input::Command(command, Some(Ticket(ticket))))
}

fn done(bench: &mut Bench, status: &str) -> Effects {
    bench.server(json!({"type": "response.done", "response": {"id": "r", "status": status}}))
}

#[test]
fn parallel_calls_get_an_output_each_and_one_response() {
    let mut bench = bench();
    for call_id in ["a", "b"] {
        let fx = call(&mut bench, call_id, r#"{"city": "x"}"#);
        assert!(matches!(own(&fx)[..], [Local::ToolCall(c)] if c.call_id == call_id));
    }
    assert_eq!(sent(&result(&mut bench, "b", 1))[0]["item"]["call_id"], "b");
    assert!(sent(&done(&mut bench, "completed")).is_empty());
    let fx = result(&mut bench, "a", 2);
    let names: Vec<_> = sent(&fx).iter().map(|f| f["type"].clone()).collect();
    assert_eq!(names, ["conversation.item.create", "response.create"]);
    let twice = result(&mut bench, "a", 3);
    assert!(sent(&twice).is_empty());
    assert!(matches!(reply(&twice, 3), Some(Err(error)) if error.kind() == Kind::Refused));
}

#[test]
fn an_interruption_keeps_the_result_and_leaves_the_word_to_the_customer() {
    let mut bench = bench();
    call(&mut bench, "a", r#"{"city": "x"}"#);
    done(&mut bench, "cancelled");
    let frames = sent(&result(&mut bench, "a", 1));
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0]["item"]["type"], "function_call_output");
}

#[test]
fn bad_arguments_are_answered_to_the_model_and_run_nothing() {
    let mut bench = bench();
    let fx = call(&mut bench, "a", "{");
    assert!(own(&fx).is_empty());
    let output = sent(&fx)[0]["item"]["output"].clone();
    assert!(
        output
            .as_str()
            .is_some_and(|text| text.contains("no JSON object"))
    );
}

#[test]
fn a_slow_tool_gets_a_filler_and_then_an_error_and_its_late_result_is_refused() {
    let mut bench = bench();
    call(&mut bench, "a", r#"{"city": "x"}"#);
    done(&mut bench, "completed");
    bench.now += Duration::from_secs(4);
    let fx = bench.input(Input::Timeout);
    assert!(matches!(own(&fx)[..], [Local::ToolOverdue(_)]));
    let said = sent(&fx)[0]["response"]["instructions"].clone();
    assert!(
        said.as_str()
            .is_some_and(|text| text.contains("One moment."))
    );
    bench.now += Duration::from_secs(26);
    let fx = bench.input(Input::Timeout);
    assert!(matches!(own(&fx)[..], [Local::ToolCancelled(_)]));
    assert!(
        sent(&fx)[0]["item"]["output"]
            .as_str()
            .is_some_and(|text| text.contains("in time"))
    );
    assert!(matches!(
        reply(&result(&mut bench, "a", 1), 1),
        Some(Err(_))
    ));
}

#[test]
fn the_end_of_the_session_tells_who_runs_a_tool() {
    let mut bench = bench();
    call(&mut bench, "a", r#"{"city": "x"}"#);
    let fx = bench.dropped();
    assert!(matches!(own(&fx)[..], [Local::ToolCancelled(told)] if told.call_id == "a"));
}

fn mcp(bench: &mut Bench, event: &str, status: &str) -> Effects {
    let item = json!({"id": "m", "type": "mcp_call", "name": "find", "status": status});
    bench.server(json!({"type": event, "response_id": "r", "item_id": "m", "item": item}))
}

#[test]
fn a_result_of_an_mcp_call_is_answered_once_whether_it_or_its_response_ends_first() {
    let over = "response.mcp_call.completed";
    for ends in [[over, "response.done"], ["response.done", over]] {
        let mut bench = bench_of("openai");
        mcp(&mut bench, "response.output_item.added", "in_progress");
        mcp(&mut bench, "response.output_item.done", "completed");
        let mut asked = Vec::new();
        for end in ends {
            let fx = match end {
                "response.done" => done(&mut bench, "completed"),
                event => mcp(&mut bench, event, "completed"),
            };
            asked.push(sent(&fx).len());
        }
        assert_eq!(asked, [0, 1], "{ends:?}");
    }
}

#[test]
fn a_result_of_an_mcp_call_waits_for_those_of_registered_tools_and_leaves_others_to_their_owner() {
    for (name, asks) in [("weather", true), ("of_the_application", false)] {
        let mut bench = bench_of("openai");
        mcp(&mut bench, "response.output_item.done", "completed");
        mcp(&mut bench, "response.mcp_call.completed", "completed");
        bench.server(
            json!({"type": "response.output_item.done", "response_id": "r", "item": {
            "id": "f", "type": "function_call", "status": "completed", "name": name,
            "call_id": "f", "arguments": r#"{"city": "x"}"#}}),
        );
        assert!(sent(&done(&mut bench, "completed")).is_empty());
        let frames = sent(&result(&mut bench, "f", 1));
        let types: Vec<_> = frames.iter().map(|f| f["type"].clone()).collect();
        let expected = ["conversation.item.create", "response.create"];
        assert_eq!(types, expected[..1 + usize::from(asks)], "{name}");
    }
}

#[test]
fn an_mcp_call_of_a_stopped_response_is_not_answered() {
    let mut bench = bench_of("openai");
    mcp(&mut bench, "response.output_item.added", "in_progress");
    mcp(&mut bench, "response.mcp_call.failed", "incomplete");
    assert!(sent(&done(&mut bench, "cancelled")).is_empty());
}

#[test]
fn where_the_server_answers_mcp_calls_by_itself_nothing_is_asked() {
    let mut bench = bench_of("yandex");
    mcp(&mut bench, "response.output_item.done", "completed");
    assert!(sent(&done(&mut bench, "completed")).is_empty());
}

#[test]
fn a_call_of_the_server_is_never_answered_by_us() {
    let mut bench = bench();
    let fx = bench.server(
        json!({"type": "response.output_item.done", "response_id": "r",
        "item": {"id": "m", "type": "mcp_call", "name": "weather", "call_id": "m",
        "arguments": "{}", "output": "x"}}),
    );
    assert!(own(&fx).is_empty() && sent(&fx).is_empty());
    assert!(!bench.engine.is_mid_turn() || bench.engine.responses.is_busy());
}
