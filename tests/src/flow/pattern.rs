//! Patterns of values and conditions: the inside of a statement.

use serde_json::Value;

use super::ast::{Assertion, FlowError, Op, Pattern, Select, Stream, Term};
use super::names::{CLIENT_EVENTS, SERVER_EVENTS};
use super::scan::{Parsed, Scan};

/// `{...}` with `what` it is for; nothing at all is an empty object.
pub(super) fn object_or_nothing(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    if scan.peek() == Some('{') {
        return object(scan);
    }
    Ok(Pattern::Object(Vec::new()))
}

/// A template is a pattern that says exactly one value.
pub(super) fn template(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    let body = object_or_nothing(scan)?;
    check(scan, &body, true)?;
    Ok(body)
}

/// A pattern for an object, or several of which one must fit.
pub(super) fn expectation(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    let body = match scan.peek() {
        Some('{') => value(scan)?,
        _ => Pattern::Object(Vec::new()),
    };
    check(scan, &body, false)?;
    Ok(body)
}

fn check(scan: &Scan<'_>, pattern: &Pattern, sent: bool) -> Parsed<()> {
    use Pattern as P;
    match pattern {
        P::Null | P::Literal(_) | P::Bind(_) => Ok(()),
        P::Array(all, true) if sent => scan.fail_with(
            "a list of known length in what is sent",
            format!("{} and `..`", all.len()),
        ),
        P::Object(fields) => fields
            .iter()
            .try_for_each(|(_, value)| check(scan, value, sent)),
        P::Array(all, _) => all.iter().try_for_each(|value| check(scan, value, sent)),
        P::Zeros(_) if sent => Ok(()),
        P::Zeros(_) => scan.fail_with("a pattern; zeros(N) can only be sent", "zeros(N)"),
        P::OneOf(all) | P::Both(all) if !sent => {
            all.iter().try_for_each(|value| check(scan, value, sent))
        }
        P::Absent | P::Any | P::Append(_) | P::Compare(..) | P::Contains(_) | P::Pcm if !sent => {
            Ok(())
        }
        other => scan.fail_with(
            "one definite value in what is sent: a literal, a bound variable, an object or a list",
            format!("the pattern `{other}`"),
        ),
    }
}

fn object(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    scan.need("{")?;
    let mut fields: Vec<(String, Pattern)> = Vec::new();
    while !scan.eat("}") {
        if !fields.is_empty() {
            scan.need(",")?;
        }
        let key = match scan.peek() {
            Some('"') => scan.string()?,
            _ => scan.word("the name of a field or `}`")?,
        };
        if fields.iter().any(|(other, _)| *other == key) {
            return scan.fail_with("each field once", format!("a second `{key}`"));
        }
        scan.need(":")?;
        fields.push((key, value(scan)?));
    }
    Ok(Pattern::Object(fields))
}

fn array(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    scan.need("[")?;
    let mut all = Vec::new();
    let mut open = false;
    while !scan.eat("]") {
        if open {
            return scan.fail("`]` after `..`");
        }
        if !all.is_empty() {
            scan.need(",")?;
        }
        if scan.eat("..") {
            open = true;
        } else {
            all.push(value(scan)?);
        }
    }
    Ok(Pattern::Array(all, open))
}

fn value(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    let both = separated(scan, "&", |scan| {
        Ok(single_or(separated(scan, "|", atom)?, Pattern::OneOf))
    })?;
    Ok(single_or(both, Pattern::Both))
}

