//! From a flow as written to the cues of one profile: macros inserted, other profiles' lines gone.

use std::collections::BTreeMap;

use super::ast::{
    Action, Assertion, Common, Expect, Flow, Message, Name, Pattern, Place, Role, Select, Step,
    Stream, Term, Times, Verb,
};

/// One thing for the runner to do.
#[derive(Clone, Debug)]
pub struct Cue {
    /// Where it is written.
    pub place: Place,
    /// Where the macro was used that contains it.
    pub via: Option<Place>,
    /// The line, for reports.
    pub text: String,
    /// The capability it waits for.
    pub pending: Option<String>,
    /// What to do.
    pub act: Act,
}

/// What a cue does.
#[derive(Clone, Debug)]
pub enum Act {
    /// The scripted end sends.
    Send(Message),
    /// One or, inside `together`, several events.
    Expect(Vec<Expect>),
    /// The driver acts.
    Drive(Verb),
    /// A condition.
    Assert(Assertion),
}

/// The cues of `flow` for `profile`, with the prologue if the flow has one.
pub fn expand(flow: &Flow, profile: &str, common: &Common) -> Vec<Cue> {
    let mut expander = Expander {
        profile,
        role: flow.role,
        common,
        uses: 0,
        cues: Vec::new(),
    };
    if flow.prologue {
        expander.insert(prologue(flow.role), &["s".to_owned()], Some(&flow.place));
    }
    expander.steps(&flow.steps, None, &Scope::flow());
    expander.cues
}

/// The macro every flow begins with unless it says `prologue: none`. It binds `$s`.
pub const fn prologue(role: Role) -> &'static str {
    match role {
        Role::Session => "P",
        Role::ClientUnderTest => "PC",
    }
}

fn is_for(step: &Step, profile: &str) -> bool {
    step.profile.as_deref().is_none_or(|only| only == profile)
}

struct Expander<'a> {
    profile: &'a str,
    role: Role,
    common: &'a Common,
    uses: usize,
    cues: Vec<Cue>,
}

impl Expander<'_> {
    fn steps(&mut self, steps: &[Step], via: Option<&Place>, scope: &Scope) {
        let profile = self.profile;
        for step in steps.iter().filter(|step| is_for(step, profile)) {
            match &step.action {
                Action::Use { name, args } => {
                    let args = args.iter().map(|arg| scope.name(arg)).collect::<Vec<_>>();
                    self.insert(name, &args, Some(via.unwrap_or(&step.place)));
                }
                Action::Together(lines) => self.together(lines, step, via, scope),
                Action::Send(message) => {
                    self.push(step, via, Act::Send(scope.message(message)));
                }
                Action::Expect(expect) => {
                    self.push(step, via, Act::Expect(vec![scope.expect(expect)]));
                }
                Action::Drive(verb) => self.push(step, via, Act::Drive(scope.verb(verb))),
                Action::Assert(assertion) => {
                    self.push(step, via, Act::Assert(scope.assertion(assertion)));
                }
            }
        }
    }

    fn insert(&mut self, name: &str, args: &[String], via: Option<&Place>) {
        let common = self.common;
        let Some(body) = common.macros.get(name) else {
            return;
        };
        self.uses += 1;
        let names = body
            .params
            .iter()
            .cloned()
            .zip(args.iter().cloned())
            .collect();
        let scope = Scope {
            names,
            private: Some(self.uses),
        };
        self.steps(&body.steps, via, &scope);
    }

    /// Pending lines of a group stand alone, since the group must not wait for them.
    fn together(&mut self, lines: &[Step], step: &Step, via: Option<&Place>, scope: &Scope) {
        let mut unit = Vec::new();
        let profile = self.profile;
        for line in lines.iter().filter(|line| is_for(line, profile)) {
            let Action::Expect(expect) = &line.action else {
                continue;
            };
            if line.pending.is_some() {
                self.push(line, via, Act::Expect(vec![scope.expect(expect)]));
            } else {
                unit.push(scope.expect(expect));
            }
        }
        if !unit.is_empty() {
            self.push(step, via, Act::Expect(unit));
        }
    }

    fn push(&mut self, step: &Step, via: Option<&Place>, act: Act) {
        self.cues.push(Cue {
            place: step.place.clone(),
            via: via.cloned(),
            text: step.show(self.role),
            pending: step.pending.clone(),
            act,
        });
    }
}

