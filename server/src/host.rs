//! The program that holds the server, where it answers by itself.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::brain::Clip;
use crate::io::JobId;
use crate::session::News;

/// Pieces that wait for the session; a program with more waits itself.
const MAX_PIECES: usize = 256;

/// A question on its way to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostQuestion {
    /// `turn`, `heard`, `instructions`, `items`, `tools`, `outputs`, `may_call`, `max_tokens`.
    pub json: Value,
    /// The customer's speech since the last answer, if there was any.
    pub speech: Option<Clip>,
}

/// A program that answers.
///
/// Pieces of an answer are JSON texts: `{"text": "more of a message"}`, `{"speech": "its words",
/// "rate_hz": 24000, "pcm": "base64"}`, `{"call": "function", "arguments": "{}"}`, or
/// `{"fail": "why"}`.
pub trait Host: fmt::Debug + Send + Sync {
    /// Takes a question. Must not block; the pieces may be told from any thread, and the answer is
    /// complete when the sender is dropped.
    fn ask(&self, question: HostQuestion, answer: mpsc::Sender<String>);

    /// An answer is complete, or not wanted any more: its sender is closed.
    fn over(&self);
}

/// A question to the program that holds this server.
#[derive(Clone, Debug)]
pub struct HostJob {
    /// Who answers.
    pub host: Arc<dyn Host>,
    /// What.
    pub question: HostQuestion,
}

impl PartialEq for HostJob {
    /// Whether both ask the same.
    fn eq(&self, other: &Self) -> bool {
        self.question == other.question
    }
}

impl Eq for HostJob {}

/// An answer on its way from the program.
struct Coming {
    host: Arc<dyn Host>,
    pieces: mpsc::Receiver<String>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.pieces.close();
        self.host.over();
    }
}

/// Tells the pieces of an answer while they come.
pub(crate) async fn run(
    id: JobId,
    job: HostJob,
    news: &mpsc::Sender<(JobId, News)>,
) -> Result<Vec<u8>, String> {
    let (answer, pieces) = mpsc::channel(MAX_PIECES);
    let mut coming = Coming {
        host: job.host.clone(),
        pieces,
    };
    job.host.ask(job.question, answer);
    while let Some(piece) = coming.pieces.recv().await {
        // A session that has ended stops its jobs anyway.
        let _ = news.send((id, News::Piece(piece.into_bytes()))).await;
    }
    Ok(Vec::new())
}
