use std::path::Path;

use serde_json::Value;
use talkwire_core::audio::level::rms_dbfs;
use talkwire_core::audio::wav::Wav;

use crate::world::{Ran, assert_shape, folder, talkwire};

const LINES: &str = include_str!("../../../examples/audio/lines.json");

/// The agent's answer in which the customer has heard enough.
const INTERRUPTED: usize = 3;

/// Half a turn's closing silence: the detector is that exact, and a busy machine that late.
const TOLERANCE_MS: u64 = 250;

#[test]
fn the_demo_holds_the_whole_call_in_russian_and_leaves_its_artifacts() {
    holds_the_whole_call("ru");
}

#[test]
fn the_demo_holds_the_whole_call_in_english_and_leaves_its_artifacts() {
    holds_the_whole_call("en");
}

/// No session of the server lives as long as the call, and nothing of it is missing.
#[test]
#[ignore = "the deep tier runs it"]
fn soak_the_demo_goes_on_over_as_many_sessions_as_it_takes() {
    let out = folder("demo_sessions");
    let args = ["demo", "--json", "--lang", "en", "--lifetime", "8", "--out"];
    let ran = Ran::of(talkwire().args(args).arg(&out));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let result = ran.json();
    assert_shape(&result);
    transcript_is_that_of_the_lines(&result, "en");
    let rollovers = result["rollovers"].as_array().expect("a list");
    assert!(!rollovers.is_empty(), "{result}");
    assert_eq!(result["lost_ms"], 0, "{result}");
    assert_eq!(result["recoveries"].as_array().map(Vec::len), Some(0));
    let calls = result["tool_calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 1);
    let svg = std::fs::read_to_string(out.join("timeline.svg")).expect("reads");
    assert!(svg.contains("link: "), "no change in the timeline");
}

fn holds_the_whole_call(lang: &str) {
    let out = folder(&format!("demo_{lang}"));
    let args = ["demo", "--json", "--captions", "--lang", lang, "--out"];
    let ran = Ran::of(talkwire().args(args).arg(&out));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    captions_grow(&ran.stderr, lang);
    let result = ran.json();
    assert_shape(&result);
    assert_eq!(
        (&result["ok"], &result["end"]["mid_turn"]),
        (&true.into(), &false.into())
    );
    transcript_is_that_of_the_lines(&result, lang);
    the_customer_interrupts_once(&result, &ran.stderr);
    turns_and_tokens_are_told(&result);
    let calls = result["tool_calls"].as_array().expect("calls");
    assert_eq!((calls.len(), &calls[0]["name"]), (1, &"place_order".into()));
    assert_eq!(calls[0]["output"]["order"], 42);
    let path = |name: &str| {
        let path = result["artifacts"][name].as_str();
        Path::new(path.unwrap_or_else(|| panic!("no {name}"))).to_owned()
    };
    recording_is_as_heard(&path("call.wav"), &result);
    events_are_complete(&path("events.jsonl"));
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("reads");
    let transcript: Value = serde_json::from_str(&read("transcript.json")).expect("JSON");
    assert_eq!(transcript["transcript"], result["transcript"]);
    let vtt = read("transcript.vtt");
    assert!(
        vtt.starts_with("WEBVTT\n\n") && vtt.matches(" --> ").count() == 6,
        "{vtt}"
    );
    assert_eq!(vtt.matches("<v customer>").count(), 3);
    let svg = read("timeline.svg");
    for wanted in [
        "Customer",
        "Agent",
        "Events",
        "Tools",
        "place_order",
        "new voice",
        "interrupted: ",
        "5 s",
    ] {
        assert!(svg.contains(wanted), "no {wanted}");
    }
}

/// The customer's captions grow word by word, each turn stays once, and no caption is empty.
fn captions_grow(stderr: &str, lang: &str) {
    let lines: Value = serde_json::from_str(LINES).expect("JSON");
    let said = |line: &Value| line["role"] == "customer";
    let lines = lines[lang].as_array().expect("lines").iter();
    for line in lines.filter(|line| said(line)) {
        let all = line["text"].as_str().expect("a text");
        let (two_words, _) = all.match_indices(' ').nth(1).expect("three words");
        let shown = |caption: &str| {
            let wanted = format!(" s  customer  {caption}");
            stderr.lines().filter(|l| l.ends_with(&wanted)).count()
        };
        assert_eq!(shown(&format!("… {}", &all[..two_words])), 1, "{stderr}");
        assert_eq!(shown(all), 1, "{stderr}");
    }
    for line in stderr.lines() {
        let (_, caption) = line.split_once(" s  ").expect("a time");
        let words = caption.split_whitespace().filter(|word| *word != "…");
        assert!(words.count() > 1, "no text: {line}");
    }
}

fn transcript_is_that_of_the_lines(result: &Value, lang: &str) {
    let lines: Value = serde_json::from_str(LINES).expect("JSON");
    let lines = lines[lang].as_array().expect("lines");
    let said = result["transcript"].as_array().expect("lines");
    assert_eq!(said.len(), lines.len());
    for (said, line) in said.iter().zip(lines) {
        assert_eq!(
            (&said["role"], &said["text"]),
            (&line["role"], &line["text"])
        );
        let ms = |value: &Value| value.as_u64().unwrap_or_default();
        let lasts_ms = ms(&said["end_ms"]) - ms(&said["start_ms"]);
        let wanted_ms = match line["duration_ms"].as_u64() {
            Some(ms) => ms,
            None => ms(&line["end_ms"]) - ms(&line["start_ms"]),
        };
        if said["text"] == lines[INTERRUPTED]["text"] {
            assert!(lasts_ms < wanted_ms, "{said} {line}");
            continue;
        }
        // A machine that is short of time stretches what is heard; nothing may cut it.
        assert!(lasts_ms + TOLERANCE_MS > wanted_ms, "{said} {line}");
    }
}

/// The agent's second answer is cut where the customer had heard enough, to the millisecond.
fn the_customer_interrupts_once(result: &Value, stderr: &str) {
    let barge_ins = result["barge_ins"].as_array().expect("barge-ins");
    assert_eq!(barge_ins.len(), 1, "{result}");
    let barge_in = &barge_ins[0];
    let ms = |key: &str| {
        barge_in[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{barge_in}"))
    };
    assert!(
        ms("heard_ms") > 0 && ms("heard_ms") < ms("received_ms"),
        "{barge_in}"
    );
    assert_eq!(barge_in["truncated_ms"], barge_in["heard_ms"]);
    assert!(barge_in["silence_after_ms"].is_u64(), "{barge_in}");
    assert!(barge_in["item_id"].is_string(), "{barge_in}");
    let line = &result["transcript"][INTERRUPTED];
    let lasts_ms = time(&line["end_ms"]) - time(&line["start_ms"]);
    let apart_ms = lasts_ms.abs_diff(ms("heard_ms"));
    assert!(apart_ms <= TOLERANCE_MS, "{line} {barge_in}");
    let told = format!("heard {} of {} ms", ms("heard_ms"), ms("received_ms"));
    assert!(stderr.contains(&told), "{stderr}");
}

/// Each of the three answers was heard after it came.
fn turns_and_tokens_are_told(result: &Value) {
    let turns = result["turns"].as_array().expect("turns");
    assert_eq!(turns.len(), 3, "{result}");
    for turn in turns {
        assert!(
            time(&turn["first_delta_ms"]) <= time(&turn["first_heard_ms"]),
            "{turn}"
        );
    }
    for turn in [&turns[0], &turns[2]] {
        assert!(
            time(&turn["speech_stop_ms"]) <= time(&turn["first_delta_ms"]),
            "{turn}"
        );
    }
    assert_eq!(result["usage"]["responses"], 4);
    assert!(time(&result["usage"]["output_tokens"]) > 0, "{result}");
}

/// A number that is not null.
fn time(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Each party is heard on its side while it speaks, and the other side is quiet then unless it
/// speaks, too; nothing is heard of the agent between the cut and the next answer.
fn recording_is_as_heard(path: &Path, result: &Value) {
    let wav = Wav::read(path).expect("reads");
    assert_eq!((wav.channels, wav.rate_hz), (2, 24_000));
    let side = |offset: usize| -> Vec<i16> {
        let samples = wav.samples.iter().skip(offset).step_by(2);
        samples.copied().collect()
    };
    let (customer, agent) = (side(0), side(1));
    let lines = result["transcript"].as_array().expect("lines");
    let at = |line: &Value, key: &str| time(&line[key]) as usize * 24;
    for (i, line) in lines.iter().enumerate() {
        let (own, other) = match line["role"].as_str() {
            Some("customer") => (&customer, &agent),
            _ => (&agent, &customer),
        };
        let (from, to) = (at(line, "start_ms"), at(line, "end_ms").min(own.len()));
        assert!(rms_dbfs(&own[from..to]) > -30.0, "{line}");
        let from = i
            .checked_sub(1)
            .map_or(from, |i| from.max(at(&lines[i], "end_ms")));
        // Who interrupts is noticed a little later than heard.
        let next = lines
            .get(i + 1)
            .map_or(to, |next| at(next, "start_ms") - TOLERANCE_MS as usize * 24);
        let to = to.min(next).min(other.len());
        assert!(from >= to || rms_dbfs(&other[from..to]) < -50.0, "{line}");
    }
    // A millisecond of the last one that was heard may be told as the one before.
    let cut = at(&lines[INTERRUPTED], "end_ms") + 24;
    let next = at(&lines[INTERRUPTED + 2], "start_ms");
    // What is cut fades within 5 ms.
    assert!(agent[cut + 120..next].iter().all(|sample| *sample == 0));
    assert!(agent[cut - 240..cut].iter().any(|sample| *sample != 0));
}

fn events_are_complete(path: &Path) {
    let text = std::fs::read_to_string(path).expect("reads");
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let count = |name: &str| rows.iter().filter(|row| row["type"] == name).count();
    assert_eq!((count("session.created"), count("end")), (1, 1));
    assert_eq!(count("session.update"), 2);
    assert_eq!(count("response.done"), 4);
    let audio = rows
        .iter()
        .filter(|row| row["type"] == "response.output_audio.delta");
    for row in audio {
        assert!(
            row["audio_ms"].is_u64() && row.get("delta").is_none(),
            "{row}"
        );
    }
    assert!(
        rows.iter()
            .all(|row| row["at_ms"].is_u64() && row["direction"].is_string())
    );
    assert!(rows.is_sorted_by_key(|row| row["at_ms"].as_u64()));
}

#[test]
fn live_without_its_programs_names_the_packages() {
    let ran = Ran::of(
        talkwire()
            .env("PATH", "/nowhere")
            .args(["demo", "--live", "--json"]),
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("pocketsphinx-en-us") && ran.stderr.contains("flite"),
        "{ran:?}"
    );
    assert_shape(&ran.json());
    let russian = Ran::of(talkwire().args(["demo", "--live", "--lang", "ru"]));
    assert_eq!(russian.code, Some(1));
    assert!(russian.stderr.contains("--lang en"), "{russian:?}");
}
