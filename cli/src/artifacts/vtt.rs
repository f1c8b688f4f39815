//! `transcript.vtt`: captions for players of sound and video (WebVTT).

use crate::talk::lines::Utterance;

/// Players do not show captions shorter than a glance; written turns take no time at all.
const MIN_MS: u64 = 500;

/// The text of the file.
pub(crate) fn text(utterances: &[Utterance]) -> String {
    let cues = utterances.iter().filter(|u| !u.text.is_empty()).map(cue);
    format!("WEBVTT\n{}", cues.collect::<String>())
}

fn cue(utterance: &Utterance) -> String {
    let end_ms = utterance.end_ms.max(utterance.start_ms + MIN_MS);
    format!(
        "\n{} --> {}\n<v {}>{}</v>\n",
        time(utterance.start_ms),
        time(end_ms),
        utterance.role,
        escape(&utterance.text)
    )
}

fn time(ms: u64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// A cue ends at an empty line, so a text must not hold one.
fn escape(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ").replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_have_times_speakers_and_escaped_text() {
        let say = |role, text: &str, start_ms, end_ms| Utterance {
            role,
            text: text.to_owned(),
            start_ms,
            end_ms,
        };
        let utterances = [
            say("customer", "a < b & c\n\n--> d", 600, 5_024),
            say("agent", "", 5_100, 5_200),
            say("agent", "да", 3_723_004, 3_723_004),
        ];
        assert_eq!(
            text(&utterances),
            "WEBVTT\n\n00:00:00.600 --> 00:00:05.024\n<v customer>a &lt; b &amp; c --&gt; d</v>\n\
             \n01:02:03.004 --> 01:02:03.504\n<v agent>да</v>\n"
        );
    }
}
