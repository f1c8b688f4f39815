//! Text of a picture: how wide it is, where it breaks, how it is escaped.

/// Distance of two lines of labels, in pixels.
pub(super) const fn line_height() -> f64 {
    16.0
}

/// Pixels a label takes at most: the widest of the common fonts of this size.
pub(super) fn width(text: &str) -> f64 {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 4.0,
        'm' | 'w' | 'M' | 'W' | 'ш' | 'щ' | 'ж' | 'ю' | 'ы' | 'м' | 'Ш' | 'Щ' | 'Ж' | 'Ю' => {
            11.0
        }
        c if c.is_uppercase() || c == '…' => 9.5,
        c if (c as u32) < 0x2000 => 7.6,
        _ => 12.5,
    }
}

/// Breaks a text between words into lines of at most `room` pixels; what does not fit into `most`
/// lines is left out, with an ellipsis.
pub(super) fn wrap(text: &str, room: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if width(line) + width(" ") + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if is_full => {
                line.push('…');
                shorten(line, room);
                return lines;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter_mut().for_each(|line| shorten(line, room));
    lines
}

/// A single word may be wider than all the room there is.
fn shorten(line: &mut String, room: f64) {
    if width(line) <= room {
        return;
    }
    while line.chars().count() > 1 && width(line) + char_width('…') > room {
        line.pop();
    }
    if !line.ends_with('…') {
        line.push('…');
    }
}

/// Text as XML content or attribute value. Control characters have no place in XML at all.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_between_words_and_never_exceeds_its_room() {
        let text = "Записала: улица Ленина, дом пять. Заказ принят, номер сорок два.";
        let lines = wrap(text, 200.0, 9);
        assert_eq!(lines.join(" "), text);
        assert!(lines.len() > 1 && lines.iter().all(|l| width(l) <= 200.0));
        let cut = wrap(text, 200.0, 2);
        assert!(cut.len() == 2 && cut[1].ends_with('…') && width(&cut[1]) <= 200.0);
        let wide = wrap("Donaudampfschifffahrt", 60.0, 3);
        assert!(wide.len() == 1 && wide[0].ends_with('…') && width(&wide[0]) <= 60.0);
        assert!(wrap("", 60.0, 3).is_empty());
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(escape("a<b>&\"\u{1}"), "a&lt;b&gt;&amp;&quot; ");
    }
}
