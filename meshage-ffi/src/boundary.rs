//! The edge itself: what every function passes through on its way in and out.
//!
//! Owns the calling thread's last error and the panic boundary. Knows nothing of nodes.

use std::cell::RefCell;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::status::meshage_status;

/// Why a call did not succeed: a status and a sentence.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: meshage_status,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(status: meshage_status, text: impl ToString) -> Self {
        Self { status, text: text.to_string() }
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

fn remember(text: &str) {
    // Unreachable during the thread's end, where nobody asks any more.
    let _ = LAST_ERROR.try_with(|last| {
        let mut last = last.borrow_mut();
        if !text.is_empty() || !last.is_empty() {
            *last = c_string(text);
        }
    });
}

/// Lets `read` see the calling thread's last error.
pub(crate) fn last_error<T>(read: impl FnOnce(&CString) -> T) -> Option<T> {
    LAST_ERROR.try_with(|last| read(&last.borrow())).ok()
}

/// A C string; a NUL within, which no text of ours has, ends it.
pub(crate) fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// Runs a call that answers with a status, and remembers its error for this thread.
pub(crate) fn status(call: impl FnOnce() -> Result<(), Failure>) -> meshage_status {
    match guarded(call) {
        Ok(()) => {
            remember("");
            meshage_status::MESHAGE_OK
        }
        Err(failure) => {
            remember(&failure.text);
            failure.status
        }
    }
}

/// Runs a call that answers with a new object, NULL where there is none.
pub(crate) fn create<T>(call: impl FnOnce() -> Result<T, Failure>) -> *mut T {
    match guarded(call) {
        Ok(object) => {
            remember("");
            Box::into_raw(Box::new(object))
        }
        Err(failure) => {
            remember(&failure.text);
            ptr::null_mut()
        }
    }
}

/// Runs a call that cannot fail, such as an accessor; it leaves the last error alone.
pub(crate) fn value<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

/// Frees an object that [`create`] or an out-parameter handed out; NULL is none.
///
/// # Safety
/// `object` is NULL or came from [`Box::into_raw`], and nobody uses it any more.
pub(crate) unsafe fn free<T>(object: *mut T) {
    if object.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    value((), || drop(unsafe { Box::from_raw(object) }));
}

fn guarded<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no text");
        Err(Failure::new(
            meshage_status::MESHAGE_ERR_PANIC,
            format!("a bug of the library: {what}"),
        ))
    })
}
