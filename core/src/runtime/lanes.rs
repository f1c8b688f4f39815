//! What is queued for one socket: one line, in the order it was asked for, which only a ping
//! overtakes. Control is never dropped; of audio the oldest goes when there is too much of it.

use std::collections::VecDeque;

use crate::engine::io::Frame;
use crate::event::Unsent;

/// The queue in front of a socket.
#[derive(Debug)]
pub(super) struct Lanes {
    queue: VecDeque<Frame>,
    audio_ms: u64,
    control: usize,
    max_ms: u64,
}

/// More control than this waiting, and no further command is taken.
const CONTROL_MOST: usize = 256;

impl Lanes {
    pub(super) fn new(max_ms: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            audio_ms: 0,
            control: 0,
            max_ms,
        }
    }

    /// Queues a frame; returns the milliseconds of older audio that had to go.
    pub(super) fn push(&mut self, frame: Frame) -> u64 {
        match &frame {
            Frame::Text(_) => self.control += 1,
            Frame::Audio(_, ms) => self.audio_ms += ms,
            // It asks whether the other end is there, not whether it has got all that.
            Frame::Ping => {
                self.queue.push_front(frame);
                return 0;
            }
        }
        self.queue.push_back(frame);
        let mut dropped = 0;
        while self.audio_ms > self.max_ms {
            let oldest = self
                .queue
                .iter()
                .position(|f| matches!(f, Frame::Audio(..)));
            let Some(Frame::Audio(_, ms)) = oldest.and_then(|i| self.queue.remove(i)) else {
                break;
            };
            self.audio_ms -= ms;
            dropped += ms;
        }
        dropped
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.queue.pop_front()?;
        match &frame {
            Frame::Text(_) => self.control -= 1,
            Frame::Audio(_, ms) => self.audio_ms -= ms,
            Frame::Ping => {}
        }
        Some(frame)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.control < CONTROL_MOST
    }

    /// Empties the queue and says what was in it.
    pub(super) fn abandon(&mut self) -> Unsent {
        let unsent = Unsent {
            audio_ms: self.audio_ms,
            commands: self.control as u64,
        };
        *self = Self::new(self.max_ms);
        unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn order_is_kept_control_stays_and_the_oldest_audio_goes() {
        let mut lanes = Lanes::new(50);
        let audio = |i: u8| Frame::Audio(Bytes::from(vec![i]), 20);
        let text = |t: &str| Frame::Text(t.to_owned());
        let frames = [audio(1), text("a"), audio(2), audio(3), text("b"), audio(4)];
        let dropped: u64 = frames.into_iter().map(|f| lanes.push(f)).sum();
        assert_eq!(dropped, 40);
        let left: Vec<_> = std::iter::from_fn(|| lanes.pop()).collect();
        assert_eq!(left, [text("a"), audio(3), text("b"), audio(4)]);
        lanes.push(audio(5));
        lanes.push(text("c"));
        lanes.push(Frame::Ping);
        assert_eq!(lanes.pop(), Some(Frame::Ping), "a ping overtakes");
        assert_eq!(
            lanes.abandon(),
            Unsent {
                audio_ms: 20,
                commands: 1
            }
        );
        assert!(lanes.is_empty());
    }
}
