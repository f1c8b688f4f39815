//! One statement of a dialogue.

use super::ast::{
    Action, Common, Expect, Flow, Message, Name, Pattern, Role, Step, Stream, Times, Verb,
};
use super::names::{CLIENT_EVENTS, SERVER_EVENTS};
use super::pattern::{assertion, expectation, template};
use super::scan::{Parsed, Scan};
use super::stage::{AppAct, Fault};
use super::statements::Statement;

/// What a statement may refer to.
pub(super) struct Context<'a> {
    pub(super) common: &'a Common,
    pub(super) role: Role,
    /// The profiles of the flow; all of them inside a macro.
    pub(super) profiles: &'a [String],
}

impl<'a> Context<'a> {
    pub(super) fn of_flow(common: &'a Common, flow: &'a Flow) -> Self {
        Self {
            common,
            role: flow.role,
            profiles: &flow.profiles,
        }
    }
}

/// Reads one statement that is not a block.
pub(super) fn step(statement: &Statement, context: &Context<'_>) -> Parsed<Step> {
    let mut scan = Scan::new(&statement.text, statement.place.clone());
    let action = action(&mut scan, context)?;
    let (profile, pending) = marks(&mut scan, context)?;
    scan.end()?;
    let testable = matches!(action, Action::Expect(_) | Action::Assert(_));
    if pending.is_some() && !testable {
        return scan.fail_with(
            "`pending:` on a line that can fail by itself, or in the head of the flow",
            "`pending:` on a line that only acts",
        );
    }
    Ok(Step {
        place: statement.place.clone(),
        profile,
        pending,
        action,
    })
}

fn action(scan: &mut Scan<'_>, context: &Context<'_>) -> Parsed<Action> {
    if scan.eat_word("use") {
        return usage(scan, context);
    }
    if scan.eat("%") {
        return Ok(Action::Drive(verb(scan, context.role)?));
    }
    if scan.eat("!") {
        return Ok(Action::Assert(assertion(scan)?));
    }
    match context.role {
        Role::Session => session_line(scan),
        Role::ClientUnderTest => client_line(scan),
    }
}

fn session_line(scan: &mut Scan<'_>) -> Parsed<Action> {
    if scan.eat(">") {
        return send(scan, CLIENT_EVENTS);
    }
    if scan.eat("<") {
        return expect(scan, Stream::App, false);
    }
    if scan.eat("~") {
        return expect(scan, Stream::App, true);
    }
    scan.fail("a line that begins with >, <, <?, <*, ~, ~?, ~*, %, !, use, together or flow")
}

fn client_line(scan: &mut Scan<'_>) -> Parsed<Action> {
    if scan.eat("<") {
        return send(scan, SERVER_EVENTS);
    }
    if scan.eat(">") {
        return expect(scan, Stream::Sent, false);
    }
    if scan.eat("^") {
        return expect(scan, Stream::App, false);
    }
    scan.fail("a line that begins with <, >, >?, >*, ^, ^?, ^*, %, !, use, together or flow")
}

fn send(scan: &mut Scan<'_>, known: &[&str]) -> Parsed<Action> {
    message(scan, known).map(Action::Send)
}

fn message(scan: &mut Scan<'_>, known: &[&str]) -> Parsed<Message> {
    Ok(Message {
        name: scan.event(known)?,
        body: template(scan)?,
    })
}

fn expect(scan: &mut Scan<'_>, stream: Stream, float: bool) -> Parsed<Action> {
    let times = match () {
        () if scan.eat("?") => Times::Optional,
        () if scan.eat("*") => Times::Many,
        () => Times::One,
    };
    let known = match stream {
        Stream::App => SERVER_EVENTS,
        Stream::Sent => CLIENT_EVENTS,
    };
    let names = names(scan, known)?;
    let pattern = expectation(scan)?;
    Ok(Action::Expect(Expect {
        stream,
        float,
        times,
        names,
        pattern,
    }))
}

fn names(scan: &mut Scan<'_>, known: &[&str]) -> Parsed<Vec<Name>> {
    let mut names = vec![scan.event(known)?];
    while scan.eat("|") {
        names.push(scan.event(known)?);
    }
    Ok(names)
}

fn usage(scan: &mut Scan<'_>, context: &Context<'_>) -> Parsed<Action> {
    let name = scan.word("the name of a macro")?;
    let args = variables(scan)?;
    let found = context.common.macros.get(&name);
    match found {
        Some(body) if body.role == context.role && body.params.len() == args.len() => {
            Ok(Action::Use { name, args })
        }
        Some(body) => scan.fail_with(
            format!(
                "{name} with {} variables, in a flow of its role",
                body.params.len()
            ),
            format!("{} variables", args.len()),
        ),
        None => scan.fail_with(
            "a macro of common.flow that is defined above",
            format!("`{name}`"),
        ),
    }
}

/// `($a, $b)`.
pub(super) fn variables(scan: &mut Scan<'_>) -> Parsed<Vec<String>> {
    scan.need("(")?;
    let mut all = Vec::new();
    while !scan.eat(")") {
        if !all.is_empty() {
            scan.need(",")?;
        }
        all.push(scan.variable()?);
    }
    Ok(all)
}

type Marks = (Option<String>, Option<String>);

