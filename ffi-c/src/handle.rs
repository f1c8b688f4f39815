//! Pointers that C holds: counted references, each with a mark that tells in debug builds whether it
//! is still alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use talkwire_core::{Error, Kind, Result};

const ALIVE: u32 = 0x7477_6c76;
const DEAD: u32 = 0x7477_6465;

/// The mark inside a handle. In release builds it is only written.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU32);

impl Default for Mark {
    fn default() -> Self {
        Self(AtomicU32::new(ALIVE))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.store(DEAD, Ordering::Release);
    }
}

impl Mark {
    /// The owner gave the handle back, although the library may still hold it.
    pub(crate) fn retire(&self) {
        self.0.store(DEAD, Ordering::Release);
    }

    fn check(&self, noun: &str) {
        if cfg!(debug_assertions) && self.0.load(Ordering::Acquire) != ALIVE {
            // The one place where the library writes to stderr: nobody is left to be told.
            eprintln!("talkwire: a freed {noun} was used");
            std::process::abort();
        }
    }
}

/// What C holds a pointer to.
pub(crate) trait Handle: Sized {
    /// For messages.
    const NOUN: &'static str;

    fn mark(&self) -> &Mark;
}

/// A new reference for C.
pub(crate) fn give<T: Handle>(value: T) -> *mut T {
    give_ref(Arc::new(value))
}

/// One more reference for C.
pub(crate) fn give_ref<T: Handle>(value: Arc<T>) -> *mut T {
    Arc::into_raw(value).cast_mut()
}

/// Looks at what C passed.
pub(crate) fn borrow<'a, T: Handle>(pointer: *const T) -> Result<&'a T> {
    peek(pointer).ok_or_else(|| Error::new(Kind::Argument, format!("the {} is NULL", T::NOUN)))
}

/// The same for a function that has no error to give.
pub(crate) fn peek<'a, T: Handle>(pointer: *const T) -> Option<&'a T> {
    // Safety: by contract the pointer is NULL or came from `give` and was not given back.
    let handle = unsafe { pointer.as_ref() }?;
    handle.mark().check(T::NOUN);
    Some(handle)
}

/// Takes one more reference. NULL stays NULL.
pub(crate) fn retain<T: Handle>(pointer: *const T) -> *mut T {
    if peek(pointer).is_some() {
        // Safety: as in `peek`; all handles are made by `give`.
        unsafe { Arc::increment_strong_count(pointer) };
    }
    pointer.cast_mut()
}

/// One more reference to what C holds, for the library itself.
pub(crate) fn keep<T: Handle>(handle: &T) -> Arc<T> {
    // Safety: all handles that can be borrowed are made by `give`, so they lie in an `Arc`.
    unsafe {
        Arc::increment_strong_count(handle);
        Arc::from_raw(handle)
    }
}

/// Takes back a reference that C had; `None` for NULL.
pub(crate) fn take<T: Handle>(pointer: *mut T) -> Option<Arc<T>> {
    peek(pointer)?;
    // Safety: as in `peek`, and by contract each reference is given back once.
    Some(unsafe { Arc::from_raw(pointer) })
}

/// Writes a result through an out-parameter that may not be NULL.
pub(crate) fn put<T>(out: *mut T, name: &str, value: impl FnOnce() -> Result<T>) -> Result<()> {
    if out.is_null() {
        return Err(Error::new(Kind::Argument, format!("`{name}` is NULL")));
    }
    let value = value()?;
    // Safety: not NULL, and by contract it points to room for a `T`.
    unsafe { out.write(value) };
    Ok(())
}

/// A struct of C that begins with its own size as a `usize`, and may grow at its end.
pub(crate) trait Grows: Copy {
    /// Its size when it came first: no caller knows a smaller one.
    const FIRST_SIZE: usize;
}

/// Fills a struct of the caller, as far as the caller knows it. It may not be NULL.
pub(crate) fn fill<T: Grows>(
    out: *mut T,
    name: &str,
    value: impl FnOnce(usize) -> T,
) -> Result<()> {
    // Safety: when it is not NULL, its size comes first by contract.
    let size = (!out.is_null()).then(|| unsafe { out.cast::<usize>().read() });
    let Some(size) = size.filter(|size| *size >= T::FIRST_SIZE) else {
        let message = format!("`{name}` is NULL or has no size: begin with its TW_*_INIT");
        return Err(Error::new(Kind::Argument, message));
    };
    let value = value(size);
    let len = size.min(size_of::<T>());
    // Safety: both are at least as long as this, and do not overlap.
    unsafe { std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), out.cast(), len) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Thing(Mark);

    impl Handle for Thing {
        const NOUN: &'static str = "thing";

        fn mark(&self) -> &Mark {
            &self.0
        }
    }

    #[test]
    fn every_reference_needs_one_release_and_null_is_harmless() {
        let thing = give(Thing::default());
        assert_eq!(retain(thing), thing);
        let first = take(thing).expect("a reference");
        assert_eq!(Arc::strong_count(&first), 2);
        drop(first);
        assert_eq!(Arc::strong_count(&take(thing).expect("another")), 1);
        let null: *mut Thing = std::ptr::null_mut();
        assert!(take(null).is_none() && retain(null).is_null());
        assert_eq!(borrow(null).err().map(|e| e.kind()), Some(Kind::Argument));
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Grown {
        struct_size: usize,
        old: u64,
        new: u64,
    }

    impl Grows for Grown {
        const FIRST_SIZE: usize = std::mem::offset_of!(Self, new);
    }

    #[test]
    fn a_struct_is_filled_as_far_as_its_caller_knows_it() {
        let filled = |struct_size| {
            let mut out = Grown {
                struct_size,
                old: 0,
                new: 7,
            };
            let value = |struct_size| Grown {
                struct_size,
                old: 1,
                new: 2,
            };
            fill(&raw mut out, "out", value).map(|()| (out.struct_size, out.old, out.new))
        };
        let first = Grown::FIRST_SIZE;
        assert_eq!(
            filled(first).ok(),
            Some((first, 1, 7)),
            "what it does not know"
        );
        assert_eq!(filled(size_of::<Grown>()).ok(), Some((24, 1, 2)));
        assert_eq!(filled(64).ok(), Some((64, 1, 2)), "of a later header");
        assert!(filled(first - 1).is_err());
    }

    #[test]
    fn an_output_is_not_touched_by_a_failure() {
        let mut value = 7;
        let failure = || Err(Error::new(Kind::Io, "no"));
        assert!(put(&raw mut value, "value", failure).is_err());
        assert_eq!(value, 7);
        assert!(put(std::ptr::null_mut(), "value", || Ok(1)).is_err());
    }
}
