//! The boundary that every function passes on entry and on return.
//!
//! Catches panics and stores the calling thread's last error. Does not depend on nodes.

use std::cell::RefCell;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::failure::Failure;
use crate::status::meshage_status::{self, MESHAGE_ERR_PANIC, MESHAGE_OK};

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

fn set_last_error(text: &str) {
    // The value is not accessible while the thread ends; nothing can read it any more then.
    let _ = LAST_ERROR.try_with(|last| {
        let mut last = last.borrow_mut();
        if !text.is_empty() || !last.is_empty() {
            *last = c_string(text);
        }
    });
}

/// Calls `read` with the calling thread's last error.
pub(crate) fn last_error<T>(read: impl FnOnce(&CString) -> T) -> Option<T> {
    LAST_ERROR.try_with(|last| read(&last.borrow())).ok()
}

/// A C string. The library's texts contain no NUL; a text that did would end there.
pub(crate) fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// Runs a call that returns a status, and stores its error for this thread.
pub(crate) fn status(call: impl FnOnce() -> Result<(), Failure>) -> meshage_status {
    match catch_panic(call) {
        Ok(()) => {
            set_last_error("");
            MESHAGE_OK
        }
        Err(failure) => {
            set_last_error(&failure.text);
            failure.status
        }
    }
}

/// Runs a call that returns a new object, or NULL if it fails; stores its error for this thread.
pub(crate) fn create<T>(call: impl FnOnce() -> Result<T, Failure>) -> *mut T {
    match catch_panic(call) {
        Ok(object) => {
            set_last_error("");
            Box::into_raw(Box::new(object))
        }
        Err(failure) => {
            set_last_error(&failure.text);
            ptr::null_mut()
        }
    }
}

/// Runs a call that cannot fail; leaves the last error unchanged. `on_panic` is the result if it
/// panics.
pub(crate) fn value<T>(on_panic: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(on_panic)
}

/// Runs an accessor; `default` is its result for NULL. Leaves the last error unchanged.
pub(crate) fn read<'a, O, T: Copy>(
    object: Option<&'a O>,
    default: T,
    accessor: impl FnOnce(&'a O) -> T,
) -> T {
    value(default, || object.map_or(default, accessor))
}

/// Frees an object that [`create`] or an out-parameter returned. Does nothing for NULL.
///
/// # Safety
/// `object` is NULL or came from [`Box::into_raw`], and is not used any more.
pub(crate) unsafe fn free<T>(object: *mut T) {
    if object.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    value((), || drop(unsafe { Box::from_raw(object) }));
}

fn catch_panic<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no text");
        Err(Failure::new(MESHAGE_ERR_PANIC, format!("a bug in the library: {what}")))
    })
}
