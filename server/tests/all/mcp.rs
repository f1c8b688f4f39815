//! Tools of MCP servers and those that the server runs by itself.

use serde_json::{Value, json};

use crate::common::{Client, lenient, start, strict, text_of, types};

const SCRIPT: &str = r#"
mcp:
  crm: {tools: [{name: find, description: "Finds a customer", input_schema: {type: object}}]}
  down: {fail: "unreachable"}
turns:
  - when: {tool: find, output: Kazan}
    say: "Found."
  - when: {tool: find}
    say: "Not found."
  - when: {user: broken}
    mcp_call: {server: crm, name: find, error: "no such customer"}
  - when: {user: loop}
    mcp_call: {server: crm, name: again}
  - when: {tool: again}
    mcp_call: {server: crm, name: again}
  - when: {user: refuse}
    fail: {code: insufficient_quota, message: "You exceeded your quota."}
  - when: {user: search}
    server_tool: {name: web_search, arguments: {query: pizza}}
    say: "Three pages."
  - when: {user: any}
    mcp_call: {server: crm, name: find, arguments: {phone: "1"}, output: {city: Kazan}}
"#;

fn tool(label: &str, approval: &str) -> Value {
    json!({"type": "mcp", "server_label": label, "server_url": "https://h/mcp",
        "require_approval": approval})
}

