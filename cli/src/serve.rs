//! `talkwire serve`: the local server until it is told to stop.

use std::time::Duration;

use talkwire_core::error::{Error, Kind, Result};
use talkwire_server::{Config, LocalServer};

use crate::args::{Pacing, Serve};
use crate::report;
use crate::stop::Stop;

/// Runs the command; returns its exit code.
pub(crate) fn run(args: &Serve, stop: &Stop) -> i32 {
    match serve(args, stop) {
        Ok(()) => report::GOOD,
        Err(error) => {
            report::complain(&error);
            report::exit_code(&error)
        }
    }
}

fn serve(args: &Serve, stop: &Stop) -> Result<()> {
    if args.brain.as_deref() == Some("script") && args.script.is_none() {
        let message = "--brain script needs a script to follow: add --script FILE";
        return Err(Error::new(Kind::Argument, message));
    }
    let server = LocalServer::start(config(args))?;
    report::say(&format!("listening on {}", server.url()))
        .and_then(|()| match server.control_url() {
            Some(url) => report::say(&format!("control on {url}")),
            None => Ok(()),
        })
        .map_err(|e| Error::new(Kind::Io, format!("stdout: {e}")))?;
    stop.wait();
    server.stop();
    Ok(())
}

fn config(args: &Serve) -> Config {
    let mut config = Config::new()
        .listen(&args.listen)
        .allow_remote(args.allow_remote);
    if let Some(seed) = args.seed {
        config = config.seed(seed);
    }
    if let Some(name) = &args.profile {
        config = config.profile(name);
    }
    if let Some(path) = &args.script {
        config = config.script_file(path);
    }
    if let Some(name) = &args.brain {
        config = config.brain(name);
    }
    if let Some(name) = &args.ears {
        config = config.ears(name);
    }
    if let Some(name) = &args.voice {
        config = config.voice(name);
    }
    for path in &args.fault {
        config = config.fault_file(path);
    }
    if let Some(key) = &args.api_key {
        config = config.api_key(key);
    }
    if let (true, Some(cert), Some(key)) = (args.tls, &args.cert, &args.key) {
        config = config.tls(cert, key);
    }
    if let Some(most) = args.max_sessions {
        config = config.max_sessions(most);
    }
    if let Some(seconds) = args.lifetime {
        config = config.lifetime(Duration::from_secs(seconds));
    }
    if let Some(dir) = &args.journal {
        config = config.journal(dir);
    }
    if let Some(port) = args.control {
        config = config.control(port);
    }
    match args.pacing {
        Some(Pacing::Instant) => config.pacing(talkwire_server::Pacing::Instant),
        Some(Pacing::Realtime) => config.pacing(talkwire_server::Pacing::Realtime),
        None => config,
    }
}
