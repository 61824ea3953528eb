//! The C API of libmeshage: opaque handles over the blocking facade of the core.
//!
//! This crate owns the edge between C and Rust: pointers, strings, statuses, callbacks. It decides
//! nothing: a function here converts its arguments, makes one call of the facade, and converts
//! the answer. `include/meshage.h` is generated from this crate by `cargo xtask header`; the
//! documentation of a function here is what a C programmer reads there.
//!
//! ```text
//!   C program ──► library · config · node · send · message · receive · snapshot     (extern "C")
//!                     │ boundary: no panic crosses, NULL is checked, the thread's last error
//!                     ▼
//!                 handle (counted, so that a node may be freed while others wait in it)
//!                     ▼
//!                 meshage::blocking::Node ──► dispatch ──► the program's callbacks
//! ```
//!
//! What every function keeps:
//!
//! 1. It writes its out-parameters to NULL or 0 before it does anything else.
//! 2. A required pointer that is NULL is `MESHAGE_ERR_NULL`; an
//!    accessor answers NULL or 0 for it.
//! 3. A panic stops at the edge and becomes `MESHAGE_ERR_PANIC`.
//! 4. No lock of this crate is held while a callback runs, and no callback runs on a thread that
//!    moves bytes.
//! 5. In a forked child an inherited node is never touched: its locks may be held for ever there.
#![expect(unsafe_code, reason = "the C ABI: raw pointers come in and go out here, and only here")]
#![expect(non_camel_case_types, reason = "the types bear the names of the C contract")]
#![expect(
    clippy::missing_safety_doc,
    reason = "each documentation text is C's: it says what the caller owes, in C's words"
)]

mod boundary;
mod convert;
mod dispatch;
mod handle;

// From here on in the order of the header.
pub mod constants;

pub mod status;
mod system;

pub mod callback;

pub mod library;

pub mod log;

pub mod config;

pub mod node;

pub mod send;

pub mod report;

pub mod message;

pub mod receive;

pub mod names;

pub mod mesh;

pub mod event;

pub mod stats;