fn separated(
    scan: &mut Scan<'_>,
    sign: &str,
    item: impl Fn(&mut Scan<'_>) -> Parsed<Pattern>,
) -> Parsed<Vec<Pattern>> {
    let mut all = vec![item(scan)?];
    while scan.eat(sign) {
        all.push(item(scan)?);
    }
    Ok(all)
}

fn single_or(mut all: Vec<Pattern>, many: impl Fn(Vec<Pattern>) -> Pattern) -> Pattern {
    match all.len() {
        1 => all.remove(0),
        _ => many(all),
    }
}

const VALUE: &str = "a value: a string, a number, true, false, null, absent, $x, $x+, *, pcm, \
                     zeros(N), >N, <N, ~\"text\", {...} or [...]";

fn atom(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    match scan.peek() {
        Some('{') => object(scan),
        Some('[') => array(scan),
        Some('"') => Ok(Pattern::Literal(Value::String(scan.string()?))),
        Some('$') => {
            let name = scan.variable()?;
            let append = scan.eat("+");
            Ok(if append {
                Pattern::Append(name)
            } else {
                Pattern::Bind(name)
            })
        }
        Some('~') => {
            scan.need("~")?;
            Ok(Pattern::Contains(scan.string()?))
        }
        Some('<' | '>') => compare(scan),
        Some(c) if c.is_ascii_digit() || c == '-' => {
            Ok(Pattern::Literal(Value::Number(scan.number()?)))
        }
        Some(c) if c.is_ascii_alphabetic() => keyword(scan),
        Some('*') => {
            scan.need("*")?;
            Ok(Pattern::Any)
        }
        _ => scan.fail(VALUE),
    }
}

fn keyword(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    let words = [
        ("true", Pattern::Literal(Value::Bool(true))),
        ("false", Pattern::Literal(Value::Bool(false))),
        ("null", Pattern::Null),
        ("absent", Pattern::Absent),
        ("pcm", Pattern::Pcm),
    ];
    for (word, pattern) in words {
        if scan.eat_word(word) {
            return Ok(pattern);
        }
    }
    if !scan.eat("zeros(") {
        return scan.fail(VALUE);
    }
    let bytes = scan.whole()? as usize;
    scan.need(")")?;
    Ok(Pattern::Zeros(bytes))
}

fn compare(scan: &mut Scan<'_>) -> Parsed<Pattern> {
    let Some(op) = operator(scan) else {
        return scan.fail("`<`, `<=`, `>` or `>=`");
    };
    let number = scan.number()?;
    match number.as_f64() {
        Some(limit) => Ok(Pattern::Compare(op, limit)),
        None => scan.fail_with("a number", number.to_string()),
    }
}

fn operator(scan: &mut Scan<'_>) -> Option<Op> {
    // Longest first, or `<=` would be read as `<`.
    let all = [
        Op::Equal,
        Op::Unequal,
        Op::AtMost,
        Op::AtLeast,
        Op::Less,
        Op::More,
    ];
    all.into_iter().find(|op| scan.eat(op.sign()))
}

impl Op {
    /// How it is written.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// A condition.
pub(super) fn assertion(scan: &mut Scan<'_>) -> Parsed<Assertion> {
    if scan.eat_word("none") {
        return Ok(Assertion::None(select(scan)?));
    }
    if scan.eat_word("before") {
        return Ok(Assertion::Before(select(scan)?, select(scan)?));
    }
    if scan.eat("is-json(") {
        let name = scan.variable()?;
        scan.need(")")?;
        return Ok(Assertion::IsJson(name));
    }
    let mut terms = vec![sum(scan)?];
    let mut ops = Vec::new();
    while let Some(op) = operator(scan) {
        ops.push(op);
        terms.push(sum(scan)?);
    }
    if ops.is_empty() {
        return scan.fail("one of == != < <= > >=");
    }
    Ok(Assertion::Chain(terms, ops))
}

fn select(scan: &mut Scan<'_>) -> Parsed<Select> {
    let stream = if scan.eat_word("sent") {
        Stream::Sent
    } else {
        Stream::App
    };
    let known = match stream {
        Stream::App => SERVER_EVENTS,
        Stream::Sent => CLIENT_EVENTS,
    };
    let name = if scan.eat("*") {
        None
    } else {
        Some(scan.event(known)?)
    };
    let pattern = expectation(scan)?;
    let since = bound(scan, "since")?;
    let until = bound(scan, "until")?;
    Ok(Select {
        stream,
        name,
        pattern,
        since,
        until,
    })
}

fn bound(scan: &mut Scan<'_>, word: &str) -> Result<Option<String>, FlowError> {
    if !scan.eat_word(word) {
        return Ok(None);
    }
    scan.word("the name of a mark").map(Some)
}

fn sum(scan: &mut Scan<'_>) -> Parsed<Term> {
    let mut left = term(scan)?;
    loop {
        if scan.eat("+") {
            left = Term::Plus(Box::new(left), Box::new(term(scan)?));
        } else if scan.eat("-") {
            left = Term::Minus(Box::new(left), Box::new(term(scan)?));
        } else {
            return Ok(left);
        }
    }
}

const TERM: &str = "a condition: none, before, is-json($x), or a comparison of $x, literals, \
                    count(EVENT), len($x), pcm-bytes($x), line($x)";

fn term(scan: &mut Scan<'_>) -> Parsed<Term> {
    match scan.peek() {
        Some('$') => return Ok(Term::Var(scan.variable()?)),
        Some('"') => return Ok(Term::Literal(Value::String(scan.string()?))),
        Some(c) if c.is_ascii_digit() => return Ok(Term::Literal(Value::Number(scan.number()?))),
        _ => {}
    }
    let words = [
        ("null", Value::Null),
        ("true", true.into()),
        ("false", false.into()),
    ];
    for (word, value) in words {
        if scan.eat_word(word) {
            return Ok(Term::Literal(value));
        }
    }
    if scan.eat("count(") {
        let events = select(scan)?;
        scan.need(")")?;
        return Ok(Term::Count(events));
    }
    for name in ["len(", "pcm-bytes(", "line("] {
        if scan.eat(name) {
            let variable = scan.variable()?;
            scan.need(")")?;
            return Ok(match name {
                "len(" => Term::Length(variable),
                "pcm-bytes(" => Term::PcmBytes(variable),
                _ => Term::Line(variable),
            });
        }
    }
    scan.fail(TERM)
}
