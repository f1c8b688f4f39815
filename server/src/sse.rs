//! Server-sent events, as far as streaming answers use them: the data of each event.

/// Longest line that is taken.
const MAX_LINE_BYTES: usize = 1 << 20;

/// What has come and is no whole event yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Option<String>,
}

impl Events {
    /// Adds output and takes out the data of the events that are complete with it.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() > MAX_LINE_BYTES {
                return Err(format!(
                    "it sent a line of more than {MAX_LINE_BYTES} bytes"
                ));
            }
            if piece.ends_with(b"\n") {
                found.extend(self.end_line()?);
            }
        }
        Ok(found)
    }

    /// The data of the last event, where nothing came after it.
    pub(crate) fn finish(&mut self) -> Result<Option<String>, String> {
        let last = self.end_line()?;
        Ok(last.or_else(|| self.data.take()))
    }

    fn end_line(&mut self) -> Result<Option<String>, String> {
        let line = std::mem::take(&mut self.line);
        let line =
            String::from_utf8(line).map_err(|_| "it sent text that is no UTF-8".to_owned())?;
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Ok(self.data.take());
        }
        // Names, ids and comments say nothing here.
        if let Some(data) = line.strip_prefix("data:") {
            let data = data.strip_prefix(' ').unwrap_or(data);
            match &mut self.data {
                Some(before) => {
                    before.push('\n');
                    before.push_str(data);
                }
                none => *none = Some(data.to_owned()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_their_bytes_come() {
        let text = ": hi\nevent: x\ndata: один\r\n\r\ndata:two\ndata: lines\n\n\ndata: last";
        for size in [1, 3, 1000] {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                found.extend(events.push(piece).expect("reads"));
            }
            found.extend(events.finish().expect("reads"));
            assert_eq!(found, ["один", "two\nlines", "last"]);
        }
    }

    #[test]
    fn endless_lines_and_other_bytes_are_refused() {
        assert!(Events::default().push(&[0xff, b'\n']).is_err());
        assert!(
            Events::default()
                .push(&vec![b'a'; MAX_LINE_BYTES + 1])
                .is_err()
        );
    }
}
