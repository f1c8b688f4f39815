//! What the parser refuses, and with which words.

use super::{Common, parse_common, parse_flows};

const COMMON: &str = "profiles: p q\ncapabilities: later\nmacro M($a)\n< error {x:$a}\nend\n";

fn common() -> Common {
    parse_common("common.flow", COMMON).unwrap()
}

/// The error for a flow whose fourth line is `line`.
fn refused(line: &str) -> String {
    let text = format!("flow 1: x\nprofiles: p q\n\n{line}\n");
    match parse_flows("a.flow", &text, &common()) {
        Ok(_) => panic!("accepted: {line}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_kind_of_mistake_in_a_line_names_file_line_and_expectation() {
    let cases = [
        ("error {}", "a line that begins with >"),
        ("^ error", "a line that begins with >"),
        ("< no.such.event", "the name of an event of the protocol"),
        ("> session.created", "the name of an event of the protocol"),
        ("< error {code}", "`:`"),
        ("< error {a:1 b:2}", "`,`"),
        ("< error {a:1, a:2}", "each field once"),
        ("< error {a:nope}", "a value: a string"),
        ("< error {a:\"x}", "a string with JSON escapes"),
        ("< error {a:>x}", "a number"),
        ("< error {a:[.., 1]}", "`]` after `..`"),
        ("< error {a:$X}", "the name of a variable"),
        ("< error {a:zeros(2)}", "zeros(N) can only be sent"),
        ("< error {} trailing", "the end of the line"),
        ("< error @r", "a profile of this flow: p, q"),
        ("< error pending: soon", "a capability: later"),
        (
            "> session.update pending: later",
            "`pending:` on a line that can fail",
        ),
        ("> session.update {a:*}", "one definite value"),
        ("> session.update {a:1|2}", "one definite value"),
        ("> session.update {a:[1, ..]}", "a list of known length"),
        ("% sing 3ms", "one of open, close"),
        ("% drop", "one of open, close"),
        ("% wait 500", "`ms` right after the number"),
        ("% wait", "a whole number"),
        ("% open {color:1}", "one of the keys model"),
        ("% expect-end {reason:1}", "one of the keys why"),
        ("! $a", "one of == !="),
        ("! maybe", "a condition: none"),
        ("! none error since here", "a mark that stands above"),
        ("use N($a)", "a macro of common.flow"),
        ("use M($a, $b)", "M with 1 variables"),
        ("together\n< error", "a line `end`"),
        ("together\nend", "lines of one stream"),
        ("end", "a line that begins with >"),
    ];
    for (line, expected) in cases {
        let error = refused(line);
        assert!(error.starts_with("a.flow:4: expected "), "{line}: {error}");
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn mistakes_in_the_head_and_in_common_name_file_line_and_expectation() {
    let cases = [
        ("", "a.flow:1: expected `flow ID: title`"),
        ("flow one: x", "a.flow:1: expected `flow ID: title`"),
        ("  > error", "a.flow:1: expected a statement at the start"),
        (
            "flow 1: x\n< error",
            "a.flow:1: expected a line `profiles:`",
        ),
        (
            "flow 1: x\nprofiles: r",
            "a.flow:2: expected a profile: p, q",
        ),
        (
            "flow 1: x\nprofiles: p\nprofiles: p",
            "a.flow:3: expected each line of the head once",
        ),
        (
            "flow 1: x\nprofiles: p\nrole: server",
            "a.flow:3: expected client-under-test",
        ),
        (
            "flow 1: x\nprofiles: p\nprologue: yes",
            "a.flow:3: expected none",
        ),
        (
            "flow 1: x\nprofiles: p\nconfig: {x:1}",
            "a.flow:3: expected one of the keys brain",
        ),
        (
            "flow 1: x\nprofiles: p\nserver:\n< error",
            "a.flow:3: expected indented lines",
        ),
        (
            "flow 1: x\nprofiles: p",
            "a.flow:1: expected at least one step",
        ),
        (
            "flow 1: x\nprofiles: p\n< error\nflow 1: y\nprofiles: p\n< error",
            "a.flow:4: expected each id once",
        ),
    ];
    for (text, expected) in cases {
        let error = parse_flows("a.flow", text, &common())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    let error = parse_common("c.flow", "profiles: p\nverbs: x")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("c.flow:2: expected profiles:"), "{error}");
}

#[test]
fn server_blocks_are_kept_verbatim_and_lines_may_be_continued() {
    let text = "flow 1: x\nprofiles: p\nserver:\n    a:\n      - 1\n\n    b: 2\n< error\n  {a:1}\n";
    let flow = parse_flows("a.flow", text, &common()).unwrap().remove(0);
    assert_eq!(flow.server.as_deref(), Some("a:\n  - 1\n\nb: 2"));
    assert_eq!(flow.steps[0].show(flow.role), "< error {a:1}");
}
