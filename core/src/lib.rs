//! Realtime voice agents: protocol, audio framing and session engine.
//!
//! Six words carry the design: **wire** (vocabulary), **dialect** (data tables), **machine** (pure
//! state plus `now`), **driver** (the only I/O), **mailbox** (events to applications) and
//! **ring** (audio to and from media threads).
//!
//! ```no_run
//! use talkwire_core::{Client, Options};
//!
//! # async fn talk() -> talkwire_core::Result<()> {
//! let client = Client::new().url("ws://127.0.0.1:8080/v1/realtime");
//! let session = client.connect(Options::default()).await?;
//! session.send_text("hello")?;
//! session.respond(None)?;
//! while let Some(event) = session.next().await {
//!     if event.name() == "response.output_text.delta" {
//!         print!("{}", event.text().unwrap_or_default());
//!     }
//!     if event.name() == "response.done" {
//!         session.close();
//!     }
//! }
//! println!("{}", session.end().expect("a session that gives no events has ended").message);
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]

pub mod audio;
pub mod call;
pub mod client;
pub mod dialect;
pub mod engine;
pub mod error;
pub mod event;
pub mod json;
pub mod net;
pub mod options;
pub mod recorder;
pub mod runtime;
pub mod session;
pub mod stats;
pub mod subscription;
pub mod transcript;
pub mod wire;

pub use call::{Call, CallOptions};
pub use client::Client;
pub use error::{Error, Kind, Result, Retry, Who};
pub use event::{End, Event, Topic, Topics, Unsent};
pub use options::Options;
pub use recorder::{Recorder, RecorderOptions};
pub use runtime::Runtime;
pub use session::Session;
pub use stats::Stats;
pub use subscription::{Subscription, SubscriptionOptions};
pub use wire::Session as Settings;
pub use wire::session::Modality;
