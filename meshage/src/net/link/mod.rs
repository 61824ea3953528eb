//! The two tasks that move the bytes of a link, and what they know of its path.
//!
//! ```text
//!  ReadHalf ──► reader ──► data plane, driver
//!  Outbound ──► writer ──► WriteHalf
//! ```
//!
//! A link is closed by its [`Phase`](reader::Phase), which the driver sets and the reader observes,
//! and by its outbound queue, which ends the writer once it is closed and empty.

mod pacing;
pub(super) mod reader;
mod share;
pub(super) mod signs_of_life;
pub(super) mod writer;
