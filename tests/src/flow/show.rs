//! Prints what was parsed in the one canonical spelling.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::ast::{
    Action, Assertion, Expect, Flow, Message, Name, Pattern, Role, Select, Step, Stream, Term,
    Times, Verb,
};
use super::stage::AppAct;

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.quoted {
            return write!(f, "{}", Value::String(self.text.clone()));
        }
        f.write_str(&self.text)
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Absent => f.write_str("absent"),
            Self::Any => f.write_str("*"),
            Self::Literal(value) => write!(f, "{value}"),
            Self::Bind(name) => write!(f, "${name}"),
            Self::Append(name) => write!(f, "${name}+"),
            Self::Compare(op, limit) => write!(f, "{}{limit}", op.sign()),
            Self::Contains(text) => write!(f, "~{}", Value::String(text.clone())),
            Self::Pcm => f.write_str("pcm"),
            Self::Zeros(bytes) => write!(f, "zeros({bytes})"),
            Self::Object(fields) => show_object(fields, f),
            Self::Array(all, open) => show_array(all, *open, f),
            Self::OneOf(all) => joined(all, "|", f),
            Self::Both(all) => joined(all, " & ", f),
        }
    }
}

fn show_object(fields: &[(String, Pattern)], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("{")?;
    for (index, (key, value)) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        match plain {
            true => write!(f, "{comma}{key}:{value}")?,
            false => write!(f, "{comma}{}:{value}", Value::String(key.clone()))?,
        }
    }
    f.write_str("}")
}

fn show_array(all: &[Pattern], open: bool, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("[")?;
    joined(all, ", ", f)?;
    match (open, all.is_empty()) {
        (true, true) => f.write_str("..")?,
        (true, false) => f.write_str(", ..")?,
        (false, _) => {}
    }
    f.write_str("]")
}

fn joined(all: &[Pattern], sign: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (index, one) in all.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { sign })?;
        write!(f, "{one}")?;
    }
    Ok(())
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.body)
    }
}

impl Display for AppAct {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = |text: &String| Value::String(text.clone());
        match self {
            Self::Respond(policy) => write!(f, "respond {policy}"),
            Self::Interrupt(true) => f.write_str("interrupt"),
            Self::Interrupt(false) => f.write_str("go-on"),
            Self::Tool(Ok(output)) => write!(f, "tool {}", text(output)),
            Self::Tool(Err(why)) => write!(f, "tool-fails {}", text(why)),
            Self::Deaf(ms) => write!(f, "deaf {ms}ms"),
            Self::Heard(ms) => write!(f, "heard {ms}ms"),
            Self::Cut(fault) => write!(f, "cut {}", fault.name()),
        }
    }
}

impl Display for Verb {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(spec) => write!(f, "open {spec}"),
            Self::Close => f.write_str("close"),
            Self::ExpectEnd(pattern) => write!(f, "expect-end {pattern}"),
            Self::Speak(ms) => write!(f, "speak {ms}ms"),
            Self::Silence(ms) => write!(f, "silence {ms}ms"),
            Self::Wait(ms) => write!(f, "wait {ms}ms"),
            Self::Play(ms) => write!(f, "play {ms}ms"),
            Self::Raw(text) => write!(f, "raw {}", Value::String(text.clone())),
            Self::Mark(name) => write!(f, "mark {name}"),
            Self::Crowd(sessions) => write!(f, "crowd {sessions}"),
            Self::Do(act) => act.fmt(f),
            Self::App(message) => write!(f, "app {message}"),
            Self::ServerClose(code, reason) => {
                write!(f, "server-close {code} {}", Value::String(reason.clone()))
            }
            Self::Drop => f.write_str("drop"),
            Self::Binary(bytes) => write!(f, "binary {bytes}"),
            Self::NoPong => f.write_str("no-pong"),
        }
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.stream == Stream::Sent {
            "sent "
        } else {
            ""
        })?;
        match &self.name {
            Some(name) => write!(f, "{name} {}", self.pattern)?,
            None => write!(f, "* {}", self.pattern)?,
        }
        for (word, mark) in [("since", &self.since), ("until", &self.until)] {
            if let Some(mark) = mark {
                write!(f, " {word} {mark}")?;
            }
        }
        Ok(())
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Var(name) => write!(f, "${name}"),
            Self::Literal(value) => write!(f, "{value}"),
            Self::Count(select) => write!(f, "count({select})"),
            Self::Length(name) => write!(f, "len(${name})"),
            Self::PcmBytes(name) => write!(f, "pcm-bytes(${name})"),
            Self::Line(name) => write!(f, "line(${name})"),
            Self::Plus(left, right) => write!(f, "{left} + {right}"),
            Self::Minus(left, right) => write!(f, "{left} - {right}"),
        }
    }
}

