//! Who comes in and who does not; how sessions end by themselves.

use std::time::Duration;

use serde_json::{Value, json};
use talkwire_server::{Config, LocalServer};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::common::{Client, Ended, lenient, start, strict};

async fn refused(url: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    match Client::try_connect(url, headers).await {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let json = serde_json::from_slice(body).expect("a JSON body");
            (response.status().as_u16(), json)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn a_wrong_key_path_or_model_is_refused_with_a_json_body() {
    let server = start(strict().api_key("right").models(["known"]));
    let url = server.url();
    let (status, body) = refused(url, &[]).await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (401, Some("invalid_api_key"))
    );
    assert_eq!(
        refused(url, &[("authorization", "Bearer wrong")]).await.0,
        401
    );
    let right = [("authorization", "Bearer right")];
    assert_eq!(refused(&format!("{url}?model=other"), &right).await.0, 404);
    let elsewhere = url.replace("/v1/realtime", "/v2");
    assert_eq!(refused(&elsewhere, &right).await.0, 404);
    for headers in [right, [("api-key", "right")]] {
        let url = format!("{url}?model=known");
        let mut client = Client::try_connect(&url, &headers).await.expect("comes in");
        let created = client.expect("session.created").await;
        assert_eq!(created["session"]["model"], "known");
    }
}

#[tokio::test]
async fn one_session_too_many_is_refused_until_another_ends() {
    let server = start(strict().max_sessions(1));
    let (mut first, _) = Client::open(&server).await;
    assert_eq!(refused(server.url(), &[]).await.0, 429);
    first.ws.close(None).await.expect("closes");
    while first.message().await.is_some() {}
    // The place is free when the server has noticed: it says so by letting somebody in.
    let deadline = std::time::Instant::now() + crate::common::PATIENCE;
    while Client::try_connect(server.url(), &[]).await.is_err() {
        assert!(
            std::time::Instant::now() < deadline,
            "the place is never freed"
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up_as_an_overload() {
    use talkwire_server::{Action, Fault, When};

    let much = Fault::new(
        When::sent("response.output_text.delta"),
        Action::Send("x".repeat(8 << 20)),
    );
    let server = start(strict().fault(much.every()));
    let (mut client, _) = Client::open(&server).await;
    client.say(&"word ".repeat(12)).await;
    let text = json!({"output_modalities": ["text"]});
    client
        .send(json!({"type": "response.create", "response": text}))
        .await;
    let mut much = 0;
    let ended = loop {
        match client.message().await {
            Some(Ok(Message::Text(text))) => much += usize::from(text.len() == 8 << 20),
            Some(Ok(Message::Close(Some(frame)))) => break (u16::from(frame.code), frame.reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ended.0, 1013, "{}", ended.1);
    assert!((8..=9).contains(&much), "{much} were queued");
    let summary = &server.journal().sessions()[0];
    assert_eq!(summary.ended.as_deref(), Some("closed"));
}

#[tokio::test]
async fn a_bare_model_is_refused_after_the_upgrade() {
    let server = start(lenient());
    let mut client = Client::connect(&format!("{}?model=bare", server.url())).await;
    let error = client.expect("error").await;
    let text = "Invalid model URI".to_owned();
    assert_eq!(error["error"]["message"], text);
    assert_eq!(client.ended().await, Ended::Closed(1008, text));
    let full = format!("{}?model=gpt%3A%2F%2Ff%2Fm", server.url());
    let created = Client::connect(&full).await.expect("session.created").await;
    assert_eq!(created["session"]["model"], "gpt://f/m");
}

#[tokio::test]
async fn a_withdrawn_version_is_refused_by_error_and_close() {
    let server = start(strict());
    let beta = [("openai-beta", "realtime=v1")];
    let mut client = Client::try_connect(server.url(), &beta)
        .await
        .expect("upgrades");
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "beta_api_shape_disabled");
    let reason = "invalid_request_error.beta_api_shape_disabled".to_owned();
    assert_eq!(client.ended().await, Ended::Closed(4000, reason));
}

#[tokio::test]
async fn a_session_expires_with_an_error_and_a_close() {
    let server = start(strict().lifetime(Duration::from_millis(300)));
    let (mut client, session) = Client::open(&server).await;
    assert!(session["expires_at"].as_u64() > Some(1_700_000_000));
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "session_expired");
    let text = error["error"]["message"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert_eq!(client.ended().await, Ended::Closed(1001, text));
}

#[tokio::test]
async fn an_expiring_session_cancels_its_response() {
    let config = strict()
        .pacing(talkwire_server::Pacing::Realtime)
        .lifetime(Duration::from_millis(500));
    let server = start(config);
    let (mut client, _) = Client::open(&server).await;
    client.say(&"word ".repeat(100)).await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    let done = events.last().expect("one");
    assert_eq!(done["response"]["status"], "cancelled");
    client.expect("rate_limits.updated").await;
    client.expect("error").await;
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_at_once() {
    let wrong = |config: Config| {
        let error = LocalServer::start(config).expect_err("refused");
        error.message().to_owned()
    };
    assert!(wrong(strict().listen("0.0.0.0:0")).contains("other machines"));
    assert!(wrong(strict().listen("nonsense")).contains("nonsense"));
    assert!(wrong(Config::new().profile("nobody")).contains("yandex, openai"));
    assert!(wrong(strict().brain("clever")).contains("clever"));
    let long = wrong(lenient().lifetime(Duration::from_secs(601)));
    assert!(
        long.starts_with("lifetime: 601 s") && long.contains("600 s"),
        "{long}"
    );
    let long = wrong(strict().script_text("lifetime_ms: 3600001", "."));
    assert!(long.starts_with("script: lifetime_ms: "), "{long}");
    assert!(wrong(strict().script_file("/no/such.yaml")).contains("/no/such.yaml"));
    assert!(wrong(strict().script_text("turns: 5", ".")).contains("script:1:"));
    assert!(wrong(strict().tls("/no/cert.pem", "/no/key.pem")).contains("/no/cert.pem"));
    let taken = start(strict());
    let address = format!("127.0.0.1:{}", taken.port());
    assert!(wrong(strict().listen(address.as_str())).contains(&address));
    start(strict().listen("0.0.0.0:0").allow_remote(true));
}

#[tokio::test]
async fn tls_is_served_with_the_given_certificate() {
    use std::sync::Arc;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let name = format!(
        "talkwire-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("writes");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
    let server = start(strict().tls(&cert, &key));
    std::fs::remove_dir_all(&folder).expect("removes");
    assert!(server.url().starts_with("wss://"));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", server.port()));
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().expect("a name");
    let tls = connector.connect(name, tcp.await.expect("connects")).await;
    let url = server.url().replace("127.0.0.1", "localhost");
    let (mut ws, _) = tokio_tungstenite::client_async(url, tls.expect("trusts"))
        .await
        .expect("upgrades");
    let first = futures_util::StreamExt::next(&mut ws).await;
    let first = first.expect("a frame").expect("a frame");
    assert!(first.to_text().expect("text").contains("session.created"));
}

#[tokio::test]
async fn a_server_can_be_started_and_dropped_inside_another_runtime() {
    let server = start(strict());
    drop(server);
    start(strict()).kill();
}
