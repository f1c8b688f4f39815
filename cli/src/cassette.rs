//! `talkwire record` and `talkwire replay`: sessions on tape.

use std::sync::Arc;

use talkwire_core::error::{Error, Kind, Result};
use talkwire_server::cassette::{RecordConfig, Recorder, Replay as Player, ReplayConfig};

use crate::args::{Record, Replay};
use crate::stop::Stop;
use crate::{call, report};

/// Runs `record`; returns its exit code.
pub(crate) fn record(args: &Record, stop: &Stop) -> i32 {
    finish(try_record(args, stop))
}

/// Runs `replay`; returns its exit code.
pub(crate) fn replay(args: &Replay, stop: &Stop) -> i32 {
    finish(try_replay(args, stop))
}

fn finish(done: Result<()>) -> i32 {
    match done {
        Ok(()) => report::GOOD,
        Err(error) => {
            report::complain(&error);
            report::exit_code(&error)
        }
    }
}

fn try_record(args: &Record, stop: &Stop) -> Result<()> {
    let table = args
        .dialect
        .as_deref()
        .map(call::dialect_table)
        .transpose()?;
    let recorder = Recorder::start(RecordConfig {
        listen: args.door.listen.clone(),
        allow_remote: args.door.allow_remote,
        upstream: args.upstream.clone(),
        out: args.out.clone(),
        dialect: call::dialect(table.as_deref())?,
        extra_ca: args.ca.as_deref().map(call::file).transpose()?,
        tell: Arc::new(report::warn),
    })?;
    listening(&recorder.url())?;
    stop.wait();
    Ok(())
}

fn try_replay(args: &Replay, stop: &Stop) -> Result<()> {
    let player = Player::start(ReplayConfig {
        listen: args.door.listen.clone(),
        allow_remote: args.door.allow_remote,
        cassette: args.cassette.clone(),
        is_instant: args.instant,
        tell: Arc::new(report::warn),
    })?;
    listening(&player.url())?;
    stop.wait();
    Ok(())
}

/// Says where clients come in.
pub(crate) fn listening(url: &str) -> Result<()> {
    report::say(&format!("listening on {url}"))
        .map_err(|e| Error::new(Kind::Io, format!("stdout: {e}")))
}
