//! `talkwire check-server` and `talkwire check-client`: who breaks which rule of the protocol.

use std::time::Duration;

use talkwire_core::error::{Error, Kind, Result};
use talkwire_core::net::endpoint::Endpoint;
use talkwire_server::Config;
use talkwire_server::judge::{self, ClientCheck, Report};

use crate::args::{CheckClient, CheckServer};
use crate::stop::Stop;
use crate::{call, cassette, report};

/// How often it is looked whether enough clients were there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs `check-server`; returns its exit code: 1 if a rule is broken.
pub(crate) fn server(args: &CheckServer) -> i32 {
    finish(try_server(args), args.json)
}

/// Runs `check-client`; returns its exit code: 1 if a rule is broken.
pub(crate) fn client(args: &CheckClient, stop: &Stop) -> i32 {
    finish(try_client(args, stop), args.json)
}

fn finish(checked: Result<Report>, is_json: bool) -> i32 {
    match checked {
        Ok(checked) => {
            let is_clean = checked.is_clean();
            let code = if is_clean {
                report::GOOD
            } else {
                report::FAILED
            };
            if is_json {
                return report::print(&checked.to_json(), code);
            }
            match report::say(checked.to_text().trim_end()) {
                Ok(()) => code,
                Err(_) => report::FAILED,
            }
        }
        Err(error) => {
            if is_json {
                let told = serde_json::json!({"ok": false, "error": error.to_string()});
                return report::print(&told, report::exit_code(&error));
            }
            report::complain(&error);
            report::exit_code(&error)
        }
    }
}

fn try_server(args: &CheckServer) -> Result<Report> {
    let table = args
        .dialect
        .as_deref()
        .map(call::dialect_table)
        .transpose()?;
    let dialect = call::dialect(table.as_deref())?;
    let key = match &args.api_key_env {
        Some(variable) => {
            let missing = || {
                let message = format!("no credential: set the environment variable {variable}");
                Error::new(Kind::Auth, message)
            };
            Some(call::credential(variable).ok_or_else(missing)?)
        }
        // A key that lies around is never sent to a local server.
        None if Endpoint::parse(&args.url)?.is_loopback() => None,
        None => dialect
            .table()
            .key_env
            .as_deref()
            .and_then(call::credential),
    };
    let model = args.model.as_deref();
    let checked = judge::check_server(&judge::CheckServer {
        url: args.url.clone(),
        model: model.map(|model| dialect.model_name(args.folder.as_deref(), model)),
        dialect: dialect.clone(),
        key,
        extra_ca: args.ca.as_deref().map(call::file).transpose()?,
        patience: Duration::from_secs(args.patience),
    });
    let is_refused = |error: &Error| error.provider().http_status == Some(401);
    if args.api_key_env.is_none() && checked.as_ref().is_err_and(is_refused) {
        call::warn_of_unsent_key(&args.url, &dialect);
    }
    checked
}

fn try_client(args: &CheckClient, stop: &Stop) -> Result<Report> {
    let mut config = Config::new()
        .listen(&args.door.listen)
        .allow_remote(args.door.allow_remote);
    if let Some(name) = &args.profile {
        config = config.profile(name);
    }
    if let Some(path) = &args.script {
        config = config.script_file(path);
    }
    let check = ClientCheck::start(config)?;
    cassette::listening(check.url())?;
    while check.ended() < args.sessions && !stop.wait_for(LOOK_EVERY) {}
    Ok(check.report())
}
