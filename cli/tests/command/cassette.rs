use crate::world::{Ran, Server, call, folder, talkwire, text};

#[test]
fn a_call_is_recorded_and_replayed() {
    let out = folder("cassette");
    let server = Server::start(&[]);
    let recorder = Server::of(&["record", "--upstream", &server.url, "--out", text(&out)]);
    let live = call(&recorder.url, &["--text", "good day"]);
    assert_eq!(live.code, Some(0), "{live:?}");
    drop((recorder, server));
    let player = Server::of(&["replay", text(&out), "--instant"]);
    let again = call(&player.url, &["--text", "good day"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let said = |ran: &Ran| {
        let lines = ran.json()["transcript"].as_array().expect("lines").clone();
        let words = lines
            .iter()
            .map(|line| (line["role"].clone(), line["text"].clone()));
        words.collect::<Vec<_>>()
    };
    assert_eq!(said(&live), said(&again));
    assert_eq!(said(&again).len(), 2);
}

#[test]
fn a_check_reports_in_text_and_in_json() {
    let server = Server::start(&[]);
    let ran = Ran::of(talkwire().args(["check-server", &server.url]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("no rule was broken"), "{}", ran.stdout);
    let ran = Ran::of(talkwire().args(["check-server", &server.url, "--json"]));
    assert_eq!(ran.json()["ok"], true, "{ran:?}");
    let ran = Ran::of(talkwire().args(["check-server", "http://127.0.0.1:1/", "--json"]));
    assert_eq!(
        (ran.code, ran.json()["ok"].as_bool()),
        (Some(2), Some(false))
    );
}

#[test]
fn our_own_call_breaks_no_rule() {
    let mut check = Server::of(&["check-client", "--json"]);
    let ran = call(&check.url, &["--text", "good day"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&check.next_line()).expect("JSON");
    assert_eq!(report["ok"], true, "{report}");
    assert!(check.ended().success());
}
