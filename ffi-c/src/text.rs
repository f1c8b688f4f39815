//! Strings across the boundary: pointer and length inwards, and outwards also a final NUL.

use std::borrow::Cow;
use std::ffi::c_char;
use std::slice;
use std::sync::OnceLock;

use talkwire_core::{Error, Kind, Result};

/// A text that belongs to the object it was asked from: UTF-8, `len` bytes, followed by a NUL that
/// `len` does not count. Never NULL; what does not exist is the empty text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tw_str {
    /// First byte.
    pub ptr: *const c_char,
    /// Bytes, without the NUL at the end.
    pub len: usize,
}

/// Bytes that belong to the object they were asked from. What does not exist has no bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tw_bytes {
    /// First byte, aligned for 16-bit samples; NULL if there is none.
    pub ptr: *const u8,
    /// Bytes.
    pub len: usize,
}

impl tw_str {
    pub(crate) const EMPTY: Self = Self {
        ptr: c"".as_ptr(),
        len: 0,
    };
}

impl tw_bytes {
    pub(crate) const EMPTY: Self = Self {
        ptr: std::ptr::null(),
        len: 0,
    };
}

/// Length of a text that ends with a NUL.
const NUL_TERMINATED: usize = usize::MAX;

/// A text that must be there.
pub(crate) fn input<'a>(text: *const c_char, len: usize, name: &str) -> Result<&'a str> {
    optional(text, len, name)?.ok_or_else(|| wrong(name, "is NULL"))
}

/// A text that may be NULL.
pub(crate) fn optional<'a>(text: *const c_char, len: usize, name: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return match len {
            0 | NUL_TERMINATED => Ok(None),
            _ => Err(wrong(name, "is NULL but has a length")),
        };
    }
    let bytes = if len == NUL_TERMINATED {
        // Safety: by contract a text of this length ends with a NUL.
        unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes()
    } else {
        bytes(text.cast(), len, name)?
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(e) => {
            let place = e.valid_up_to();
            Err(wrong(name, &format!("is not UTF-8 at byte {place}")))
        }
    }
}

/// Bytes; NULL is none.
pub(crate) fn bytes<'a>(data: *const u8, len: usize, name: &str) -> Result<&'a [u8]> {
    if len > isize::MAX as usize {
        return Err(wrong(name, "has an impossible length"));
    }
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(wrong(name, "is NULL but has a length")),
        // Safety: not NULL, and by contract there are `len` bytes.
        (false, _) => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// What goes into a header: a line break would begin another one.
pub(crate) fn of_one_line<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    match text.find(char::is_control) {
        None => Ok(text),
        Some(at) => Err(wrong(
            name,
            &format!("has a control character at byte {at}"),
        )),
    }
}

/// A JSON object.
pub(crate) fn json<T: serde::de::DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    talkwire_core::json::object(text)
        .map_err(|e| wrong(name, &format!("is not what it should be: {e}")))
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(Kind::Argument, format!("`{name}` {what}"))
}

/// An outgoing text, given its NUL when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Text(OnceLock<Box<str>>);

impl Text {
    /// The text; `make` is asked once.
    pub(crate) fn get<'a>(&self, make: impl FnOnce() -> Option<Cow<'a, str>>) -> tw_str {
        let text = self.0.get_or_init(|| {
            let mut text = make().unwrap_or_default().into_owned();
            text.push('\0');
            text.into()
        });
        tw_str {
            ptr: text.as_ptr().cast(),
            len: text.len() - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_in_by_length_or_by_its_nul() {
        let text = c"prompt".as_ptr();
        assert_eq!(input(text, 3, "t").expect("valid"), "pro");
        assert_eq!(input(text, usize::MAX, "t").expect("valid"), "prompt");
        assert_eq!(optional(std::ptr::null(), usize::MAX, "t"), Ok(None));
    }

    #[test]
    fn a_wrong_text_is_refused_and_named() {
        let bad = c"ab\xff".as_ptr();
        let none = std::ptr::null();
        for (text, len, what) in [
            (bad, usize::MAX, "not UTF-8 at byte 2"),
            (none, 5, "has a length"),
            (none, 0, "is NULL"),
            (bad, usize::MAX - 1, "impossible length"),
        ] {
            let error = input(text, len, "url").expect_err("refused");
            assert_eq!(error.kind(), Kind::Argument);
            assert!(error.message().contains(what), "{error}");
            assert!(error.message().contains("`url`"), "{error}");
        }
    }

    #[test]
    fn a_text_goes_out_with_a_nul_behind_it() {
        let text = Text::default();
        let out = text.get(|| Some(Cow::Borrowed("да")));
        // Safety: made one line above, with its NUL.
        let read = unsafe { std::ffi::CStr::from_ptr(out.ptr) };
        assert_eq!((read.to_str(), out.len), (Ok("да"), 4));
        assert_eq!(text.get(|| None).len, 4, "made once");
        assert_eq!(Text::default().get(|| None).len, 0);
    }
}
