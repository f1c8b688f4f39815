//! Function calls and housekeeping of items.

use serde_json::{Value, json};

use crate::common::{Client, lenient, start, strict, text_of, types};

const SCRIPT: &str = r#"
turns:
  - when: {tool: get_weather, output: "3"}
    say: "Three degrees."
  - when: {user: both}
    say: "One moment."
    call:
      - {name: get_weather, arguments: {city: Omsk}}
      - {name: get_weather, arguments: {city: Kazan}}
  - when: {user: any}
    call: {name: get_weather, arguments: {city: Kazan}}
"#;

fn call_ids(events: &[Value]) -> Vec<String> {
    let done = &events.last().expect("some")["response"];
    let output = done["output"].as_array().expect("an array");
    let ids = output.iter().filter_map(|item| item["call_id"].as_str());
    ids.map(str::to_owned).collect()
}

async fn give(client: &mut Client, call_id: &str) {
    let item =
        json!({"type": "function_call_output", "call_id": call_id, "output": "{\"temp\":3}"});
    client
        .send(json!({"type": "conversation.item.create", "item": item}))
        .await;
}

#[tokio::test]
async fn a_function_is_called_and_its_output_answered() {
    let server = start(strict().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    client.update(json!({"output_modalities": ["text"]})).await;
    client.say("weather?").await;
    client.until("conversation.item.done").await;
    let events = client.respond(json!({})).await;
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ];
    assert_eq!(types(&events), expected);
    let is_done = |e: &&Value| e["type"] == "response.function_call_arguments.done";
    let done = events.iter().find(is_done).expect("one");
    assert_eq!(done["name"], "get_weather");
    assert_eq!(done["arguments"], r#"{"city":"Kazan"}"#);
    let id = &call_ids(&events)[0];
    assert_eq!(done["call_id"], *id);
    client.expect("rate_limits.updated").await;
    give(&mut client, id).await;
    client.until("conversation.item.done").await;
    let events = client.respond(json!({})).await;
    assert_eq!(text_of(&events), "Three degrees.");
}

#[tokio::test]
async fn a_message_and_two_calls_make_one_response() {
    let server = start(lenient().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    client.say("both").await;
    client.expect("conversation.item.created").await;
    let events = client.respond(json!({"output_modalities": ["text"]})).await;
    assert_eq!(text_of(&events), "One moment.");
    let output = &events.last().expect("one")["response"]["output"];
    let kinds: Vec<_> = output
        .as_array()
        .expect("items")
        .iter()
        .map(|i| &i["type"])
        .collect();
    assert_eq!(kinds, ["message", "function_call", "function_call"]);
    for id in call_ids(&events) {
        give(&mut client, &id).await;
        client.expect("conversation.item.created").await;
    }
    let events = client.respond(json!({"output_modalities": ["text"]})).await;
    assert_eq!(text_of(&events), "Three degrees.");
}

#[tokio::test]
async fn no_function_is_called_when_none_may_be() {
    let server = start(strict().script_text(SCRIPT, "."));
    let (mut client, _) = Client::open(&server).await;
    client.say("weather?").await;
    client.until("conversation.item.done").await;
    let events = client.respond(json!({"tool_choice": "none"})).await;
    assert_eq!(types(&events), ["response.created", "response.done"]);
}

#[tokio::test]
async fn items_are_placed_fetched_and_removed_under_the_clients_own_ids() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    client.say("first").await;
    client.until("conversation.item.done").await;
    let content = json!([{"type": "input_text", "text": "facts"}]);
    let item = json!({"id": "sys1", "type": "message", "role": "system", "content": content});
    client
        .send(json!({"type": "conversation.item.create", "previous_item_id": "root", "item": item}))
        .await;
    let added = client.expect("conversation.item.added").await;
    assert_eq!(added["previous_item_id"], Value::Null);
    assert_eq!(added["item"]["id"], "sys1");
    client.expect("conversation.item.done").await;
    let on = |kind: &str| json!({"type": format!("conversation.item.{kind}"), "item_id": "sys1"});
    client.send(on("retrieve")).await;
    let retrieved = client.expect("conversation.item.retrieved").await;
    assert_eq!(retrieved["item"]["content"], content);
    client.send(on("delete")).await;
    assert_eq!(
        client.expect("conversation.item.deleted").await["item_id"],
        "sys1"
    );
    client.send(on("retrieve")).await;
    client.expect("error").await;
}

#[tokio::test]
async fn an_out_of_band_response_runs_beside_and_leaves_no_item() {
    let script = "pacing: realtime\nturns: [{when: {user: any}, say: one two three four five six}]";
    let server = start(strict().script_text(script, "."));
    let (mut client, _) = Client::open(&server).await;
    client.update(json!({"output_modalities": ["text"]})).await;
    client.say("go").await;
    client.until("conversation.item.done").await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_text.delta").await;
    let aside = json!({"conversation": "none", "metadata": {"topic": "summary"}});
    client
        .send(json!({"type": "response.create", "response": aside}))
        .await;
    let created = client.until("response.created").await.pop().expect("one");
    assert_eq!(created["response"]["conversation_id"], Value::Null);
    assert_eq!(created["response"]["metadata"]["topic"], "summary");
    let mut ids = Vec::new();
    let mut added = 0;
    while ids.len() < 2 {
        let events = client.until("response.done").await;
        ids.push(events.last().expect("one")["response"]["id"].clone());
        added += events
            .iter()
            .filter(|e| e["type"] == "conversation.item.added")
            .count();
    }
    assert_eq!(added, 0);
    assert!(ids.contains(&created["response"]["id"]) && ids[0] != ids[1]);
}