/// What the variables of a body are called outside of it.
struct Scope {
    names: BTreeMap<String, String>,
    private: Option<usize>,
}

impl Scope {
    fn flow() -> Self {
        Self {
            names: BTreeMap::new(),
            private: None,
        }
    }

    /// Private variables get a name that cannot be written in a file.
    fn name(&self, name: &str) -> String {
        match (self.names.get(name), self.private) {
            (Some(outer), _) => outer.clone(),
            (None, Some(number)) => format!("{name}#{number}"),
            (None, None) => name.to_owned(),
        }
    }

    fn message(&self, message: &Message) -> Message {
        Message {
            name: message.name.clone(),
            body: self.pattern(&message.body),
        }
    }

    fn expect(&self, expect: &Expect) -> Expect {
        Expect {
            pattern: self.pattern(&expect.pattern),
            ..expect.clone()
        }
    }

    fn verb(&self, verb: &Verb) -> Verb {
        match verb {
            Verb::Open(spec) => Verb::Open(self.pattern(spec)),
            Verb::ExpectEnd(pattern) => Verb::ExpectEnd(self.pattern(pattern)),
            Verb::App(message) => Verb::App(self.message(message)),
            other => other.clone(),
        }
    }

    fn pattern(&self, pattern: &Pattern) -> Pattern {
        let all = |list: &[Pattern]| list.iter().map(|one| self.pattern(one)).collect();
        match pattern {
            Pattern::Bind(name) => Pattern::Bind(self.name(name)),
            Pattern::Append(name) => Pattern::Append(self.name(name)),
            Pattern::Object(fields) => Pattern::Object(
                fields
                    .iter()
                    .map(|(key, value)| (key.clone(), self.pattern(value)))
                    .collect(),
            ),
            Pattern::Array(list, open) => Pattern::Array(all(list), *open),
            Pattern::OneOf(list) => Pattern::OneOf(all(list)),
            Pattern::Both(list) => Pattern::Both(all(list)),
            other => other.clone(),
        }
    }

    fn assertion(&self, assertion: &Assertion) -> Assertion {
        match assertion {
            Assertion::Chain(terms, ops) => Assertion::Chain(
                terms.iter().map(|term| self.term(term)).collect(),
                ops.clone(),
            ),
            Assertion::None(select) => Assertion::None(self.select(select)),
            Assertion::Before(first, second) => {
                Assertion::Before(self.select(first), self.select(second))
            }
            Assertion::IsJson(name) => Assertion::IsJson(self.name(name)),
        }
    }

    fn select(&self, select: &Select) -> Select {
        Select {
            pattern: self.pattern(&select.pattern),
            ..select.clone()
        }
    }

    fn term(&self, term: &Term) -> Term {
        let boxed = |term: &Term| Box::new(self.term(term));
        match term {
            Term::Var(name) => Term::Var(self.name(name)),
            Term::Literal(value) => Term::Literal(value.clone()),
            Term::Count(select) => Term::Count(self.select(select)),
            Term::Length(name) => Term::Length(self.name(name)),
            Term::PcmBytes(name) => Term::PcmBytes(self.name(name)),
            Term::Line(name) => Term::Line(self.name(name)),
            Term::Plus(left, right) => Term::Plus(boxed(left), boxed(right)),
            Term::Minus(left, right) => Term::Minus(boxed(left), boxed(right)),
        }
    }
}

impl Cue {
    /// Whether the cue can fail because of what the peer does.
    pub fn checks(&self) -> bool {
        match &self.act {
            Act::Expect(_) | Act::Assert(_) => true,
            Act::Drive(verb) => matches!(verb, Verb::ExpectEnd(_)),
            Act::Send(_) => false,
        }
    }
}

impl Expect {
    /// Whether the flow fails without it.
    pub fn is_required(&self) -> bool {
        self.times != Times::Optional
    }

    /// Whether it may be seen again.
    pub fn is_repeated(&self) -> bool {
        self.times == Times::Many
    }

    /// Whether an event of this stream and type is meant.
    pub fn names_event(&self, stream: Stream, name: &str) -> bool {
        self.stream == stream && self.names.iter().any(|one: &Name| one.text == name)
    }
}
