//! Reassembly: large bodies are built from their chunks.
//!
//! Memory is never allocated from a length that a header claims. It grows with the bytes that have
//! arrived. When all memory is in use, a body of the source that uses most is dropped in favour of
//! a source that uses less. Every source therefore gets a fair share, and sources need not be
//! counted.
//!
//! ```text
//!  add: a chunk that was read ──copied──►  partial body ◄──lend── a chunk that is being read:
//!                                                       ─────►    into its place, then settle
//! ```
//!
//! A body's buffer is lent for a single read that does not wait for the socket. Chunks of the
//! same body that arrive over another link meanwhile are set aside until it is returned.

mod assemble;
mod lend;
mod partial_bodies;

pub use self::assemble::{
    ChunkOutcome, POOL_IDLE_MAX, PROGRESS_BYTES, REASSEMBLY_BYTES_MAX, REASSEMBLY_IDLE_MAX,
    Reassembly,
};
pub use self::lend::LentBuffer;
pub use self::partial_bodies::BodyKey;
