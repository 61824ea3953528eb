//! The bytes on a link and in a datagram: framing, control frames, data frames, solicitations.
//!
//! This is the only module that knows bincode. Everything here is a pure function over bytes; what
//! does not decode is an error value, never a panic, and nothing is allocated from a length that the
//! other end merely claims. PROTOCOL.md describes every byte.

pub mod ack;
pub(crate) mod codec;
pub mod control;
pub mod data;
pub mod deframe;
pub(crate) mod field_codec;
pub mod frame;
pub mod hello;
pub mod partial;
pub mod solicitation;
pub(crate) mod value;

use std::fmt;

/// Bytes that are not what the protocol says. Whoever sent them is not trusted to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError(pub String);

impl WireError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WireError {}
