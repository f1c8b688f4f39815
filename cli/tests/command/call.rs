use std::net::TcpListener;
use std::path::Path;

use talkwire_core::audio::dtmf;
use talkwire_core::audio::wav::{self, Wav};

use crate::world::{Ran, Server, assert_shape, call, folder, talkwire, text};

fn digits_of(path: &Path) -> String {
    let wav = Wav::read(path).expect("reads");
    digits_in(&wav.to_mono(), wav.rate_hz)
}

fn digits_in(samples: &[i16], rate_hz: u32) -> String {
    let mut digits = Vec::new();
    let mut detector = dtmf::Detector::new(rate_hz).expect("a rate");
    detector.push(samples, &mut digits);
    digits.into_iter().collect()
}

fn digits_file(folder: &Path, rate_hz: u32) -> std::path::PathBuf {
    let path = folder.join(format!("{rate_hz}.wav"));
    let mut samples = vec![0; rate_hz as usize / 4];
    samples.extend(dtmf::tones("123", rate_hz).expect("digits"));
    wav::write(&path, rate_hz, 1, &samples).expect("written");
    path
}

#[test]
fn digits_arrive_and_come_back_once_and_in_order_through_every_rate() {
    let folder = folder("digits");
    let server = Server::start(&["--brain", "echo", "--ears", "dtmf", "--voice", "dtmf"]);
    for rate_hz in [8_000, 24_000, 44_100] {
        for pace in ["real", "max"] {
            let (said, saved) = (digits_file(&folder, rate_hz), folder.join("out.wav"));
            let args = [
                "--audio",
                text(&said),
                "--save",
                text(&saved),
                "--pace",
                pace,
            ];
            let ran = call(&server.url, &args);
            assert_eq!(ran.code, Some(0), "{rate_hz} {pace}: {ran:?}");
            let result = ran.json();
            assert_shape(&result);
            for line in 0..2 {
                assert_eq!(result["transcript"][line]["text"], "1 2 3", "{result}");
            }
            assert_eq!(digits_of(&saved), "123", "{rate_hz} {pace}");
            let heard_ms = Wav::read(&saved).expect("reads").duration_ms();
            assert_eq!(result["audio_ms_out"], heard_ms);
            assert!(result["first_audio_ms"].is_u64());
            // Only who listens at the speed of speech knows when something is heard.
            let turns = result["turns"].as_array().expect("turns");
            assert_eq!(turns.len(), usize::from(pace == "real"), "{result}");
            assert!(turns.iter().all(|turn| turn["first_heard_ms"].is_u64()));
            assert_eq!(result["usage"]["responses"], 1, "{result}");
        }
    }
}

