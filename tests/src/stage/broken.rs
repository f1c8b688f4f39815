//! The stage of a flow whose server could not be made.

use talkwire_core::Error;

use crate::flow::{End, OpenSpec, Seen, Sound, Stage, StageError};

/// Fails to open.
pub(super) struct Broken(Error);

impl Broken {
    pub(super) fn new(error: Error) -> Self {
        Self(error)
    }
}

impl Stage for Broken {
    fn open(&mut self, _: &OpenSpec) -> Result<(), End> {
        let (why, message) = (self.0.kind().name().to_owned(), self.0.message().to_owned());
        Err(End {
            why,
            message,
            who: self.0.who().name().to_owned(),
            ..End::default()
        })
    }

    fn send(&mut self, _: &str) -> Result<(), StageError> {
        Err(StageError(self.0.to_string()))
    }

    fn append_audio(&mut self, _: Sound, _: u32) -> Result<(), StageError> {
        Err(StageError(self.0.to_string()))
    }

    fn next(&mut self, _: u32) -> Option<Seen> {
        None
    }

    fn wait(&mut self, _: u32) {}

    fn close(&mut self) {}
}
