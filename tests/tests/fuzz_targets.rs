//! The fuzz targets of `tests/src/fuzz` without a fuzzer: their corpora, and 10,000 inputs made from
//! them. The deep tier makes ten times as many, and from another seed each time. `FUZZ_INPUT=FILE` plays
//! one input again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use talkwire_tests::fuzz::{self, Inputs, TARGETS};
use talkwire_tests::scaled;

const INPUTS: u32 = 10_000;

/// The same in the quick tier; whatever the clock says in the deep one.
fn seed() -> u64 {
    if scaled(1) == 1 {
        return 1;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

fn holds(name: &str) {
    let target = fuzz::named(name);
    if let Some(file) = std::env::var_os("FUZZ_INPUT") {
        return (target.run)(&std::fs::read(file).expect("a readable file"));
    }
    let corpus = target.corpus();
    let mut inputs = Inputs::new(corpus.clone(), seed());
    let made = (0..scaled(INPUTS)).map(|_| inputs.make());
    for input in corpus.into_iter().chain(made) {
        let run = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        if let Err(panic) = run {
            let file = std::env::temp_dir().join(format!("talkwire-fuzz-{name}"));
            std::fs::write(&file, &input).expect("a file for the input");
            eprintln!(
                "{name} does not stand `{}`\nagain: FUZZ_INPUT={} cargo test -p talkwire-tests \
                 --test fuzz_targets {name}",
                input.escape_ascii(),
                file.display()
            );
            resume_unwind(panic);
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })*
    };
}

targets! { server_event client_event session sound wav dialect script options c_texts }

#[test]
fn every_target_is_tested_here_and_has_a_program_for_a_fuzzer() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, NAMES);
    let manifest = std::fs::read_to_string(fuzz::root().join("Cargo.toml")).expect("a manifest");
    for name in names {
        let program = fuzz::root().join(format!("targets/{name}.rs"));
        let program = std::fs::read_to_string(&program).expect("a program");
        assert!(program.contains(&format!("\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
