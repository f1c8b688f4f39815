//! What a call costs: the tokens of its session.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use talkwire_core::Session;
use talkwire_core::error::Result;
use talkwire_core::event::Usage;

/// The count of tokens, as the session last told it.
#[derive(Default)]
pub(crate) struct Bill {
    known: Usage,
    asked: Option<Pin<Box<dyn Future<Output = Result<Usage>>>>>,
}

impl Bill {
    /// Asks the session; [`Bill::known`] has the answer when there is one.
    pub(crate) fn ask(&mut self, session: &Session) {
        let session = session.clone();
        self.asked = Some(Box::pin(async move { session.usage().await }));
        self.look();
    }

    /// Looks for an answer. A session that ended gives none.
    pub(crate) fn look(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let Some(asked) = &mut self.asked else { return };
        if let Poll::Ready(answer) = asked.as_mut().poll(&mut context) {
            self.known = answer.unwrap_or(self.known);
            self.asked = None;
        }
    }

    /// What is known.
    pub(crate) fn known(&self) -> Usage {
        self.known
    }
}

impl fmt::Debug for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bill({:?})", self.known)
    }
}