async fn client_with(tools: Value) -> (talkwire_server::LocalServer, Client, Vec<Value>) {
    let server = start(strict().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    client
        .update(json!({"output_modalities": ["text"], "tools": tools}))
        .await;
    let listed = client.until("conversation.item.done").await;
    (server, client, listed)
}

async fn ask(client: &mut Client, text: &str) -> Vec<Value> {
    client.say(text).await;
    client.until("conversation.item.done").await;
    client.respond(json!({})).await
}

fn output(events: &[Value]) -> &Value {
    &events.last().expect("some")["response"]["output"]
}

#[tokio::test]
async fn the_tools_of_a_server_are_listed_once_or_not_at_all() {
    let (_server, mut client, listed) = client_with(json!([tool("crm", "never")])).await;
    let expected = [
        "mcp_list_tools.in_progress",
        "conversation.item.added",
        "mcp_list_tools.completed",
        "conversation.item.done",
    ];
    assert_eq!(types(&listed), expected);
    let item = &listed[3]["item"];
    assert_eq!(item["server_label"], "crm");
    assert_eq!(item["tools"][0]["name"], "find");
    assert_eq!(item["tools"][0]["description"], "Finds a customer");
    // Also those that turns call without a word about them.
    assert_eq!(item["tools"][1]["name"], "again");
    let both = json!({"tools": [tool("crm", "always"), tool("down", "never")]});
    client.update(both).await;
    let again = client.until("conversation.item.done").await;
    assert_eq!(types(&again)[2], "mcp_list_tools.failed");
    assert_eq!(again[3]["item"]["server_label"], "down");
}

#[tokio::test]
async fn a_call_without_approval_runs_in_its_response_and_the_client_asks_for_its_answer() {
    let (_server, mut client, _) = client_with(json!([tool("crm", "never")])).await;
    let events = ask(&mut client, "who is it?").await;
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(output(&events)[0]["output"], r#"{"city":"Kazan"}"#);
    assert_eq!(output(&events)[0]["arguments"], r#"{"phone":"1"}"#);
    client.expect("rate_limits.updated").await;
    assert_eq!(text_of(&client.respond(json!({})).await), "Found.");
    let events = ask(&mut client, "a broken one").await;
    assert!(types(&events).contains(&"response.mcp_call.failed"));
    assert_eq!(output(&events)[0]["error"]["message"], "no such customer");
    assert_eq!(text_of(&client.respond(json!({})).await), "Not found.");
}

#[tokio::test]
async fn the_item_of_a_call_has_output_and_error_in_every_state() {
    for (text, has_output) in [("who is it?", true), ("a broken one", false)] {
        let (_server, mut client, _) = client_with(json!([tool("crm", "never")])).await;
        let events = ask(&mut client, text).await;
        let items: Vec<&Value> = events.iter().filter_map(|e| e.get("item")).collect();
        let (open, over) = (items[0], items[items.len() - 1]);
        assert_eq!(open.get("output"), Some(&Value::Null), "{open}");
        assert_eq!(open.get("error"), Some(&Value::Null), "{open}");
        client
            .send(json!({"type": "conversation.item.retrieve", "item_id": over["id"]}))
            .await;
        let kept = client.until("conversation.item.retrieved").await;
        for item in [over, &kept[kept.len() - 1]["item"]] {
            assert_eq!(item["output"].is_string(), has_output, "{item}");
            assert_eq!(item["error"].is_null(), has_output, "{item}");
            assert!(item.get("output").is_some() && item.get("error").is_some());
        }
    }
}

#[tokio::test]
async fn a_call_waits_for_the_clients_word_which_counts_once() {
    let (_server, mut client, _) = client_with(json!([tool("crm", "always")])).await;
    let mut answers = Vec::new();
    for approve in [true, false] {
        let events = ask(&mut client, "who is it?").await;
        client.expect("rate_limits.updated").await;
        let request = &output(&events)[0];
        assert_eq!(request["type"], "mcp_approval_request");
        assert_eq!(request["arguments"], r#"{"phone":"1"}"#);
        let item = json!({"type": "mcp_approval_response", "approve": approve,
            "approval_request_id": request["id"]});
        let create = json!({"type": "conversation.item.create", "item": item});
        client.send(create.clone()).await;
        client.until("conversation.item.done").await;
        answers.push(create);
        if approve {
            let run = client.until("response.done").await;
            assert_eq!(output(&run)[0]["approval_request_id"], request["id"]);
            client.expect("rate_limits.updated").await;
            assert_eq!(text_of(&client.respond(json!({})).await), "Found.");
            client.expect("rate_limits.updated").await;
        }
    }
    for create in answers {
        client.send(create).await;
        let error = client.expect("error").await;
        assert_eq!(error["error"]["param"], "item.approval_request_id");
    }
}

#[tokio::test]
async fn where_the_server_answers_by_itself_calls_that_never_end_are_stopped() {
    let server = start(lenient().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    client
        .update(json!({"output_modalities": ["text"], "tools": [tool("crm", "never")]}))
        .await;
    client.until("mcp_list_tools.completed").await;
    client.say("who is it?").await;
    client.respond(json!({})).await;
    assert_eq!(text_of(&client.until("response.done").await), "Found.");
    client.say("loop").await;
    client.respond(json!({})).await;
    for _ in 0..8 {
        client.until("response.done").await;
    }
    client.send(json!({"type": "response.cancel"})).await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "response_cancel_not_active");
}

#[tokio::test]
async fn a_call_of_a_tool_the_session_lacks_is_left_out() {
    let server = start(strict().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    client.update(json!({"output_modalities": ["text"]})).await;
    let events = ask(&mut client, "who is it?").await;
    assert_eq!(*output(&events), json!([]));
    // This dialect runs no functions by itself.
    let events = ask(&mut client, "search").await;
    assert_eq!(output(&events)[0]["type"], "message");
}

#[tokio::test]
async fn a_function_that_the_server_runs_is_shown_and_nobody_is_asked() {
    let server = start(lenient().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    for parameters in [json!("{}"), json!({}), Value::Null] {
        let tool = json!({"type": "function", "name": "web_search", "parameters": parameters});
        client
            .update(json!({"output_modalities": ["text"], "tools": [tool]}))
            .await;
        client.say("search").await;
        client.until("conversation.item.created").await;
        let events = client.respond(json!({})).await;
        let output = output(&events);
        assert_eq!(output[0]["name"], "web_search");
        assert_eq!(output[0]["arguments"], r#"{"query":"pizza"}"#);
        assert_eq!(text_of(&events), "Three pages.");
    }
}

#[tokio::test]
async fn an_answer_fails_with_the_error_of_the_script() {
    let server = start(strict().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    let events = ask(&mut client, "refuse").await;
    let done = &events.last().expect("some")["response"];
    assert_eq!(done["status"], "failed");
    let error = &done["status_details"]["error"];
    assert_eq!(error["code"], "insufficient_quota");
    assert_eq!(error["type"], "insufficient_quota");
}