#[test]
fn a_call_is_recorded_with_a_side_for_each_and_written_down() {
    let folder = folder("recorded");
    let server = Server::start(&["--brain", "echo", "--ears", "dtmf", "--voice", "dtmf"]);
    let said = digits_file(&folder, 8_000);
    let (recorded, written) = (folder.join("call.wav"), folder.join("call.srt"));
    let files = ["--record", text(&recorded), "--transcript", text(&written)];
    let ran = call(
        &server.url,
        &[&["--audio", text(&said)], &files[..]].concat(),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let wav = Wav::read(&recorded).expect("reads");
    assert_eq!(wav.channels, 2);
    for side in 0..2 {
        let side: Vec<i16> = wav.samples.iter().copied().skip(side).step_by(2).collect();
        assert_eq!(digits_in(&side, wav.rate_hz), "123");
    }
    let srt = std::fs::read_to_string(&written).expect("reads");
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    assert!(
        srt.contains("\ncustomer: 1 2 3\n") && srt.contains("\nagent: 1 2 3\n"),
        "{srt}"
    );
    assert!(recorded.with_extension("json").exists());
}

#[test]
fn stereo_is_mixed_and_the_speed_of_speech_is_kept() {
    let folder = folder("stereo");
    let path = folder.join("stereo.wav");
    let mono = dtmf::tones("98", 16_000).expect("digits");
    let stereo: Vec<i16> = mono.iter().flat_map(|&s| [s, s]).collect();
    wav::write(&path, 16_000, 2, &stereo).expect("written");
    let server = Server::start(&["--ears", "dtmf"]);
    let begun = std::time::Instant::now();
    let ran = call(&server.url, &["--audio", text(&path)]);
    let result = ran.json();
    assert_eq!(result["transcript"][0]["text"], "9 8", "{ran:?}");
    let sent_ms = u128::from(result["audio_ms_in"].as_u64().expect("a number"));
    assert!(begun.elapsed().as_millis() + 40 >= sent_ms, "{result}");
}

#[test]
fn a_bad_file_is_told_before_anybody_is_called() {
    let folder = folder("bad_wav");
    let good = std::fs::read(digits_file(&folder, 8_000)).expect("reads");
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("float", with(20, &[3, 0]), "float"),
        ("24 bit", with(34, &[24, 0]), "PCM24"),
        ("empty", Vec::new(), "empty"),
        ("cut", good[..good.len() / 2].to_vec(), "cut"),
        ("no WAV", b"ID3 this is no WAV file".to_vec(), "not a WAV"),
        ("no samples", with(40, &[0; 4])[..44].to_vec(), "no samples"),
        ("96 kHz", with(24, &96_000_u32.to_le_bytes()), "96000"),
    ];
    for (name, bytes, wanted) in cases {
        let path = folder.join("bad.wav");
        std::fs::write(&path, bytes).expect("written");
        // Nobody listens there: a call that went out would fail in another way.
        let ran = call("ws://127.0.0.1:1/", &["--audio", text(&path)]);
        assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
        assert!(
            ran.stderr.contains("bad.wav") && ran.stderr.contains(wanted),
            "{name}: {ran:?}"
        );
        assert_shape(&ran.json());
        assert_eq!(ran.json()["ok"], false);
    }
    let ran = call("ws://127.0.0.1:1/", &["--audio", "/no/such.wav"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("/no/such.wav"));
}

#[test]
fn a_missing_credential_names_the_variable() {
    let remote = "wss://example.invalid/v1/realtime";
    for (args, variable) in [
        (vec![], "YANDEX_API_KEY"),
        (vec!["--dialect", "openai"], "OPENAI_API_KEY"),
        (vec!["--api-key-env", "MY_KEY"], "MY_KEY"),
    ] {
        let ran = call(remote, &[&["--text", "hi"], &args[..]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(variable), "{ran:?}");
        assert_eq!(ran.json()["end"]["why"], "auth");
    }
}

#[test]
fn a_credential_that_lies_around_is_not_sent_to_a_local_server() {
    let server = Server::start(&["--api-key", "right"]);
    let to_server = |key: &str, named: bool| {
        let mut command = talkwire();
        command.env("YANDEX_API_KEY", key);
        command.args(["call", "--json", "--text", "hi", "--url", &server.url]);
        if named {
            command.args(["--api-key-env", "YANDEX_API_KEY"]);
        }
        Ran::of(&mut command)
    };
    assert_eq!(to_server("right", true).code, Some(0));
    for (key, named) in [("right", false), ("wrong", true)] {
        let ran = to_server(key, named);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let end = &ran.json()["end"];
        assert_eq!(
            (end["why"].as_str(), end["http_status"].as_u64()),
            (Some("auth"), Some(401))
        );
        assert!(
            !ran.stderr.contains("wrong") && !ran.stdout.contains("wrong"),
            "{ran:?}"
        );
        let hint = "--api-key-env YANDEX_API_KEY";
        assert_eq!(ran.stderr.contains(hint), !named, "{ran:?}");
    }
}

#[test]
fn no_server_is_an_end_with_a_reason() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let ran = call(
        &format!("ws://127.0.0.1:{port}/v1/realtime"),
        &["--text", "hi"],
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_shape(&ran.json());
    assert_eq!(ran.json()["end"]["why"], "unreachable");
    assert!(ran.stderr.contains("unreachable"), "{ran:?}");
}

#[test]
fn a_dialect_is_a_name_or_a_file() {
    let unknown = call(
        "ws://127.0.0.1:1/",
        &["--text", "hi", "--dialect", "klingon"],
    );
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("klingon") && unknown.stderr.contains("openai"));
    let folder = folder("dialect");
    let broken = folder.join("broken.json");
    std::fs::write(&broken, r#"{"name": "x"}"#).expect("written");
    let ran = call(
        "ws://127.0.0.1:1/",
        &["--text", "hi", "--dialect", text(&broken)],
    );
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let table = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../core/src/dialect/tables/openai.json"
    );
    let server = Server::start(&["--profile", "openai"]);
    let own = call(&server.url, &["--text", "hi", "--dialect", table]);
    assert_eq!(own.code, Some(0), "{own:?}");
}

#[test]
fn a_file_without_speech_is_a_failed_call() {
    let path = folder("silence").join("silence.wav");
    wav::write(&path, 16_000, 1, &[0; 16_000]).expect("written");
    let server = Server::start(&[]);
    let ran = call(&server.url, &["--audio", text(&path), "--pace", "max"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("no speech"), "{ran:?}");
    assert_shape(&ran.json());
    let why = "the server heard no speech in the file";
    assert_eq!(ran.json()["error"], why, "{ran:?}");
}

#[test]
fn a_function_that_is_called_is_answered_so_that_the_agent_goes_on() {
    let script = folder("tools").join("order.yaml");
    let rules = "turns:\n  - when: {tool: place_order}\n    say: Sorry.\n\
                 \x20 - call: {name: place_order, arguments: {size: large}}\n";
    std::fs::write(&script, rules).expect("written");
    let server = Server::start(&["--script", text(&script)]);
    let ran = call(&server.url, &["--text", "a pizza"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let result = ran.json();
    let call = &result["tool_calls"][0];
    assert_eq!(
        (&call["name"], &call["arguments"]["size"]),
        (&"place_order".into(), &"large".into())
    );
    assert_eq!(result["transcript"][1]["text"], "Sorry.");
    assert_eq!(result["end"]["mid_turn"], false);
}

#[test]
fn captions_are_quiet_unless_stderr_is_a_terminal_or_they_are_asked_for() {
    let server = Server::start(&[]);
    assert_eq!(call(&server.url, &["--text", "hi"]).stderr, "");
    let shown = call(&server.url, &["--text", "hi", "--captions"]).stderr;
    assert!(shown.contains(" s  agent     hi"), "{shown}");
    let plain = Ran::of(talkwire().args(["call", "--url", &server.url, "--text", "hi"]));
    assert_eq!(plain.stdout, "customer: hi\nagent: hi\n");
}

#[test]
fn a_server_that_refuses_the_model_is_the_end_that_is_told() {
    let said = digits_file(&folder("refused_model"), 8_000);
    let server = Server::start(&[]);
    let url = format!("{}?model=zzz", server.url);
    for args in [
        &["--text", "hi"][..],
        &["--audio", text(&said)],
        &["--audio", text(&said), "--pace", "max"],
    ] {
        let ran = call(&url, args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let result = ran.json();
        assert_shape(&result);
        let end = &result["end"];
        assert_eq!(
            (&end["who"], &end["why"], &end["code"]),
            (&"server".into(), &"fatal".into(), &1008.into()),
            "{ran:?}"
        );
        assert!(
            end["message"].as_str().is_some_and(|m| m.contains("1008")),
            "{ran:?}"
        );
    }
}

#[test]
fn a_transcript_that_grows_is_one_caption_that_stays_and_an_empty_one_is_none() {
    let folder = folder("growing");
    let (said, script) = (digits_file(&folder, 8_000), folder.join("growing.yaml"));
    let heard = |ears: &str| {
        let rules = format!("emulate: [growing_transcripts]\nears: [\"{ears}\"]\nbrain: loop\n");
        std::fs::write(&script, rules).expect("written");
        let server = Server::start(&["--script", text(&script)]);
        let ran = call(&server.url, &["--audio", text(&said), "--captions"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let stderr = ran.stderr.lines().filter_map(|l| l.split_once("customer"));
        let captions: Vec<_> = stderr
            .map(|(_, caption)| caption.trim().to_owned())
            .collect();
        (captions, ran.json()["transcript"][0]["text"].clone())
    };
    let grown = ["… one", "… one two", "… one two three", "one two three"];
    let (captions, transcript) = heard("one two three");
    assert_eq!(captions, grown);
    assert_eq!(transcript, "one two three");
    assert_eq!(heard("").0, Vec::<String>::new());
}

#[test]
fn a_wrong_command_line_is_told_in_the_json_too() {
    for (args, wanted) in [
        (&["call", "--json", "--url", "ws://h/"][..], "--text"),
        (&["call", "--json", "--text", "hi"], "--url"),
        (&["call", "--json", "--loud"], "--loud"),
        (&["demo", "--lang", "xx", "--json"], "xx"),
        (&["--json"], "--json"),
    ] {
        let ran = Ran::of(talkwire().args(args));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(wanted), "{ran:?}");
        let result = ran.json();
        assert_shape(&result);
        assert_eq!(result["ok"], false);
        let why = result["error"].as_str().expect("a sentence");
        assert!(why.contains(wanted) && !why.contains("Usage"), "{why}");
    }
    let plain = Ran::of(talkwire().args(["call", "--loud"]));
    assert_eq!((plain.code, plain.stdout.as_str()), (Some(2), ""));
    let help = Ran::of(talkwire().args(["call", "--json", "--help"]));
    assert_eq!(help.code, Some(0));
    assert!(!help.stdout.contains("\"ok\""), "{help:?}");
}

#[test]
fn an_empty_text_is_refused_before_anybody_is_called() {
    for empty in ["", " \n"] {
        let ran = call("ws://127.0.0.1:1/", &["--text", empty]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("the text is empty"), "{ran:?}");
        assert_eq!(ran.json()["ok"], false);
    }
}

#[test]
fn a_url_that_cannot_be_right_is_an_error_of_the_command_line() {
    let ran = call("http://127.0.0.1:1/", &["--text", "hi"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let result = ran.json();
    assert_shape(&result);
    assert_eq!(result["end"]["why"], "argument");
    let why = result["error"].as_str().expect("a sentence");
    assert!(why.contains("ws://") && ran.stderr.contains(why), "{ran:?}");
}
