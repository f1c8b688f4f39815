//! Where a recording is written: blocks in a bounded queue, and one thread at a time that writes
//! them. Nobody who records ever waits for a disk.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::audio::wav::Writer;
use crate::error::{Error, Kind, Result};
use crate::runtime::crew::Crew;
use crate::runtime::readers::Readers;

/// Blocks that wait for a slow disk: about ten seconds of sound.
const MOST: usize = 50;

/// What is written.
pub(super) enum Block {
    /// Interleaved samples of both channels.
    Sound(Vec<i16>),
    /// So many silent frames.
    Silence(u64),
    /// What is known beside the sound; replaces what was written of it before.
    Notes(Value),
    /// It is over. Without notes those that were written stay.
    End(Option<Value>),
}

/// A file that a session is recorded into, and the notes beside it.
pub(crate) struct Sink {
    path: PathBuf,
    rate_hz: u32,
    queue: Mutex<Queue>,
    /// Locked only by whoever writes.
    file: Mutex<Option<Writer>>,
    written_frames: AtomicU64,
    outcome: watch::Sender<Option<Result<()>>>,
    readers: Arc<Readers>,
    threads: Arc<Crew>,
}

#[derive(Default)]
struct Queue {
    blocks: VecDeque<Block>,
    /// Whether somebody writes.
    is_busy: bool,
    /// Whether nothing is taken any more.
    is_over: bool,
}

/// Writes what waits. When it is dropped, and not when it is run: what a runtime that shuts down, or
/// has no thread, does not run is written all the same.
struct Job(Arc<Sink>);

impl Drop for Job {
    fn drop(&mut self) {
        self.0.write();
    }
}