fn marks(scan: &mut Scan<'_>, context: &Context<'_>) -> Parsed<Marks> {
    let (mut profile, mut pending) = (None, None);
    loop {
        if profile.is_none() && scan.eat("@") {
            profile = Some(one_of(scan, context.profiles, "a profile of this flow")?);
        } else if pending.is_none() && scan.eat("pending:") {
            pending = Some(capability(scan, context.common)?);
        } else {
            return Ok((profile, pending));
        }
    }
}

/// A capability that common.flow lists.
pub(super) fn capability(scan: &mut Scan<'_>, common: &Common) -> Parsed<String> {
    one_of(scan, &common.capabilities, "a capability")
}

/// A word out of a list.
pub(super) fn one_of(scan: &mut Scan<'_>, known: &[String], what: &str) -> Parsed<String> {
    let expected = format!("{what}: {}", known.join(", "));
    let word = scan.word(&expected)?;
    if known.contains(&word) {
        return Ok(word);
    }
    scan.fail_with(expected, format!("`{word}`"))
}

const ANY_ROLE: &str = "open, close, expect-end, speak, silence, wait, play, raw, mark";

fn verb(scan: &mut Scan<'_>, role: Role) -> Parsed<Verb> {
    let special = match role {
        Role::Session => "crowd, respond, interrupt, go-on, tool, tool-fails, deaf, heard, cut",
        Role::ClientUnderTest => "app, server-close, drop, binary, no-pong",
    };
    let expected = format!("one of {ANY_ROLE}, {special}");
    let name = scan.word(&expected)?;
    if let Some(verb) = common_verb(scan, &name)? {
        return Ok(verb);
    }
    let verb = match role {
        Role::Session => session_verb(scan, &name)?,
        Role::ClientUnderTest => client_verb(scan, &name)?,
    };
    match verb {
        Some(verb) => Ok(verb),
        None => scan.fail_with(expected, format!("`{name}`")),
    }
}

fn common_verb(scan: &mut Scan<'_>, name: &str) -> Parsed<Option<Verb>> {
    Ok(Some(match name {
        "open" => Verb::Open(keyed(
            scan,
            template,
            &["model", "key", "headers", "query"],
        )?),
        "close" => Verb::Close,
        "expect-end" => Verb::ExpectEnd(keyed(scan, expectation, END_KEYS)?),
        "speak" => Verb::Speak(scan.millis()?),
        "silence" => Verb::Silence(scan.millis()?),
        "wait" => Verb::Wait(scan.millis()?),
        "play" => Verb::Play(scan.millis()?),
        "raw" => Verb::Raw(scan.string()?),
        "mark" => Verb::Mark(scan.word("a name for the mark")?),
        _ => return Ok(None),
    }))
}

const END_KEYS: &[&str] = &[
    "why",
    "who",
    "retry",
    "expected",
    "close_code",
    "http_status",
    "message",
    "mid_turn",
];

fn session_verb(scan: &mut Scan<'_>, name: &str) -> Parsed<Option<Verb>> {
    Ok(match name {
        "crowd" => Some(Verb::Crowd(scan.whole()?)),
        "respond" => {
            let policy = scan.word("queue, merge, replace or refuse")?;
            Some(Verb::Do(AppAct::Respond(policy)))
        }
        "interrupt" => Some(Verb::Do(AppAct::Interrupt(true))),
        "go-on" => Some(Verb::Do(AppAct::Interrupt(false))),
        "tool" => Some(Verb::Do(AppAct::Tool(Ok(scan.string()?)))),
        "tool-fails" => Some(Verb::Do(AppAct::Tool(Err(scan.string()?)))),
        "deaf" => Some(Verb::Do(AppAct::Deaf(scan.millis()?))),
        "heard" => Some(Verb::Do(AppAct::Heard(scan.millis()?))),
        "cut" => Some(Verb::Do(AppAct::Cut(fault(scan)?))),
        _ => None,
    })
}

fn fault(scan: &mut Scan<'_>) -> Parsed<Fault> {
    let expected = "kill, reset or black-hole";
    let word = scan.word(expected)?;
    let named = Fault::ALL.into_iter().find(|fault| fault.name() == word);
    named.map_or_else(|| scan.fail_with(expected, format!("`{word}`")), Ok)
}

fn client_verb(scan: &mut Scan<'_>, name: &str) -> Parsed<Option<Verb>> {
    Ok(Some(match name {
        "app" => Verb::App(message(scan, CLIENT_EVENTS)?),
        "server-close" => server_close(scan)?,
        "drop" => Verb::Drop,
        "binary" => Verb::Binary(scan.whole()?),
        "no-pong" => Verb::NoPong,
        _ => return Ok(None),
    }))
}

fn server_close(scan: &mut Scan<'_>) -> Parsed<Verb> {
    let code = scan.whole()?;
    match u16::try_from(code) {
        Ok(code) => Ok(Verb::ServerClose(code, scan.string()?)),
        Err(_) => scan.fail_with("a close code of at most 65535", code.to_string()),
    }
}

fn keyed(
    scan: &mut Scan<'_>,
    read: fn(&mut Scan<'_>) -> Parsed<Pattern>,
    keys: &[&str],
) -> Parsed<Pattern> {
    let body = read(scan)?;
    let Pattern::Object(fields) = &body else {
        return scan.fail_with("one object", format!("`{body}`"));
    };
    match fields.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
        Some((key, _)) => scan.fail_with(
            format!("one of the keys {}", keys.join(", ")),
            format!("`{key}`"),
        ),
        None => Ok(body),
    }
}
