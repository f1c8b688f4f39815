//! The `talkwire` command as a user runs it.

mod call;
mod cassette;
mod demo;
mod examples;
mod serve;
mod world;
