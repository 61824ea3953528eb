//! The two tasks that move the bytes of a link.
//!
//! ```text
//!  ReadHalf ──► reader ──► data plane, driver
//!  Outbound ──► writer ──► WriteHalf
//! ```
//!
//! A link is closed by its [`Phase`](reader::Phase), which the driver sets and the reader observes,
//! and by its outbound queue, which ends the writer once it is closed and empty.

pub(super) mod reader;
pub(super) mod writer;
