//! Files: heads of flows, macros and blocks. The grammar is written down in `tests/flows/README.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::ast::{
    Action, Assertion, Common, Flow, FlowError, Macro, Pattern, Place, Role, Select, Step, Term,
    Verb,
};
use super::pattern::template;
use super::scan::{Parsed, Scan};
use super::statements::{Statement, statements};
use super::step::{Context, capability, one_of, step, variables};

/// Reads `common.flow`: the profiles, the capabilities and the macros of all flows.
pub fn parse_common(file: &str, text: &str) -> Result<Common, FlowError> {
    let statements = statements(&Arc::from(file), text)?;
    let mut common = Common::default();
    let mut rest = Cursor {
        all: &statements,
        at: 0,
    };
    while let Some(statement) = rest.next() {
        if let Some(names) = statement.header("profiles") {
            common.profiles = words(names);
        } else if let Some(names) = statement.header("capabilities") {
            common.capabilities = words(names);
        } else if ["macro", "client-macro"].contains(&statement.head()) {
            macro_of(statement, &mut rest, &mut common)?;
        } else {
            return fail(statement, "profiles:, capabilities:, macro or client-macro");
        }
    }
    Ok(common)
}

/// Reads a file of flows.
pub fn parse_flows(file: &str, text: &str, common: &Common) -> Result<Vec<Flow>, FlowError> {
    let file = Arc::from(file);
    let statements = statements(&file, text)?;
    let mut rest = Cursor {
        all: &statements,
        at: 0,
    };
    let mut flows: Vec<Flow> = Vec::new();
    while let Some(statement) = rest.next() {
        let flow = flow_of(statement, &mut rest, common)?;
        if flows.iter().any(|other| other.id == flow.id) {
            return fail(statement, "each id once in a file");
        }
        flows.push(flow);
    }
    if flows.is_empty() {
        let place = Place { file, line: 1 };
        let expected = "`flow ID: title`".to_owned();
        return Err(FlowError {
            place,
            expected,
            found: "no flow at all".into(),
        });
    }
    Ok(flows)
}

