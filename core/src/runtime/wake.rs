//! A descriptor that is readable while something waits, for loops that poll.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use crate::error::{Error, Kind, Result};

/// The descriptor, and whether it is readable.
#[derive(Debug)]
pub(super) struct WakeFd {
    reader: PipeReader,
    writer: PipeWriter,
    pub(super) is_raised: bool,
}

impl WakeFd {
    pub(super) fn new() -> Result<Self> {
        let (reader, writer) = std::io::pipe()
            .map_err(|e| Error::new(Kind::Io, format!("no pipe for wake-ups: {e}")))?;
        Ok(Self {
            reader,
            writer,
            is_raised: false,
        })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// One byte at most is ever in the pipe, so neither side can block.
    pub(super) fn raise(&mut self) {
        if !self.is_raised && self.writer.write_all(&[1]).is_ok() {
            self.is_raised = true;
        }
    }

    pub(super) fn lower(&mut self) {
        if self.is_raised && self.reader.read_exact(&mut [0]).is_ok() {
            self.is_raised = false;
        }
    }
}
