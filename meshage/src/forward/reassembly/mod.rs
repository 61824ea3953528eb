//! Reassembly: large bodies are built from their chunks.
//!
//! Memory is never allocated from a length that a header claims. It grows with the bytes that have
//! arrived. When all of it is in use, the source that uses most loses a body to one that uses less:
//! every source gets a fair share, and sources need not be counted.
//!
//! ```text
//!  add: a chunk that was read ──copied──►  partial body ◄──lend── a chunk that is being read:
//!                                                       ─────►    into its place, then settle
//! ```
//!
//! A body's buffer is lent for a single read of a socket, one that does not wait. Chunks of the
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
