//! `timeline.svg`: the call as a picture. Four lanes over one time axis: what the customer said,
//! what the agent said, events, and tools.

mod text;

use std::fmt::Write;

use super::wav::Tracks;
use crate::talk::lines::Utterance;
use crate::talk::record::{INTERRUPTED, Mark, Record, ToolCall};
use text::{escape, line_height, width, wrap};

const LEFT: f64 = 118.0;
/// Room for the labels of what happens last.
const RIGHT: f64 = 150.0;
const TOP: f64 = 92.0;
/// Width of the time axis of an ordinary call; a long one becomes denser, not wider.
const AXIS: f64 = 1_240.0;
const MAX_PIXELS_PER_S: f64 = 60.0;
const WAVE: f64 = 54.0;
const PAD: f64 = 12.0;
const LABEL_LINES: usize = 4;

const CUSTOMER: &str = "#1f6fb2";
const AGENT: &str = "#c2571a";
const EVENT: &str = "#5b6470";
const TOOL: &str = "#2e7d4f";
const LATENCY: &str = "#8e3aa8";
const INTERRUPTION: &str = "#b3261e";

/// The picture of a call.
pub(crate) fn draw(tracks: &Tracks, record: &Record) -> String {
    let utterances = record.transcript();
    let last_ms = utterances.iter().map(|u| u.end_ms).max().unwrap_or(0);
    let marked_ms = record.marks().iter().map(|m| m.at_ms).max().unwrap_or(0);
    let total_ms = tracks.duration_ms().max(last_ms).max(marked_ms).max(1_000);
    let mut picture = Picture::new(total_ms);
    picture.lane("Customer", "speech", |p| {
        p.speech(&tracks.customer, tracks.rate_hz, CUSTOMER);
        p.said(&utterances, "customer", CUSTOMER)
    });
    picture.lane("Agent", "speech, as heard", |p| {
        p.speech(&tracks.agent, tracks.rate_hz, AGENT);
        p.said(&utterances, "agent", AGENT)
    });
    picture.lane("Events", "", |p| p.marks(record.marks()));
    picture.lane("Tools", "", |p| p.tools(record.tool_calls()));
    picture.finish(record.first_audio_ms())
}

/// A picture that grows downwards, lane by lane.
struct Picture {
    total_ms: u64,
    per_ms: f64,
    y: f64,
    body: String,
}

impl Picture {
    fn new(total_ms: u64) -> Self {
        let per_s = (AXIS * 1_000.0 / total_ms as f64).min(MAX_PIXELS_PER_S);
        Self {
            total_ms,
            per_ms: per_s / 1_000.0,
            y: TOP,
            body: String::new(),
        }
    }

    fn x(&self, ms: u64) -> f64 {
        LEFT + ms as f64 * self.per_ms
    }

    fn right(&self) -> f64 {
        self.x(self.total_ms)
    }

    fn width(&self) -> f64 {
        self.right() + RIGHT
    }

    fn put(&mut self, text: &str) {
        self.body.push_str(text);
        self.body.push('\n');
    }

    /// Draws a lane; `content` draws from `y` down and returns its height.
    fn lane(&mut self, name: &str, note: &str, content: impl FnOnce(&mut Self) -> f64) {
        let top = self.y;
        self.y += PAD;
        let height = content(self) + 2.0 * PAD;
        let width = self.width();
        let line = format!(
            "<path class=\"edge\" d=\"M0 {bottom:.1}H{width:.1}\"/>\
             <text class=\"lane\" x=\"16\" y=\"{y:.1}\">{name}</text>\
             <text class=\"note\" x=\"16\" y=\"{below:.1}\">{note}</text>",
            bottom = top + height,
            y = top + PAD + 14.0,
            below = top + PAD + 30.0,
        );
        self.put(&line);
        self.y = top + height;
    }

    // ---- speech ---------------------------------------------------------------------------------

    /// The outline of the loudest samples of each pixel.
    fn speech(&mut self, samples: &[i16], rate_hz: u32, color: &str) {
        let per_pixel = (f64::from(rate_hz) / (self.per_ms * 1_000.0)).max(1.0);
        let middle = self.y + WAVE / 2.0;
        let pixels = (samples.len() as f64 / per_pixel) as usize;
        let (mut upper, mut lower) = (String::new(), Vec::with_capacity(pixels));
        for pixel in 0..pixels {
            let from = (pixel as f64 * per_pixel) as usize;
            let to = ((pixel + 1) as f64 * per_pixel) as usize;
            let peak = samples[from..to.min(samples.len())].iter();
            let peak = peak.map(|s| s.unsigned_abs()).max().unwrap_or(0);
            let half = f64::from(peak) / 32_768.0 * WAVE / 2.0;
            let x = LEFT + pixel as f64;
            let _ = write!(upper, "{x:.0} {:.1} ", middle - half);
            lower.push(format!("{x:.0} {:.1} ", middle + half));
        }
        let end = self.right();
        let line = format!("<path class=\"axis\" d=\"M{LEFT} {middle:.1}H{end:.1}\"/>");
        self.put(&line);
        if pixels > 0 {
            let lower: String = lower.into_iter().rev().collect();
            let shape = format!("<polygon fill=\"{color}\" points=\"{upper}{lower}\"/>");
            self.put(&shape);
        }
    }

