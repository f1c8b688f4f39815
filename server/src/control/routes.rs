//! The endpoints.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::guard::{self, Refused, bad};
use super::{Control, report};
use crate::faults::{Action, Fault, When};
use crate::journal::Entry;
use crate::session::Order;
use crate::time::MAX_ADVANCE;

const PAGE: &str = include_str!("inspector.html");
/// The page loads nothing and talks to nobody else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
    style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Entries of one answer; the rest is asked for again.
const MAX_ENTRIES: usize = 2_000;
/// Faults for sessions to come that can be planted.
const MAX_PLANTED: usize = 256;

type Answer = Result<Value, Refused>;

/// Answers a request.
pub(super) async fn answer(control: &Control, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if let Err(refused) = guard::origin(request.headers(), control.port) {
        return refuse(refused);
    }
    if request.method() == Method::GET && request.uri().path() == "/" {
        let mut page = respond(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned());
        let policy = HeaderValue::from_static(PAGE_POLICY);
        page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        return page;
    }
    match route(control, request).await {
        Ok(value) => respond(StatusCode::OK, "application/json", value.to_string()),
        Err(refused) => refuse(refused),
    }
}

async fn route(control: &Control, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match parts[..] {
        ["clock", "advance"] | ["fault"] | ["sessions", _, "inject" | "fault"] => {
            require(&request, &Method::POST)?;
            change(control, &parts, guard::body(request).await?)
        }
        ["health" | "sessions" | "report"] | ["sessions", _, "journal"] => {
            require(&request, &Method::GET)?;
            Ok(match parts[..] {
                ["health"] => health(control),
                ["sessions"] => sessions(control),
                ["report"] => report::report(&control.shared.journal),
                _ => journal(control, parts[1], request.uri().query().unwrap_or_default())?,
            })
        }
        _ => {
            let message = format!("there is nothing at {path}");
            Err(Refused(StatusCode::NOT_FOUND, "not_found", message))
        }
    }
}

fn require(request: &Request<Incoming>, method: &Method) -> Result<(), Refused> {
    if request.method() == method {
        return Ok(());
    }
    let message = format!("use {method}");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Err(Refused(status, "method_not_allowed", message))
}

fn health(control: &Control) -> Value {
    let shared = &control.shared;
    json!({
        "ok": true,
        "version": env!("CARGO_PKG_VERSION"),
        "url": control.url,
        "profile": shared.plan().dialect().name(),
        "sessions": shared.sessions(),
        "uptime_ms": millis(control.started.elapsed()),
        "clock_unix_ms": shared.time.unix_ms(),
        "clock_ahead_ms": millis(shared.time.ahead()),
        "journal_trouble": shared.journal.trouble(),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn sessions(control: &Control) -> Value {
    let sessions = control.shared.journal.sessions();
    let sessions: Vec<_> = sessions.iter().map(report::describe).collect();
    json!({ "sessions": sessions })
}

fn journal(control: &Control, session: &str, query: &str) -> Answer {
    let number = number(session)?;
    let from = match query.split('&').find_map(|pair| pair.strip_prefix("from=")) {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| bad(format!("`from` is no number: `{text}`")))?,
    };
    let journal = &control.shared.journal;
    let (Some(summary), Some(mut entries)) =
        (journal.summary(number), journal.entries(number, from))
    else {
        return Err(no_session(number));
    };
    entries.truncate(MAX_ENTRIES);
    let from = from.max(summary.first);
    let value = |entry: &Entry| serde_json::from_str::<Value>(&entry.to_line()).ok();
    let told: Vec<_> = entries.iter().filter_map(value).collect();
    Ok(json!({
        "session": report::describe(&summary),
        "from": from,
        "next": from + entries.len() as u64,
        "entries": told,
    }))
}

fn number(text: &str) -> Result<u64, Refused> {
    let wrong = |_| bad(format!("`{text}` is no number of a session"));
    text.parse().map_err(wrong)
}

fn no_session(number: u64) -> Refused {
    let message = format!("there is no session {number}");
    Refused(StatusCode::NOT_FOUND, "no_session", message)
}

/// Body of `inject`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inject {
    to: Side,
    event: serde_json::Map<String, Value>,
}

/// Who gets an injected event.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    Client,
    Server,
}

/// Body of `clock/advance`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    ms: u64,
}

/// Body of `fault`: as in a script, and at once if no moment is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plant {
    when: Option<When>,
    #[serde(rename = "do")]
    action: Action,
    #[serde(default)]
    every: bool,
}

fn change(control: &Control, parts: &[&str], body: Value) -> Answer {
    match *parts {
        ["clock", "advance"] => {
            let Advance { ms } = read(body)?;
            if !control.shared.time.advance(Duration::from_millis(ms)) {
                let most = MAX_ADVANCE.as_secs();
                return Err(bad(format!(
                    "the clock goes ahead by {most} s at once and by a year in all"
                )));
            }
            Ok(json!({"clock_unix_ms": control.shared.time.unix_ms(),
                "clock_ahead_ms": millis(control.shared.time.ahead())}))
        }
        ["fault"] => {
            let plant = read(body)?;
            let Order::Plant(fault) = fault(plant)? else {
                let message = "a fault of sessions to come needs its moment: `when`";
                return Err(bad(message.to_owned()));
            };
            if !control.shared.plant(fault, MAX_PLANTED) {
                return Err(bad(format!("at most {MAX_PLANTED} faults can be planted")));
            }
            Ok(json!({"planted": true}))
        }
        ["sessions", session, "inject"] => {
            let Inject { to, event } = read(body)?;
            if !event.get("type").is_some_and(Value::is_string) {
                return Err(bad("the event has no `type`".to_owned()));
            }
            let frame = Value::Object(event).to_string();
            let order = match to {
                Side::Client => Order::Send(frame),
                Side::Server => Order::Receive(frame),
            };
            order_to(control, number(session)?, order)
        }
        ["sessions", session, _] => {
            let order = fault(read(body)?)?;
            if matches!(&order, Order::Plant(fault) if fault.when.connect) {
                let message = "a session that runs has connected already: post it to /fault";
                return Err(bad(message.to_owned()));
            }
            order_to(control, number(session)?, order)
        }
        _ => Err(bad("there is no such change".to_owned())),
    }
}

fn fault(plant: Plant) -> Result<Order, Refused> {
    let Some(when) = plant.when else {
        return Ok(Order::Now(plant.action));
    };
    let fault = Fault {
        when,
        action: plant.action,
        every: plant.every,
    };
    fault.check().map_err(bad)?;
    Ok(Order::Plant(fault))
}

fn order_to(control: &Control, session: u64, order: Order) -> Answer {
    match control.shared.order(session, order) {
        Some(true) => Ok(json!({"taken": true})),
        Some(false) => Err(Refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format!("session {session} has too many orders to carry out"),
        )),
        None => Err(Refused(
            StatusCode::NOT_FOUND,
            "no_session",
            format!("session {session} does not run"),
        )),
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, Refused> {
    serde_json::from_value(body).map_err(|e| bad(e.to_string()))
}

fn refuse(refused: Refused) -> Response<Full<Bytes>> {
    let Refused(status, code, message) = refused;
    let body = json!({"error": {"code": code, "message": message}});
    respond(status, "application/json", body.to_string())
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}
