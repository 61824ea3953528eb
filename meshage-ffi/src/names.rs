//! A list of names.

use std::ffi::{CString, c_char};
use std::ptr;

use meshage::name::NodeName;

use crate::boundary::{c_string, free, value};

/// A list of node names. It does not change; any thread may read it.
pub struct meshage_names {
    names: Vec<CString>,
}

impl meshage_names {
    pub(crate) fn publish(names: &[NodeName]) -> *mut Self {
        Box::into_raw(Box::new(Self { names: c_strings(names) }))
    }
}

/// Names as C strings.
pub(crate) fn c_strings(names: &[NodeName]) -> Vec<CString> {
    names.iter().map(|name| c_string(name.as_str())).collect()
}

/// The `i`th of some C strings, NULL past the end.
pub(crate) fn nth(strings: &[CString], i: usize) -> *const c_char {
    strings.get(i).map_or(ptr::null(), |string| string.as_ptr())
}

/// How many names there are; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_names_count(names: Option<&meshage_names>) -> usize {
    value(0, || names.map_or(0, |names| names.names.len()))
}

/// The `i`th name; NULL past the end or for NULL. Borrowed: lives as long as the list.
#[unsafe(no_mangle)]
pub extern "C" fn meshage_names_get(names: Option<&meshage_names>, i: usize) -> *const c_char {
    value(ptr::null(), || names.map_or(ptr::null(), |names| nth(&names.names, i)))
}

/// Frees a list. NULL is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn meshage_names_free(names: *mut meshage_names) {
    // SAFETY: the caller's promise.
    unsafe { free(names) }
}