    /// Boxes around the utterances of a role and their texts below them.
    fn said(&mut self, utterances: &[Utterance], role: &str, color: &str) -> f64 {
        let own: Vec<_> = utterances.iter().filter(|u| u.role == role).collect();
        let mut lines = 0;
        for (i, utterance) in own.iter().enumerate() {
            let (from, to) = (self.x(utterance.start_ms), self.x(utterance.end_ms));
            let next = own.get(i + 1).map(|next| self.x(next.start_ms));
            let room = next.unwrap_or_else(|| self.width() - 8.0) - from - 10.0;
            let wrapped = wrap(&utterance.text, room, LABEL_LINES);
            lines = lines.max(wrapped.len());
            let shape = format!(
                "<g><title>{}</title><rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" \
                 height=\"{WAVE}\" rx=\"4\" fill=\"{color}\" fill-opacity=\"0.13\"/></g>",
                escape(&utterance.text),
                y = self.y,
                w = (to - from).max(2.0),
            );
            self.put(&shape);
            let y = self.y + WAVE;
            self.label(from, y, &wrapped, color);
        }
        WAVE + 4.0 + lines as f64 * line_height()
    }

    /// Lines of text below `y`.
    fn label(&mut self, x: f64, y: f64, lines: &[String], color: &str) {
        for (i, line) in lines.iter().enumerate() {
            let y = y + (i + 1) as f64 * line_height();
            let text = format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{color}\">{}</text>",
                escape(line)
            );
            self.put(&text);
        }
    }

    // ---- events and tools -----------------------------------------------------------------------

    /// Ticks with labels, each in the first row that is free there.
    fn marks(&mut self, marks: &[Mark]) -> f64 {
        let mut marks: Vec<_> = marks.iter().collect();
        marks.sort_by_key(|mark| mark.at_ms);
        let mut rows: Vec<f64> = Vec::new();
        // Labels go over the ticks of other rows, which therefore are drawn first.
        let mut labels = String::new();
        for mark in marks {
            let x = self.x(mark.at_ms);
            let lines = wrap(&mark.text, 260.0, 1);
            let label = lines.first().map_or("", String::as_str);
            let row = rows.iter().position(|taken| *taken <= x);
            let row = row.unwrap_or_else(|| {
                rows.push(0.0);
                rows.len() - 1
            });
            rows[row] = x + width(label) + 14.0;
            let y = self.y + row as f64 * line_height();
            let color = match &mark.text {
                text if text.starts_with("first audio") => LATENCY,
                text if text.starts_with(INTERRUPTED) => INTERRUPTION,
                _ => EVENT,
            };
            let tick = format!(
                "<path stroke=\"{color}\" d=\"M{x:.1} {top:.1}V{dot:.1}\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{dot:.1}\" r=\"3\" fill=\"{color}\"/>",
                top = self.y - PAD,
                dot = y + 8.0,
            );
            self.put(&tick);
            let _ = writeln!(
                labels,
                "<text class=\"over\" x=\"{tx:.1}\" y=\"{ty:.1}\" fill=\"{color}\">{}</text>",
                escape(label),
                tx = x + 7.0,
                ty = y + 12.0,
            );
        }
        self.put(&labels);
        rows.len().max(1) as f64 * line_height()
    }

    /// Calls from their request to their output, each in the first row that is free there.
    fn tools(&mut self, tools: &[ToolCall]) -> f64 {
        if tools.is_empty() {
            let lines = ["no function was called".to_owned()];
            let y = self.y - 4.0;
            self.label(LEFT, y, &lines, EVENT);
            return line_height();
        }
        let mut height = 0.0_f64;
        let mut rows: Vec<(f64, f64)> = Vec::new();
        for tool in tools {
            let from = self.x(tool.start_ms);
            let to = self.x(tool.end_ms.unwrap_or(self.total_ms)).max(from + 6.0);
            let mut lines = wrap(
                &format!("{} {}", tool.name, tool.arguments),
                420.0,
                LABEL_LINES,
            );
            lines.extend(wrap(&format!("gives {}", tool.output), 420.0, LABEL_LINES));
            let widest = lines.iter().map(|l| width(l)).fold(0.0, f64::max);
            // Near the right edge the label stands left of the box.
            let is_left = to + 8.0 + widest > self.width();
            let x = if is_left {
                from - 8.0 - widest
            } else {
                to + 8.0
            };
            let (start, end) = (from.min(x), to.max(x + widest) + 14.0);
            let free = rows.iter().position(|(taken, _)| *taken <= start);
            let top = match free {
                Some(row) => rows[row].1,
                None => height,
            };
            match free {
                Some(row) => rows[row].0 = end,
                None => rows.push((end, top)),
            }
            let tall = lines.len() as f64 * line_height() + 4.0;
            height = height.max(top + tall);
            let y = self.y + top;
            let shape = format!(
                "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"2\" \
                 fill=\"{TOOL}\"/>",
                w = to - from,
                h = tall - 4.0,
            );
            self.put(&shape);
            self.label(x, y - 4.0, &lines, TOOL);
        }
        height
    }

    // ---- the frame ------------------------------------------------------------------------------

    fn finish(self, first_audio_ms: Option<u64>) -> String {
        let (width, height) = (self.width(), self.y + 34.0);
        let latency = first_audio_ms.map_or_else(String::new, |ms| {
            format!(", first audio {ms} ms after the customer had spoken")
        });
        let title = format!("Call of {:.1} s{latency}", self.total_ms as f64 / 1_000.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{title}</title>\n{STYLE}\
             <rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n\
             <text class=\"title\" x=\"16\" y=\"30\">{title}</text>\n{}{}{}</svg>\n",
            legend(),
            self.axis(),
            self.body
        )
    }

    /// The time axis: a line and a number each second, or as many seconds as leave room.
    fn axis(&self) -> String {
        let per_s = self.per_ms * 1_000.0;
        let steps = [1_u32, 2, 5, 10, 30, 60, 300, 600];
        let step = steps.into_iter().find(|s| f64::from(*s) * per_s >= 34.0);
        let step = step.unwrap_or(1_800);
        let mut axis = String::new();
        for s in (0..=self.total_ms / 1_000).step_by(step as usize) {
            let x = self.x(s * 1_000);
            let _ = writeln!(
                axis,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom:.1}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{y}\">{s} s</text>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{below:.1}\">{s} s</text>",
                bottom = self.y,
                y = TOP - 8.0,
                below = self.y + 18.0,
            );
        }
        let width = self.width();
        let _ = writeln!(axis, "<path class=\"edge\" d=\"M0 {TOP}H{width:.1}\"/>");
        axis
    }
}

