//! Credentials that are asked for.

use std::ffi::{c_char, c_void};
use std::sync::{Mutex, PoisonError};

use talkwire_core::{Error, Kind, Result};

use crate::config::tw_config;
use crate::error::{TW_OK, kind_of, tw_error, tw_status};
use crate::guard;
use crate::handle::{self, Handle, Mark};
use crate::text;

/// Where a callback puts the credential that it was asked for.
pub struct tw_key {
    mark: Mark,
    text: Mutex<Option<String>>,
}

impl Handle for tw_key {
    const NOUN: &'static str = "tw_key";

    fn mark(&self) -> &Mark {
        &self.mark
    }
}

/// Gives a credential: calls tw_key_set() and returns TW_OK, or returns why there is none.
/// TW_ERR_AUTH is final; after TW_ERR_UNREACHABLE, TW_ERR_TIMEOUT and the like it is asked again, as a
/// dial that failed is made again.
pub type tw_key_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, key: *mut tw_key) -> tw_status>;

/// The caller's data, which is dropped once, when nothing can use it any more.
pub(crate) struct Owner {
    pub(crate) drop: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(crate) user_data: *mut c_void,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // Safety: by contract callable with this user data; nothing uses it after this.
            unsafe { drop(self.user_data) };
        }
    }
}

/// The caller's function.
struct Source {
    ask: unsafe extern "C" fn(*mut c_void, *mut tw_key) -> tw_status,
    owner: Owner,
}

// Safety: by contract both functions may be called on any thread, also at the same time.
unsafe impl Send for Source {}
// Safety: as above.
unsafe impl Sync for Source {}

impl Source {
    fn key(&self) -> Result<String> {
        let key = tw_key {
            mark: Mark::default(),
            text: Mutex::default(),
        };
        let place = (&raw const key).cast_mut();
        // Safety: by contract callable; the key outlives the call.
        let status = unsafe { (self.ask)(self.owner.user_data, place) };
        let text = key.text.lock().unwrap_or_else(PoisonError::into_inner);
        match (status, text.clone()) {
            (TW_OK, Some(text)) => Ok(text),
            (TW_OK, None) => {
                let message = "the callback for the credential set none";
                Err(Error::new(Kind::Auth, message))
            }
            (status, _) => {
                let kind = kind_of(status);
                let named = kind.map_or_else(|| status.to_string(), |kind| kind.name().to_owned());
                let message = format!("the callback for the credential returned {named}");
                Err(Error::new(kind.unwrap_or(Kind::Auth), message))
            }
        }
    }
}

/// A credential that does not last, such as an IAM token: the callback is asked before each dial, also
/// when a session changes its link, so let it keep a token as long as it is good. It runs on a thread
/// of its own, for several sessions at the same time, may block, and has the time of
/// `connect_timeout_ms`. It counts as a callback: a call that would wait fails in it. It belongs to
/// the configuration: one that is slow may outlast its session, and tw_runtime_shutdown() waits for it.
///
/// @param config     the configuration
/// @param ask        the callback
/// @param user_data  passed to both functions
/// @param drop       called once when nothing will ask any more: the configuration and all sessions
///                   opened with it are gone, or this call failed; may be NULL
/// @param err        receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_config_set_key_callback(
    config: *mut tw_config,
    ask: tw_key_callback,
    user_data: *mut c_void,
    drop: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_config_set_key_callback", err, || {
        let owner = Owner { drop, user_data };
        let ask = ask.ok_or_else(|| Error::new(Kind::Argument, "`ask` is NULL"))?;
        let source = Source { ask, owner };
        handle::borrow(config)?.ask_for_key(move || source.key());
        Ok(())
    })
}

/// Puts the credential, without control characters, into its place; it is copied. Only in the
/// callback that was given the key.
///
/// @param key   what the callback was given
/// @param text  the credential
/// @param len   its bytes, or TW_NTS
/// @param err   receives the error, may be NULL
/// @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
///
/// Thread-safe: yes. In a callback: yes. Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tw_key_set(
    key: *mut tw_key,
    text: *const c_char,
    len: usize,
    err: *mut *mut tw_error,
) -> tw_status {
    guard::done("tw_key_set", err, || {
        let key = handle::borrow(key)?;
        let text = text::of_one_line(text::input(text, len, "text")?, "text")?.to_owned();
        *key.text.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        Ok(())
    })
}
