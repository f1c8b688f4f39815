//! The conversation written down: JSON for programs, WebVTT and SubRip for players.

use std::borrow::Borrow;
use std::path::Path;

use serde_json::json;

use crate::engine::history::{Role, Segment};
use crate::error::{Error, Kind, Result};

/// How a transcript is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"segments": [{"role", "text", "start_ms", "end_ms", "item_id", "is_final"}]}`; unknown
    /// times are null.
    Json,
    /// WebVTT with a voice tag for each speaker.
    Vtt,
    /// SubRip with the speaker before each text.
    Srt,
}

/// Players do not show what is shorter than a glance.
const GLANCE_MS: u64 = 500;

/// What a character takes to be read, where nobody knows how long it was spoken.
const READING_MS: u64 = 60;

impl Form {
    /// The form called `json`, `vtt` or `srt`; fails with `Argument` for any other name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "json" => Ok(Self::Json),
            "vtt" => Ok(Self::Vtt),
            "srt" => Ok(Self::Srt),
            other => {
                let message = format!("a transcript is json, vtt or srt, not `{other}`");
                Err(Error::new(Kind::Argument, message))
            }
        }
    }

    /// The form that a file's name ends with.
    pub fn of_path(path: &Path) -> Result<Self> {
        let end = path.extension().unwrap_or_default();
        Self::named(&end.to_string_lossy())
    }
}

/// The text of a transcript, in the order of the conversation as JSON, in that of time for players.
/// These get no empty segments and no instructions; what has no times stands after what was before
/// it, for as long as it takes to read.
pub fn text<S: Borrow<Segment>>(segments: &[S], form: Form) -> String {
    let segments = segments.iter().map(Borrow::borrow);
    match form {
        Form::Json => {
            let segments: Vec<_> = segments.map(Segment::to_json).collect();
            format!("{:#}\n", json!({"segments": segments}))
        }
        Form::Vtt => {
            let cues = cues(segments).into_iter();
            let cues = cues.map(|cue| {
                let (start, end) = (time(cue.start_ms, '.'), time(cue.end_ms, '.'));
                let text = cue.text.replace('&', "&amp;");
                let text = text.replace('<', "&lt;").replace('>', "&gt;");
                format!("\n{start} --> {end}\n<v {}>{text}</v>\n", cue.role)
            });
            format!("WEBVTT\n{}", cues.collect::<String>())
        }
        Form::Srt => {
            let cues = cues(segments).into_iter().enumerate();
            let cues = cues.map(|(index, cue)| {
                let (start, end) = (time(cue.start_ms, ','), time(cue.end_ms, ','));
                // SubRip has no escapes; only this would be taken for a time.
                let text = cue.text.replace("-->", "->");
                format!("{}\n{start} --> {end}\n{}: {text}\n\n", index + 1, cue.role)
            });
            cues.collect()
        }
    }
}

/// A text while it is shown.
struct Cue {
    role: &'static str,
    start_ms: u64,
    end_ms: u64,
    text: String,
}

fn cues<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    for segment in segments.filter(|s| s.role != Role::System) {
        // A cue ends at an empty line, so a text must not hold one.
        let words: Vec<_> = segment.text.split_whitespace().collect();
        let text = words.join(" ");
        if text.is_empty() {
            continue;
        }
        let before_ms = cues.last().map_or(0, |cue| cue.end_ms);
        let start_ms = segment.start_ms.unwrap_or(before_ms);
        let reading_ms = READING_MS * text.chars().count() as u64;
        let end_ms = segment.end_ms.unwrap_or(start_ms + reading_ms);
        cues.push(Cue {
            role: segment.role.name(),
            start_ms,
            end_ms: end_ms.max(start_ms + GLANCE_MS),
            text,
        });
    }
    // Players want the order of time; who speaks over another does not have to be in it.
    cues.sort_by_key(|cue| cue.start_ms);
    cues
}

fn time(ms: u64, point: char) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    let (hours, minutes, s) = (s / 3600, s / 60 % 60, s % 60);
    format!("{hours:02}:{minutes:02}:{s:02}{point}{ms:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: Role, text: &str, start_ms: Option<u64>, end_ms: Option<u64>) -> Segment {
        Segment {
            item_id: format!("item_{}", text.len()),
            role,
            text: text.to_owned(),
            start_ms,
            end_ms,
            is_final: true,
            cut: None,
        }
    }

    fn nasty() -> Vec<Segment> {
        vec![
            said(Role::System, "Be brief.", None, None),
            said(
                Role::Customer,
                "a < b & c\r\n\n--> d",
                Some(600),
                Some(5_024),
            ),
            said(Role::Agent, " \n ", Some(5_100), Some(5_200)),
            said(Role::Agent, "no times, ten more", None, None),
            said(Role::Customer, "да", Some(3_723_004), Some(3_723_004)),
            said(Role::Agent, "<i>over it</i>", Some(4_000), None),
        ]
    }

    #[test]
    fn captions_for_the_web_are_escaped_and_in_the_order_of_time() {
        let wanted = "WEBVTT\n\
            \n00:00:00.600 --> 00:00:05.024\n<v customer>a &lt; b &amp; c --&gt; d</v>\n\
            \n00:00:04.000 --> 00:00:04.840\n<v agent>&lt;i&gt;over it&lt;/i&gt;</v>\n\
            \n00:00:05.024 --> 00:00:06.104\n<v agent>no times, ten more</v>\n\
            \n01:02:03.004 --> 01:02:03.504\n<v customer>да</v>\n";
        assert_eq!(text(&nasty(), Form::Vtt), wanted);
        assert_eq!(text::<Segment>(&[], Form::Vtt), "WEBVTT\n");
    }

    #[test]
    fn subtitles_are_numbered_and_hold_no_second_time_line() {
        let wanted = "1\n00:00:00,600 --> 00:00:05,024\ncustomer: a < b & c -> d\n\n\
            2\n00:00:04,000 --> 00:00:04,840\nagent: <i>over it</i>\n\n\
            3\n00:00:05,024 --> 00:00:06,104\nagent: no times, ten more\n\n\
            4\n01:02:03,004 --> 01:02:03,504\ncustomer: да\n\n";
        assert_eq!(text(&nasty(), Form::Srt), wanted);
        assert_eq!(text::<Segment>(&[], Form::Srt), "");
    }

    #[test]
    fn json_holds_everything_as_it_is() {
        let told: serde_json::Value =
            serde_json::from_str(&text(&nasty(), Form::Json)).expect("JSON");
        let segments = told["segments"].as_array().expect("a list");
        assert_eq!(segments.len(), 6);
        assert_eq!(
            segments[1],
            json!({"role": "customer", "text": "a < b & c\r\n\n--> d", "start_ms": 600,
                "end_ms": 5_024, "item_id": "item_17", "is_final": true})
        );
        assert_eq!(segments[3]["start_ms"], json!(null));
    }

    #[test]
    fn a_form_is_known_by_its_name_or_that_of_a_file() {
        assert_eq!(Form::named("srt"), Ok(Form::Srt));
        assert_eq!(Form::of_path("a/call.b.vtt".as_ref()), Ok(Form::Vtt));
        for wrong in ["call.txt", "vtt", ""] {
            let error = Form::of_path(wrong.as_ref()).expect_err(wrong);
            assert_eq!(error.kind(), Kind::Argument);
        }
    }
}