const STYLE: &str = "<style>text{font:12px Helvetica,Arial,'DejaVu Sans',sans-serif}\
    .title{font-size:17px;font-weight:bold;fill:#20262e}.lane{font-size:14px;font-weight:bold;\
    fill:#20262e}.note,.legend{font-size:11px;fill:#5b6470}.tick{font-size:11px;fill:#5b6470;\
    text-anchor:middle}.over{paint-order:stroke;stroke:#ffffff;stroke-width:4px;stroke-linejoin:round}.grid{stroke:#e3e7ec}.edge{stroke:#b9c0c9}.axis{stroke:#cfd5dc}</style>\n";

fn legend() -> String {
    let entries = [
        ("customer speaks", CUSTOMER),
        ("agent speaks", AGENT),
        ("event", EVENT),
        ("latency", LATENCY),
        ("interruption", INTERRUPTION),
        ("tool call until its result", TOOL),
    ];
    let mut x = 16.0;
    let mut legend = String::new();
    for (name, color) in entries {
        let _ = writeln!(
            legend,
            "<rect x=\"{x:.1}\" y=\"43\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{color}\"/>\
             <text class=\"legend\" x=\"{tx:.1}\" y=\"53\">{name}</text>",
            tx = x + 16.0,
        );
        x += 16.0 + width(name) + 22.0;
    }
    legend
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture::new(10_000)
    }

    #[test]
    fn labels_of_near_events_stand_in_rows_of_their_own() {
        let mark = |at_ms, text: &str| Mark {
            at_ms,
            text: text.to_owned(),
        };
        let mut p = picture();
        let near = [mark(1_000, "turn detected"), mark(1_010, "first audio")];
        assert_eq!(p.marks(&near), 2.0 * line_height());
        let far = [mark(1_000, "turn detected"), mark(5_000, "first audio")];
        assert_eq!(p.marks(&far), line_height());
    }

    #[test]
    fn hostile_text_is_escaped() {
        let mut p = picture();
        let utterance = Utterance {
            role: "agent",
            text: "<script>&\"'".to_owned(),
            start_ms: 0,
            end_ms: 1_000,
        };
        p.said(&[utterance], "agent", AGENT);
        assert!(!p.body.contains("<script>"));
        assert!(p.body.contains("&lt;script&gt;&amp;"));
    }

    #[test]
    fn a_long_call_becomes_denser_and_not_wider() {
        let (short, long) = (Picture::new(20_000), Picture::new(600_000));
        assert!(long.width() <= LEFT + AXIS + RIGHT + 1.0);
        assert!(short.right() <= LEFT + AXIS + 1.0);
        assert!(long.axis().matches("class=\"tick\"").count() < 90);
    }
}
