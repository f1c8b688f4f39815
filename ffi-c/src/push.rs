//! Events that go to the functions of the caller.

use std::ffi::c_void;
use std::mem::offset_of;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use talkwire_core::runtime::dispatch::{Delivery, Handler};
use talkwire_core::{End, Error, Event, Kind, Result};

use crate::end::tw_end;
use crate::event::tw_event;
use crate::session::tw_session;

/// Where the events of a session go. Begin with TW_CALLBACKS_INIT; every function may be NULL.
///
/// Calls come one at a time, on a thread of the runtime, and must return soon: other sessions wait.
/// They must not throw or jump out.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct tw_callbacks {
    /// Bytes of this struct, as the caller knows it; set by TW_CALLBACKS_INIT.
    pub struct_size: usize,
    /// An event. It belongs to the library: tw_event_retain() keeps it beyond the call.
    pub on_event: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            session: *mut tw_session,
            event: *const tw_event,
        ),
    >,
    /// The end; the last call for this session. It belongs to the library: tw_end_retain() keeps it.
    pub on_closed: Option<
        unsafe extern "C" fn(user_data: *mut c_void, session: *mut tw_session, end: *const tw_end),
    >,
    /// Nothing will be called any more: free what user_data points to.
    pub drop: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    /// Passed to all three.
    pub user_data: *mut c_void,
    /// On which thread they are called, TW_DELIVERY_*.
    pub delivery: i32,
}

impl tw_callbacks {
    const NONE: Self = Self {
        struct_size: 0,
        on_event: None,
        on_closed: None,
        drop: None,
        user_data: std::ptr::null_mut(),
        delivery: TW_DELIVERY_PINNED,
    };
}

/// On a callback thread `tw-cb-N`, always the same one; the default.
pub const TW_DELIVERY_PINNED: i32 = 0;
/// On an I/O thread `tw-io-N`, which saves a change of threads. For callbacks that never wait: they hold
/// up every session of that thread. When the runtime is shut down or freed, what is left comes on one of
/// its threads or on the one that does so.
pub const TW_DELIVERY_DIRECT: i32 = 1;

/// Tells whoever waits that the callbacks of a session are over.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    is_reached: Mutex<bool>,
    changed: Condvar,
}

impl Silence {
    fn reach(&self) {
        *self
            .is_reached
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self, within: Duration) -> bool {
        let lock = self
            .is_reached
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(lock, within, |done| !*done);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The caller's user data, which is dropped exactly once however things go.
pub(crate) struct Owner {
    callbacks: tw_callbacks,
    pub(crate) delivery: Delivery,
    pub(crate) silence: Arc<Silence>,
}

// Safety: by contract the functions may be called on any thread, one at a time.
unsafe impl Send for Owner {}

impl Owner {
    /// Copies the caller's struct as far as this version knows it.
    pub(crate) fn new(callbacks: *const tw_callbacks) -> Result<Option<Self>> {
        if callbacks.is_null() {
            return Ok(None);
        }
        // Safety: not NULL; the size comes first, and tells whether the rest is there.
        let size = unsafe { (*callbacks).struct_size };
        if size < offset_of!(tw_callbacks, delivery) {
            let message = "the callbacks have no size: begin with TW_CALLBACKS_INIT";
            return Err(Error::new(Kind::Argument, message));
        }
        let mut known = tw_callbacks::NONE;
        // Safety: both are at least as long as this; what the caller does not know is zero.
        unsafe {
            let len = size.min(size_of::<tw_callbacks>());
            std::ptr::copy_nonoverlapping(callbacks.cast::<u8>(), (&raw mut known).cast(), len);
        }
        // From here on it is dropped whatever comes.
        let mut owner = Self {
            callbacks: known,
            delivery: Delivery::default(),
            silence: Arc::default(),
        };
        owner.delivery = match known.delivery {
            TW_DELIVERY_PINNED => Delivery::Pinned,
            TW_DELIVERY_DIRECT => Delivery::Direct,
            other => {
                let message = format!("`delivery` is TW_DELIVERY_PINNED or _DIRECT, not {other}");
                return Err(Error::new(Kind::Argument, message));
            }
        };
        Ok(Some(owner))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(drop) = self.callbacks.drop {
            // Safety: by contract callable with this user data; nothing is called after it.
            unsafe { drop(self.callbacks.user_data) };
        }
        self.silence.reach();
    }
}

/// Hands events to the caller's functions.
pub(crate) struct Push {
    pub(crate) owner: Owner,
    pub(crate) session: Arc<tw_session>,
}

impl Handler for Push {
    fn on_event(&mut self, event: &Event) {
        let Some(on_event) = self.owner.callbacks.on_event else {
            return;
        };
        let event = Arc::new(tw_event::new(event.clone()));
        let session = Arc::as_ptr(&self.session).cast_mut();
        // Safety: by contract callable; both objects outlive the call.
        unsafe { on_event(self.owner.callbacks.user_data, session, Arc::as_ptr(&event)) };
    }

    fn on_closed(&mut self, end: &End) {
        let Some(on_closed) = self.owner.callbacks.on_closed else {
            return;
        };
        let end = Arc::new(tw_end::new(end.clone()));
        let session = Arc::as_ptr(&self.session).cast_mut();
        // Safety: as above.
        unsafe { on_closed(self.owner.callbacks.user_data, session, Arc::as_ptr(&end)) };
    }
}
