//! What stands around the body of every function: the fork check, and the wall that no panic passes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use talkwire_core::runtime::check_not_forked;
use talkwire_core::{Error, Kind, Result};

use crate::error::{self, TW_OK, tw_error, tw_status};

/// A call that may fail; the error goes to `err` if there is room for it.
pub(crate) fn status(
    name: &str,
    err: *mut *mut tw_error,
    body: impl FnOnce() -> Result<tw_status>,
) -> tw_status {
    let checked = || {
        check_not_forked()?;
        body()
    };
    match contained(name, checked) {
        Some(Ok(status)) => status,
        Some(Err(error)) => error::report(error, err),
        None => error::report(bug(name), err),
    }
}

/// A call that may fail and has no other result than that.
pub(crate) fn done(
    name: &str,
    err: *mut *mut tw_error,
    body: impl FnOnce() -> Result<()>,
) -> tw_status {
    status(name, err, || body().map(|()| TW_OK))
}

/// A call of a media thread: it has no error to give, because an error costs memory.
pub(crate) fn bare(name: &str, body: impl FnOnce() -> Result<tw_status, Kind>) -> tw_status {
    let checked = || match check_not_forked() {
        Ok(()) => body(),
        Err(error) => Err(error.kind()),
    };
    match contained(name, checked) {
        Some(Ok(status)) => status,
        Some(Err(kind)) => kind as tw_status,
        None => Kind::Panic as tw_status,
    }
}

/// The same, for a call that owes something also when it fails.
pub(crate) fn bare_or(
    name: &str,
    body: impl FnOnce() -> Result<tw_status, Kind>,
    owed: impl FnOnce(),
) -> tw_status {
    let status = bare(name, body);
    if status < TW_OK {
        contained(name, owed);
    }
    status
}

/// A call that only looks; `otherwise` is the answer when it cannot.
pub(crate) fn value<T>(name: &str, otherwise: T, body: impl FnOnce() -> T) -> T {
    contained(name, body).unwrap_or(otherwise)
}

/// A call that gives something back. In a forked child it leaks on purpose: the threads that would
/// have to let go of it do not exist there.
pub(crate) fn release(name: &str, body: impl FnOnce()) {
    contained(name, || {
        if check_not_forked().is_ok() {
            body();
        }
    });
}

fn contained<T>(name: &str, body: impl FnOnce() -> T) -> Option<T> {
    // What a panic may have left half done is behind locks of the core that expect it.
    catch_unwind(AssertUnwindSafe(|| {
        injected(name);
        body()
    }))
    .ok()
}

fn bug(name: &str) -> Error {
    Error::new(
        Kind::Panic,
        format!("{name}: a bug in this library; it was contained"),
    )
}

/// Panics in the function that `TALKWIRE_TEST_PANIC` names, so that tests in C can see the wall
/// hold. Not in release builds.
#[cfg(debug_assertions)]
fn injected(name: &str) {
    static WHERE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let wanted = WHERE.get_or_init(|| std::env::var("TALKWIRE_TEST_PANIC").ok());
    assert!(wanted.as_deref() != Some(name), "asked for by a test");
}

#[cfg(not(debug_assertions))]
fn injected(_: &str) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_an_error_or_a_default() {
        let mut err = std::ptr::null_mut();
        let status = done("tw_x", &raw mut err, || panic!("a bug"));
        assert_eq!(status, Kind::Panic as tw_status);
        assert!(!err.is_null());
        drop(crate::handle::take(err));
        assert_eq!(
            done("tw_x", std::ptr::null_mut(), || panic!("a bug")),
            status
        );
        assert_eq!(value("tw_x", 7, || panic!("a bug")), 7);
        release("tw_x", || panic!("a bug"));
    }
}