struct Cursor<'a> {
    all: &'a [Statement],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<&'a Statement> {
        self.all.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Statement> {
        let statement = self.peek();
        self.at += usize::from(statement.is_some());
        statement
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn fail<T>(statement: &Statement, expected: &str) -> Parsed<T> {
    Scan::new(&statement.text, statement.place.clone()).fail(expected)
}

fn macro_of(start: &Statement, rest: &mut Cursor<'_>, common: &mut Common) -> Parsed<()> {
    let mut scan = Scan::new(&start.text, start.place.clone());
    let role = if scan.eat_word("macro") {
        Role::Session
    } else {
        scan.need("client-macro")?;
        Role::ClientUnderTest
    };
    let name = scan.word("the name of the macro")?;
    let params = variables(&mut scan)?;
    scan.end()?;
    if common.macros.contains_key(&name) {
        return fail(start, "each macro once");
    }
    let context = Context {
        common,
        role,
        profiles: &common.profiles,
    };
    let steps = block(start, rest, &context)?;
    common.macros.insert(
        name,
        Macro {
            role,
            params,
            steps,
        },
    );
    Ok(())
}

/// Statements up to `end`.
fn block(start: &Statement, rest: &mut Cursor<'_>, context: &Context<'_>) -> Parsed<Vec<Step>> {
    let mut steps = Vec::new();
    loop {
        match rest.next() {
            Some(statement) if statement.text == "end" => return Ok(steps),
            Some(statement) => steps.push(line(statement, rest, context)?),
            None => return fail(start, "a line `end` that closes this block"),
        }
    }
}

/// One step, which may be a block.
fn line(statement: &Statement, rest: &mut Cursor<'_>, context: &Context<'_>) -> Parsed<Step> {
    if statement.text != "together" {
        return step(statement, context);
    }
    let steps = block(statement, rest, context)?;
    let mut streams = Vec::new();
    for step in &steps {
        match &step.action {
            Action::Expect(expect) if !expect.float => streams.push(expect.stream),
            _ => {
                let expected = "lines that expect an event at this point inside `together`";
                return Err(FlowError {
                    place: step.place.clone(),
                    expected: expected.into(),
                    found: format!("`{}`", step.show(context.role)),
                });
            }
        }
    }
    streams.dedup();
    if streams.len() != 1 {
        return fail(
            statement,
            "lines of one stream between `together` and `end`",
        );
    }
    let place = statement.place.clone();
    Ok(Step {
        place,
        profile: None,
        pending: None,
        action: Action::Together(steps),
    })
}

fn flow_of(start: &Statement, rest: &mut Cursor<'_>, common: &Common) -> Parsed<Flow> {
    let mut flow = title(start)?;
    let mut seen = BTreeSet::new();
    while let Some(statement) = rest.peek() {
        let Some(key) = header(statement, &mut flow, common)? else {
            break;
        };
        if !seen.insert(key) {
            return fail(statement, "each line of the head once");
        }
        rest.next();
    }
    if flow.profiles.is_empty() {
        return fail(start, "a line `profiles:` in the head of the flow");
    }
    let context = Context::of_flow(common, &flow);
    let mut steps = Vec::new();
    while let Some(statement) = rest.peek().filter(|next| next.head() != "flow") {
        rest.next();
        steps.push(line(statement, rest, &context)?);
    }
    if steps.is_empty() {
        return fail(start, "at least one step in the flow");
    }
    known_marks(&steps)?;
    flow.steps = steps;
    Ok(flow)
}

fn title(start: &Statement) -> Parsed<Flow> {
    let expected = "`flow ID: title`, the ID being a number with an optional letter and `.N`";
    let body = start
        .text
        .strip_prefix("flow ")
        .and_then(|text| text.split_once(": "));
    let Some((id, title)) = body.filter(|(id, title)| is_id(id) && !title.is_empty()) else {
        return fail(start, expected);
    };
    Ok(Flow {
        id: id.to_owned(),
        title: title.to_owned(),
        place: start.place.clone(),
        profiles: Vec::new(),
        role: Role::Session,
        prologue: true,
        pending: None,
        call: None,
        options: None,
        config: Vec::new(),
        server: None,
        steps: Vec::new(),
    })
}

fn is_id(text: &str) -> bool {
    let (main, part) = text.split_once('.').unwrap_or((text, "1"));
    let letters = main.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = main.len() - letters.len();
    let letter = letters.is_empty() || (letters.len() == 1 && letters < "{" && letters > "`");
    digits > 0 && letter && !part.is_empty() && part.chars().all(|c| c.is_ascii_digit())
}

/// Reads a line of the head into `flow`; `None` when the statement is not one.
fn header(statement: &Statement, flow: &mut Flow, common: &Common) -> Parsed<Option<&'static str>> {
    let keys = [
        "profiles", "role", "prologue", "pending", "call", "options", "config", "server",
    ];
    let found = keys
        .into_iter()
        .find_map(|key| Some((key, statement.header(key)?)));
    let Some((key, value)) = found else {
        return Ok(None);
    };
    let mut scan = Scan::new(value, statement.place.clone());
    if matches!(key, "call" | "options") {
        let options = serde_json::from_str(value).ok().filter(Value::is_object);
        let options = Some(options.map_or_else(|| scan.fail("a JSON object of options"), Ok)?);
        match key {
            "call" => flow.call = options,
            _ => flow.options = options,
        }
        return Ok(Some(key));
    }
    match key {
        "profiles" => {
            while scan.peek().is_some() {
                flow.profiles
                    .push(one_of(&mut scan, &common.profiles, "a profile")?);
            }
        }
        "role" if scan.eat_word("client-under-test") => flow.role = Role::ClientUnderTest,
        "role" => return scan.fail("client-under-test"),
        "prologue" if scan.eat_word("none") => flow.prologue = false,
        "prologue" => return scan.fail("none"),
        "pending" => flow.pending = Some(capability(&mut scan, common)?),
        "config" => flow.config = config(&mut scan)?,
        _ if statement.block.is_empty() => return scan.fail("indented lines below `server:`"),
        _ => {
            flow.server = Some(statement.block.clone());
            return Ok(Some(key));
        }
    }
    scan.end()?;
    Ok(Some(key))
}

/// Settings of the local server a flow may ask for.
pub const CONFIG_KEYS: &[&str] = &[
    "brain",
    "ears",
    "voice",
    "api_key",
    "model",
    "lifetime_ms",
    "sessions_max",
    "pacing",
];

fn config(scan: &mut Scan<'_>) -> Parsed<Vec<(String, Value)>> {
    let Pattern::Object(fields) = template(scan)? else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for (key, value) in fields {
        match value {
            Pattern::Literal(value) if CONFIG_KEYS.contains(&key.as_str()) => {
                all.push((key, value));
            }
            Pattern::Literal(_) => {
                let expected = format!("one of the keys {}", CONFIG_KEYS.join(", "));
                return scan.fail_with(expected, format!("`{key}`"));
            }
            other => return scan.fail_with("a literal", format!("`{other}`")),
        }
    }
    Ok(all)
}

/// `since` and `until` name a mark that stands above.
fn known_marks(steps: &[Step]) -> Parsed<()> {
    let mut marks = BTreeSet::new();
    for step in steps {
        if let Action::Drive(Verb::Mark(name)) = &step.action {
            marks.insert(name.clone());
        }
        let Action::Assert(assertion) = &step.action else {
            continue;
        };
        for select in selects(assertion) {
            let mut used = select.since.iter().chain(&select.until);
            if let Some(name) = used.find(|name| !marks.contains(*name)) {
                return Err(FlowError {
                    place: step.place.clone(),
                    expected: "a mark that stands above".into(),
                    found: format!("`{name}`"),
                });
            }
        }
    }
    Ok(())
}

fn selects(assertion: &Assertion) -> Vec<&Select> {
    match assertion {
        Assertion::None(select) => vec![select],
        Assertion::Before(first, second) => vec![first, second],
        Assertion::IsJson(_) => Vec::new(),
        Assertion::Chain(terms, _) => terms.iter().flat_map(term_selects).collect(),
    }
}

fn term_selects(term: &Term) -> Vec<&Select> {
    match term {
        Term::Count(select) => vec![select],
        Term::Plus(left, right) | Term::Minus(left, right) => {
            let mut all = term_selects(left);
            all.extend(term_selects(right));
            all
        }
        Term::Var(_) | Term::Literal(_) | Term::Length(_) | Term::PcmBytes(_) | Term::Line(_) => {
            Vec::new()
        }
    }
}