impl Display for Assertion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(select) => write!(f, "none {select}"),
            Self::Before(first, second) => write!(f, "before {first} {second}"),
            Self::IsJson(name) => write!(f, "is-json(${name})"),
            Self::Chain(terms, ops) => {
                for (index, term) in terms.iter().enumerate() {
                    if let Some(op) = index.checked_sub(1).and_then(|left| ops.get(left)) {
                        write!(f, " {} ", op.sign())?;
                    }
                    write!(f, "{term}")?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Expect {
    /// Names and fields, without the sign of the line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().map(Name::to_string).collect::<Vec<_>>();
        write!(f, "{} {}", names.join(" | "), self.pattern)
    }
}

impl Expect {
    /// The line as it is written in a flow of this role.
    pub fn show(&self, role: Role) -> String {
        let sign = match (role, self.stream, self.float) {
            (_, _, true) => '~',
            (Role::Session, Stream::App, false) => '<',
            (_, Stream::App, false) => '^',
            (_, Stream::Sent, false) => '>',
        };
        let times = match self.times {
            Times::One => "",
            Times::Optional => "?",
            Times::Many => "*",
        };
        format!("{sign}{times} {self}")
    }
}

impl Step {
    /// The statement as it is written in a flow of this role.
    pub fn show(&self, role: Role) -> String {
        let mut text = match &self.action {
            Action::Send(message) if role == Role::Session => format!("> {message}"),
            Action::Send(message) => format!("< {message}"),
            Action::Expect(expect) => expect.show(role),
            Action::Together(steps) => {
                let lines = steps.iter().map(|step| step.show(role)).collect::<Vec<_>>();
                format!("together\n{}\nend", lines.join("\n"))
            }
            Action::Drive(verb) => format!("% {verb}"),
            Action::Assert(assertion) => format!("! {assertion}"),
            Action::Use { name, args } => {
                let args = args.iter().map(|arg| format!("${arg}")).collect::<Vec<_>>();
                format!("use {name}({})", args.join(", "))
            }
        };
        if let Some(profile) = &self.profile {
            text.push_str(&format!(" @{profile}"));
        }
        if let Some(pending) = &self.pending {
            text.push_str(&format!(" pending: {pending}"));
        }
        text
    }
}

impl Display for Flow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "flow {}: {}", self.id, self.title)?;
        writeln!(f, "profiles: {}", self.profiles.join(" "))?;
        if self.role == Role::ClientUnderTest {
            writeln!(f, "role: client-under-test")?;
        }
        if !self.prologue {
            writeln!(f, "prologue: none")?;
        }
        if let Some(pending) = &self.pending {
            writeln!(f, "pending: {pending}")?;
        }
        if !self.config.is_empty() {
            let literal =
                |(key, value): &(String, Value)| (key.clone(), Pattern::Literal(value.clone()));
            writeln!(
                f,
                "config: {}",
                Pattern::Object(self.config.iter().map(literal).collect())
            )?;
        }
        if let Some(server) = &self.server {
            writeln!(
                f,
                "server:\n  {}",
                server.replace('\n', "\n  ").replace("\n  \n", "\n\n")
            )?;
        }
        writeln!(f)?;
        for step in &self.steps {
            writeln!(f, "{}", step.show(self.role))?;
        }
        Ok(())
    }
}
