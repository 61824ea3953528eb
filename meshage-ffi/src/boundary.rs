//! The boundary that every function passes on entry and on return.
//!
//! Catches panics and stores the calling thread's last error. Does not depend on nodes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Mutex;

use crate::callback::lock;
use crate::failure::Failure;
use crate::status::meshage_status::{self, MESHAGE_ERR_PANIC, MESHAGE_OK};

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
    /// Identifies the thread. It has no destructor, so it outlives the other thread-locals.
    static MARK: Cell<u8> = const { Cell::new(0) };
}

/// The last errors of threads that are ending and whose thread-locals are destroyed. A later thread
/// with the same mark takes the place of an ended one, so there are never more of them than threads
/// that lived at the same time.
static LATE_ERRORS: Mutex<BTreeMap<usize, CString>> = Mutex::new(BTreeMap::new());

/// A number that identifies the calling thread among those that live.
fn thread_mark() -> usize {
    MARK.with(|mark| ptr::from_ref(mark).addr())
}

fn set_last_error(text: &str) {
    let set = LAST_ERROR.try_with(|last| {
        let mut last = last.borrow_mut();
        if !text.is_empty() || !last.is_empty() {
            *last = c_string(text);
        }
    });
    if set.is_err() {
        lock(&LATE_ERRORS).insert(thread_mark(), c_string(text));
    }
}

/// Calls `read` with the calling thread's last error.
pub(crate) fn last_error<T>(read: impl FnOnce(&CString) -> T) -> Option<T> {
    let mut read = Some(read);
    let mut read_once = |text: &CString| read.take().map(|read| read(text));
    match LAST_ERROR.try_with(|last| read_once(&last.borrow())) {
        Ok(result) => result,
        Err(_) => lock(&LATE_ERRORS).get(&thread_mark()).and_then(read_once),
    }
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