impl Sink {
    /// Creates the file, replacing what is there. Blocks as files do; errors name the path.
    pub(crate) fn create(
        path: &Path,
        rate_hz: u32,
        readers: Arc<Readers>,
        threads: Arc<Crew>,
    ) -> Result<Arc<Self>> {
        if path.extension() == Some(OsStr::new("json")) {
            let message = "a recording is a WAV file; its notes stand in a .json beside it";
            return Err(Error::new(Kind::Argument, message));
        }
        // A pipe would keep its opener, and a device has no beginning to go back to.
        if std::fs::metadata(path).is_ok_and(|file| !file.is_file()) {
            let message = format!("{}: it is there and no regular file", path.display());
            return Err(Error::new(Kind::Io, message));
        }
        let mut file = Writer::create(path, rate_hz, 2)?;
        file.complete()?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            rate_hz,
            queue: Mutex::default(),
            file: Mutex::new(Some(file)),
            written_frames: AtomicU64::new(0),
            outcome: watch::Sender::new(None),
            readers,
            threads,
        }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn notes_path(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    pub(crate) fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Milliseconds that a reader of the file finds.
    pub(crate) fn written_ms(&self) -> u64 {
        self.written_frames.load(Ordering::Acquire) * 1000 / u64::from(self.rate_hz)
    }

    /// How it went, once it is over and all is written.
    pub(crate) fn outcome(&self) -> watch::Receiver<Option<Result<()>>> {
        self.outcome.subscribe()
    }

    /// Whether it takes nothing any more.
    pub(crate) fn is_over(&self) -> bool {
        self.queue().is_over
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a block to be written. Gives sound back when the disk is too slow for it.
    pub(super) fn put(self: &Arc<Self>, block: Block) -> std::result::Result<(), Block> {
        let mut queue = self.queue();
        if queue.is_over {
            return Ok(());
        }
        if queue.blocks.len() >= MOST && matches!(block, Block::Sound(_) | Block::Silence(_)) {
            return Err(block);
        }
        if matches!(block, Block::Notes(_)) {
            // Older ones need not be written any more.
            queue.blocks.retain(|b| !matches!(b, Block::Notes(_)));
        }
        queue.is_over = matches!(block, Block::End(_));
        queue.blocks.push_back(block);
        if !std::mem::replace(&mut queue.is_busy, true) {
            drop(queue);
            let job = Job(self.clone());
            // Refused, it is dropped here: rather a frame that is late than a recording that is lost.
            let _ = self.threads.run(move || drop(job));
        }
        Ok(())
    }

    /// Writes until nothing waits.
    fn write(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let blocks = {
                let mut queue = self.queue();
                queue.is_busy = !queue.blocks.is_empty();
                if !queue.is_busy {
                    return;
                }
                std::mem::take(&mut queue.blocks)
            };
            if let Err(error) = self.write_all(&mut file, blocks) {
                return self.fail(&mut file, error);
            }
        }
    }

    fn write_all(&self, file: &mut Option<Writer>, blocks: VecDeque<Block>) -> Result<()> {
        let mut frames = 0;
        for block in blocks {
            let Some(writer) = file.as_mut() else {
                return Ok(());
            };
            match block {
                Block::Sound(samples) => {
                    writer.write(&samples)?;
                    frames += samples.len() as u64 / 2;
                }
                Block::Silence(silent) => {
                    write_silence(writer, silent)?;
                    frames += silent;
                }
                Block::Notes(notes) => self.write_notes(&notes)?,
                Block::End(notes) => {
                    if let Some(writer) = file.take() {
                        writer.finish()?;
                    }
                    if let Some(notes) = notes {
                        self.write_notes(&notes)?;
                    }
                    self.written_frames.fetch_add(frames, Ordering::AcqRel);
                    self.outcome.send_replace(Some(Ok(())));
                    return Ok(());
                }
            }
        }
        if let Some(writer) = file {
            writer.complete()?;
        }
        self.written_frames.fetch_add(frames, Ordering::AcqRel);
        Ok(())
    }

    /// Whoever reads the notes finds the old ones or the new ones, whole.
    fn write_notes(&self, notes: &Value) -> Result<()> {
        let path = self.notes_path();
        let new = path.with_extension("json.tmp");
        let mut text = notes.to_string();
        text.push('\n');
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
        written.map_err(|e| Error::new(Kind::Io, format!("{}: {e}", path.display())))
    }

    /// The recording is over; the call is not.
    fn fail(&self, file: &mut Option<Writer>, error: Error) {
        let mut queue = self.queue();
        (queue.is_over, queue.is_busy) = (true, false);
        queue.blocks.clear();
        drop(queue);
        // Completes what it can; that this fails as well is no news.
        *file = None;
        let message = format!("the recording ended: {}", error.message());
        let error = Error::new(error.kind(), message);
        self.readers.tell(error.clone());
        self.outcome.send_replace(Some(Err(error)));
    }
}

fn write_silence(writer: &mut Writer, frames: u64) -> Result<()> {
    const BLOCK: [i16; 960] = [0; 960];
    let mut left = frames * 2;
    while left > 0 {
        let now = left.min(BLOCK.len() as u64);
        writer.write(&BLOCK[..now as usize])?;
        left -= now;
    }
    Ok(())
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sink({}, {} Hz)", self.path.display(), self.rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Body;
    use crate::event::Topics;
    use crate::event::local::Local;
    use crate::runtime::mailbox::{Bounds, Next};

    /// A sink whose file is the device that is always full, and a runtime to write on.
    fn full() -> (tokio::runtime::Runtime, Arc<Readers>, Arc<Sink>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let readers = Arc::new(Readers::new(Bounds {
            topics: Topics::USUAL,
            soft_bytes: 1 << 20,
            hard_events: 100,
        }));
        let path = Path::new("/dev/full");
        let sink = Arc::new(Sink {
            path: path.to_owned(),
            rate_hz: 8_000,
            queue: Mutex::default(),
            file: Mutex::new(Some(Writer::create(path, 8_000, 2).expect("it opens"))),
            written_frames: AtomicU64::new(0),
            outcome: watch::Sender::new(None),
            readers: readers.clone(),
            threads: Arc::default(),
        });
        (runtime, readers, sink)
    }

    #[test]
    fn a_disk_that_fills_up_ends_the_recording_with_one_error_event() {
        let (runtime, readers, sink) = full();
        assert!(sink.put(Block::Sound(vec![1; 1_600])).is_ok());
        let mut outcome = sink.outcome();
        let over = runtime.block_on(outcome.wait_for(Option::is_some));
        let error = over.expect("the sink is there").clone();
        let error = error.expect("over").expect_err("full");
        assert_eq!(error.kind(), Kind::Io);
        assert!(error.message().contains("/dev/full"), "{error}");
        assert!(sink.is_over());
        assert!(sink.put(Block::Sound(vec![1; 1_600])).is_ok(), "ignored");
        let Next::Event(event) = readers.own().try_next() else {
            panic!("no event")
        };
        assert!(matches!(event.body(), Body::Local(Local::Fault(told)) if *told == error));
        assert!(matches!(readers.own().try_next(), Next::Empty));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_opened() {
        let (_runtime, readers, sink) = full();
        for path in ["/dev/null", "/tmp"] {
            let made = Sink::create(
                Path::new(path),
                8_000,
                readers.clone(),
                sink.threads.clone(),
            );
            let error = made.expect_err(path);
            assert_eq!(error.kind(), Kind::Io);
            assert!(error.message().contains("no regular file"), "{error}");
        }
    }

    #[test]
    fn a_disk_that_does_not_keep_up_is_no_reason_to_take_more_memory() {
        let (_runtime, _readers, sink) = full();
        // Somebody is stuck in a write.
        sink.queue().is_busy = true;
        for _ in 0..MOST {
            assert!(sink.put(Block::Sound(vec![1; 2])).is_ok());
        }
        assert!(sink.put(Block::Sound(vec![1; 2])).is_err());
        for _ in 0..3 {
            assert!(sink.put(Block::Notes(Value::Null)).is_ok());
        }
        assert_eq!(sink.queue().blocks.len(), MOST + 1);
        assert!(sink.put(Block::End(None)).is_ok());
    }
}
