use crate::world::{Ran, Server, assert_shape, call, folder, talkwire, text};

#[test]
fn the_first_line_is_the_url_and_a_text_turn_is_echoed() {
    let server = Server::start(&[]);
    assert!(server.url.starts_with("ws://127.0.0.1:"), "{}", server.url);
    assert!(server.url.ends_with("/v1/realtime"), "{}", server.url);
    let ran = call(&server.url, &["--text", "good day"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let result = ran.json();
    assert_shape(&result);
    assert_eq!(result["ok"], true);
    let lines = result["transcript"].as_array().expect("lines").iter();
    let texts: Vec<_> = lines
        .map(|line| (line["role"].as_str(), line["text"].as_str()))
        .collect();
    let said = Some("good day");
    assert_eq!(texts, [(Some("customer"), said), (Some("agent"), said)]);
    assert_eq!(result["end"]["why"], "closed");
}

#[test]
fn both_signals_end_it_cleanly() {
    for signal in ["INT", "TERM"] {
        let status = Server::start(&[]).signal(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn every_profile_brain_and_pacing_of_the_help_can_be_chosen() {
    let server = Server::start(&[
        "--profile",
        "openai",
        "--brain",
        "loop",
        "--ears",
        "none",
        "--voice",
        "tone",
        "--pacing",
        "realtime",
        "--lifetime",
        "60",
        "--max-sessions",
        "3",
    ]);
    let ran = call(&server.url, &["--dialect", "openai", "--text", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()["transcript"][1]["text"], "again");
}

#[test]
fn a_server_gives_other_identifiers_at_each_start_unless_a_seed_is_given() {
    let id = |name: &str, seed: &[&str]| {
        let dir = folder(name);
        let server = Server::start(&[&["--journal", text(&dir)], seed].concat());
        call(&server.url, &["--text", "hello"]);
        let journal = std::fs::read_to_string(dir.join("session-0000.jsonl"));
        let journal = journal.expect("written");
        let (_, rest) = journal.split_once(r#""id":"sess_"#).expect("a session");
        rest.split_once('"').expect("its end").0.to_owned()
    };
    assert_ne!(id("seed_a", &[]), id("seed_b", &[]));
    assert_eq!(
        id("seed_c", &["--seed", "7"]),
        id("seed_d", &["--seed", "7"])
    );
}

#[test]
fn an_error_in_a_script_names_file_line_and_what_was_expected() {
    let script = folder("script_error").join("order.yaml");
    std::fs::write(&script, "turns:\n  - when: {user: any}\n    sai: hello\n").expect("written");
    let ran = Ran::of(talkwire().args(["serve", "--script", text(&script)]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.contains("order.yaml:3"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("sai") && ran.stderr.contains("say"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_unknown_name_or_a_remote_address_is_refused_with_a_sentence() {
    for (args, wanted) in [
        (["--brain", "clever"], "echo"),
        (["--profile", "nobody"], "nobody"),
        (["--listen", "0.0.0.0:0"], "0.0.0.0"),
        (["--script", "/no/such/file.yaml"], "file.yaml"),
    ] {
        let ran = Ran::of(talkwire().arg("serve").args(args));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(wanted), "{ran:?}");
    }
}

#[test]
fn tls_serves_wss_and_a_call_trusts_only_what_it_is_told_to() {
    let folder = folder("tls");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let server = Server::start(&["--tls", "--cert", text(&cert), "--key", text(&key)]);
    assert!(server.url.starts_with("wss://"), "{}", server.url);
    let trusted = call(&server.url, &["--text", "hi", "--ca", text(&cert)]);
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    let untrusted = call(&server.url, &["--text", "hi"]);
    assert_eq!(untrusted.code, Some(1));
    assert_eq!(untrusted.json()["end"]["why"], "tls", "{untrusted:?}");
}

#[test]
fn no_room_and_no_script_are_refused_with_a_sentence() {
    for (args, wanted) in [
        (["--max-sessions", "0"], "one session at least"),
        (["--max-sessions", "many"], "invalid digit"),
        (["--brain", "script"], "--script FILE"),
    ] {
        let ran = Ran::of(talkwire().arg("serve").args(args));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(wanted), "{ran:?}");
    }
}

#[test]
fn the_help_names_the_defaults() {
    let help = Ran::of(talkwire().args(["serve", "--help"])).stdout;
    let entry = |flag: &str| {
        let (_, rest) = help.split_once(&format!("--{flag} ")).expect("a flag");
        let entry = rest.split("      --").next().unwrap_or(rest);
        entry.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (flag, default) in [
        ("profile", "default: yandex"),
        ("brain", "else echo"),
        ("ears", "default: script"),
        ("voice", "else tone"),
    ] {
        assert!(entry(flag).contains(default), "{flag}: {help}");
    }
}

#[test]
fn a_journal_is_written_and_the_control_port_is_told() {
    let dir = folder("serve_journal");
    let server = Server::start(&["--journal", text(&dir), "--control"]);
    let ran = call(&server.url, &["--text", "good day"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let line = server.next_line();
    assert!(line.starts_with("control on http://127.0.0.1:"), "{line}");
    drop(server);
    let written = std::fs::read_to_string(dir.join("session-0000.jsonl")).expect("a journal");
    assert!(written.contains("\"name\":\"response.done\""), "{written}");
}

#[test]
fn faults_come_from_files_and_a_wrong_one_is_named() {
    let folder = folder("fault_files");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let once = r#"[{"when": {"connect": true}, "do": {"http": 503}}]"#;
    let once = write("once.json", once);
    let never = write(
        "never.yaml",
        "- {when: {connect: true, count: 9}, do: drop}\n",
    );
    let server = Server::start(&["--fault", text(&once), "--fault", text(&never)]);
    let refused = call(&server.url, &["--text", "hi"]);
    assert!(refused.stdout.contains("503"), "{refused:?}");
    assert_eq!(call(&server.url, &["--text", "hi"]).code, Some(0));
    let wrong = write("wrong.yaml", "- {when: {connect: true}, do: expire}\n");
    let ran = Ran::of(talkwire().args(["serve", "--fault", text(&wrong)]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.contains("wrong.yaml:1") && ran.stderr.contains("rate_limit"));
}

#[test]
fn an_endpoint_without_its_key_is_refused_with_a_sentence() {
    let brain = "http://127.0.0.1:1/v1 model=m key_env=NO_SUCH_KEY";
    let ran = Ran::of(talkwire().args(["serve", "--brain", brain]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.contains("NO_SUCH_KEY"), "{ran:?}");
}
