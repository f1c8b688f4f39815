//! Versions.

use std::ffi::{CStr, c_char};

use crate::guard;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

const BUILD: &str = concat!(
    "talkwire ",
    env!("CARGO_PKG_VERSION"),
    "; tls: rustls with ring; local server: yes\0"
);

/// The version of the library that runs: major * 1000000 + minor * 1000 + patch.
///
/// Compare it with TW_VERSION_NUMBER, the version of the header that was compiled in.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn tw_version_number() -> u32 {
    guard::value("tw_version_number", 0, || {
        let mut parts = env!("CARGO_PKG_VERSION").split('.');
        let mut next = || parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
        next() * 1_000_000 + next() * 1_000 + next()
    })
}

/// The same version as text, for example "0.1.0". Static; never freed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn tw_version_string() -> *const c_char {
    guard::value("tw_version_string", c"".as_ptr(), || text(VERSION))
}

/// One line about how the library was built, for bug reports. Static; never freed.
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn tw_build_info() -> *const c_char {
    guard::value("tw_build_info", c"".as_ptr(), || text(BUILD))
}

fn text(with_nul: &'static str) -> *const c_char {
    CStr::from_bytes_with_nul(with_nul.as_bytes())
        .expect("the constant ends with its only NUL")
        .as_ptr()
}
