//! Text turns over a real WebSocket.

use crate::common::{Client, lenient, start, strict, text_of, types};
use serde_json::json;

#[tokio::test]
async fn a_text_turn_keeps_the_order_of_the_protocol_and_every_field() {
    let server = start(strict());
    let (mut client, session) = Client::open(&server).await;
    assert_eq!(session["object"], "realtime.session");
    assert_eq!(session["output_modalities"], json!(["audio"]));
    client.say("hello there").await;
    let added = client.expect("conversation.item.added").await;
    assert_eq!(added["previous_item_id"], json!(null));
    assert_eq!(added["item"]["status"], "completed");
    client.expect("conversation.item.done").await;
    let events = client
        .respond(json!({"output_modalities": ["text"], "metadata": {"k": "v"}}))
        .await;
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(text_of(&events), "hello there");
    assert_eq!(events[2]["previous_item_id"], added["item"]["id"]);
    assert_eq!(events[3]["part"]["type"], "text");
    let created = events[0]["response"].as_object().expect("an object");
    for field in [
        "id",
        "object",
        "status",
        "status_details",
        "output",
        "conversation_id",
        "usage",
        "output_modalities",
        "max_output_tokens",
        "audio",
        "metadata",
    ] {
        assert!(created.contains_key(field), "{field} is missing");
    }
    let done = &events.last().expect("some")["response"];
    assert_eq!(done["status"], "completed");
    assert_eq!(done["metadata"], json!({"k": "v"}));
    assert!(done["usage"]["total_tokens"].as_u64() > Some(0));
    let content = json!([{"type": "output_text", "text": "hello there"}]);
    assert_eq!(done["output"][0]["content"], content);
    client.expect("rate_limits.updated").await;
}

#[tokio::test]
async fn the_lenient_dialect_has_its_own_names_and_no_events_it_lacks() {
    let server = start(lenient());
    let (mut client, session) = Client::open(&server).await;
    assert_eq!(session["audio"]["output"]["format"]["rate"], 44_100);
    client.say("привет").await;
    client.expect("conversation.item.created").await;
    let events = client.respond(json!({"modalities": ["text"]})).await;
    assert_eq!(text_of(&events), "привет");
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ];
    assert_eq!(types(&events), expected);
    // Nothing follows: no rate limits, no second end.
    client.still_works().await;
}

#[tokio::test]
async fn two_sessions_of_one_server_share_no_ids_and_the_same_seed_repeats_them() {
    let ids = async |seed| {
        let server = start(strict().seed(seed));
        let (_a, first) = Client::open(&server).await;
        let (_b, second) = Client::open(&server).await;
        [first["id"].clone(), second["id"].clone()]
    };
    let [first, second] = ids(7).await;
    assert_ne!(first, second);
    assert_eq!(ids(7).await, [first.clone(), second]);
    assert_ne!(ids(8).await[0], first);
}

#[tokio::test]
async fn stopping_says_goodbye_and_killing_does_not() {
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    let stopped = std::thread::spawn(move || server.stop());
    let text = "the server is shutting down".to_owned();
    assert_eq!(
        client.ended().await,
        crate::common::Ended::Closed(1001, text)
    );
    stopped.join().expect("stops");
    let server = start(strict());
    let (mut client, _) = Client::open(&server).await;
    server.kill();
    assert_eq!(client.ended().await, crate::common::Ended::Lost);
}
