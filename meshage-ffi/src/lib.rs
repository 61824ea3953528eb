//! The C API of libmeshage: opaque handles over the blocking API of the core.
//!
//! This crate owns the boundary between C and Rust: pointers, strings, statuses, callbacks. It has
//! no logic of its own: a function converts its arguments, makes one call of the core, and converts
//! the result. `cargo xtask header` generates `include/meshage.h` from this crate; the
//! documentation of the functions here is the documentation in the header.
//!
//! ```text
//!   C program ──► library · config · node · keys · send · message · receive · subscribe (extern "C")
//!                     │ convert: checks arguments  │ boundary: catches panics, last error
//!                     ▼
//!                 handle: reference-counted, so that a node may be freed while calls wait in it
//!                     ▼
//!                 meshage::blocking::Node ──► dispatch ──► the application's callbacks
//! ```
//!
//! Every function obeys these rules:
//!
//! 1. It sets its out-parameters to NULL or 0 before it does anything else.
//! 2. If a required pointer is NULL, it returns `MESHAGE_ERR_NULL`; an accessor returns NULL or 0.
//! 3. A panic does not cross the boundary; it becomes `MESHAGE_ERR_PANIC`.
//! 4. No lock of this crate is held while a callback runs, and no callback runs on an I/O thread.
//! 5. In a forked child, an inherited node is never used, and is freed only as far as nothing of it
//!    is locked: a lock that another thread of the parent held at the fork is never released there.
//! 6. A call works on a thread whose thread-locals are destroyed, as at the end of the program.
#![expect(unsafe_code, reason = "the C ABI: raw pointers come in and go out here, and only here")]
#![expect(non_camel_case_types, reason = "the types have the names of the C contract")]
#![expect(
    clippy::missing_safety_doc,
    reason = "the documentation is the C header's, which states the caller's duties for C"
)]

mod boundary;
mod callbacks;
mod convert;
mod dispatch;
mod failure;
mod handle;
mod system;

// The modules from here on are in the order of the header.
pub mod constants;

pub mod status;

pub mod callback;

pub mod library;

pub mod log;

pub mod config;

pub mod node;

pub mod keys;

pub mod send;

pub mod report;

pub mod message;

pub mod receive;

pub mod subscribe;

pub mod names;

pub mod mesh;

pub mod event;

pub mod stats;
