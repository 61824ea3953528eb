//! The bytes on a link and in a datagram: framing, control frames, data frames, solicitations.
//!
//! This is the only module that uses bincode. Everything here is a pure function over bytes. Bytes
//! that do not decode are an error value, never a panic, and memory is never allocated from a
//! length that the peer claims. PROTOCOL.md describes every byte.

pub mod ack;
pub(crate) mod codec;
pub mod control;
pub mod data;
pub mod deframe;
mod error;
pub(crate) mod field_codec;
pub mod frame;
pub mod hello;
pub mod partial;
pub mod solicitation;
pub(crate) mod value;

pub use error::WireError;
