use std::path::PathBuf;
use std::process::Command;

use crate::world::{Ran, Server, folder, text};

/// Examples are built with the tests and lie beside the binary.
fn example(name: &str) -> Command {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_talkwire"));
    let folder = binary.parent().expect("a folder").join("examples");
    Command::new(folder.join(name))
}

#[test]
fn the_text_chat_runs_alone_and_against_a_server() {
    let alone = Ran::of(&mut example("text_chat"));
    assert_eq!(alone.code, Some(0), "{alone:?}");
    let server = Server::start(&[]);
    let ran = Ran::of(example("text_chat").args(["--url", &server.url]));
    assert_eq!(ran.stdout, alone.stdout);
    assert!(
        ran.stdout.contains("customer: Hello!\nagent: Hello!\n"),
        "{ran:?}"
    );
}

#[test]
fn the_voice_call_hears_an_answer() {
    let server = Server::start(&[]);
    let ran = Ran::of(example("voice_call").args(["--url", &server.url]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("the customer has spoken\nagent: "),
        "{ran:?}"
    );
}

#[test]
fn the_end_to_end_script_gets_to_its_end() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/script.yaml");
    let pcm = folder("e2e").join("42.pcm");
    let tones = talkwire_core::audio::dtmf::tones("42", 24_000).expect("digits");
    let bytes: Vec<u8> = tones.iter().flat_map(|s| s.to_le_bytes()).collect();
    std::fs::write(&pcm, bytes).expect("written");
    for profile in ["yandex", "openai"] {
        let server = Server::start(&["--profile", profile, "--script", script]);
        let ran = Ran::of(example("e2e").args(["--url", &server.url, "--pcm", text(&pcm)]));
        assert_eq!(ran.code, Some(0), "{profile}: {ran:?}");
        for wanted in [
            "Good day.",
            "4 2",
            "place_order",
            "Ordered.",
            "no.such.event",
        ] {
            assert!(ran.stdout.contains(wanted), "{profile}: no {wanted}");
        }
        let end = ran.stdout.lines().last().unwrap_or_default();
        assert!(
            end.starts_with("END {") && end.contains("\"closed\""),
            "{end}"
        );
    }
}
