//! Samples stay whole: a delta may end in the middle of one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::server::{AudioDelta, Delta};

/// The half sample that a delta ended with.
#[derive(Debug)]
struct Half {
    item_id: String,
    content_index: u32,
    byte: u8,
}

/// The half sample that waits for its other half.
#[derive(Debug, Default)]
pub(super) struct Halves {
    half: Option<Half>,
}

impl Halves {
    /// Makes a delta end with a whole sample; returns whether it had to be changed. `sample_bytes`
    /// is 2 or 1.
    pub(super) fn mend(&mut self, delta: &mut AudioDelta, sample_bytes: usize) -> bool {
        let half = self
            .half
            .take()
            .filter(|half| half.is_of(&delta.item_id, delta.content_index));
        if sample_bytes == 1 || (half.is_none() && delta.audio.len().is_multiple_of(2)) {
            return false;
        }
        if let Some(half) = half {
            let mut whole = BytesMut::with_capacity(delta.audio.len() + 1);
            whole.put_u8(half.byte);
            whole.extend_from_slice(&delta.audio);
            delta.audio = whole.freeze();
        }
        if delta.audio.len() % 2 == 1 {
            let last = delta.audio.len() - 1;
            let byte = delta.audio[last];
            delta.audio = Bytes::copy_from_slice(&delta.audio[..last]);
            let (item_id, content_index) = (delta.item_id.clone(), delta.content_index);
            self.half = Some(Half {
                item_id,
                content_index,
                byte,
            });
        }
        true
    }

    /// Whether the audio of a finished part ended within a sample.
    pub(super) fn ended_in_half(&mut self, done: &Delta) -> bool {
        self.half
            .take_if(|half| half.is_of(&done.item_id, done.content_index))
            .is_some()
    }
}

impl Half {
    fn is_of(&self, item_id: &str, content_index: u32) -> bool {
        self.item_id == item_id && self.content_index == content_index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(item: &str, audio: &'static [u8]) -> AudioDelta {
        AudioDelta {
            item_id: item.to_owned(),
            audio: Bytes::from_static(audio),
            ..AudioDelta::default()
        }
    }

    #[test]
    fn a_split_sample_is_put_together_again() {
        let mut halves = Halves::default();
        let mut heard = Vec::new();
        for piece in [&[1, 2, 3][..], &[4, 5], &[6], &[], &[7, 8]] {
            let mut delta = delta("i", piece);
            halves.mend(&mut delta, 2);
            assert_eq!(delta.audio.len() % 2, 0);
            heard.extend_from_slice(&delta.audio);
        }
        assert_eq!(heard, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn the_half_of_one_item_never_reaches_another() {
        let mut halves = Halves::default();
        halves.mend(&mut delta("a", &[1]), 2);
        let mut other = delta("b", &[2, 3]);
        halves.mend(&mut other, 2);
        assert_eq!(&other.audio[..], [2, 3]);
    }

    #[test]
    fn a_part_that_ends_within_a_sample_is_told() {
        let mut halves = Halves::default();
        halves.mend(&mut delta("a", &[1, 2, 3]), 2);
        let done = Delta {
            item_id: "a".to_owned(),
            ..Delta::default()
        };
        assert!(halves.ended_in_half(&done));
        assert!(!halves.ended_in_half(&done));
    }
}
