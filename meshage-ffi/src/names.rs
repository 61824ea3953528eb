//! A list of names: of nodes, or the ids of keys.

use std::ffi::{CString, c_char};
use std::fmt::Display;
use std::ptr;

use crate::boundary::{c_string, free, read};

/// A list of node names, or of key ids. Immutable; any number of threads may read it.
pub struct meshage_names {
    names: Vec<CString>,
}

impl meshage_names {
    pub(crate) fn new_raw(names: &[impl Display]) -> *mut Self {
        Box::into_raw(Box::new(Self { names: c_strings(names) }))
    }
}

/// Converts names or key ids to C strings.
pub(crate) fn c_strings(names: &[impl Display]) -> Vec<CString> {
    names.iter().map(|name| c_string(&name.to_string())).collect()
}

/// The string at index `i`; NULL if `i` is past the end.
pub(crate) fn nth(strings: &[CString], i: usize) -> *const c_char {
    strings.get(i).map_or(ptr::null(), |string| string.as_ptr())
}

/// Returns the number of names; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_names_count(names: Option<&meshage_names>) -> usize {
    read(names, 0, |names| names.names.len())
}

/// Returns name `i`, counted from 0; NULL if `i` is past the end or for NULL. Borrowed: valid as
/// long as the list.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_names_get(names: Option<&meshage_names>, i: usize) -> *const c_char {
    read(names, ptr::null(), |names| nth(&names.names, i))
}

/// Frees a list of names. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_names_free(names: *mut meshage_names) {
    // SAFETY: the caller's promise.
    unsafe { free(names) }
}
