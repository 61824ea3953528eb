//! The data plane: what happens to a message at this node.
//!
//! It owns the messages that the application sends, until each has an outcome; the messages that
//! pass through; and the messages that wait for the application. It uses no socket, no task and no
//! clock. It reads one immutable snapshot of the routes ([`fib::Fib`]) and never waits.
//!
//! ```text
//!  application ── send ──► delivery (a flow for each recipient) ──────────┐
//!                              ▲ acknowledgements, refusals               ▼
//!  reader ──► plane::receive ──┼── plan ── copies ──────────────────► outbound ──► writer
//!                              ▼
//!                     dedup ─► reassembly ─► inbox ──► application
//! ```
//!
//! Invariants, asserted in the code and checked by the simulator:
//! - F1 a receiver takes the messages of a channel in order, each at most once;
//! - F2 a message reported as [`crate::message::Outcome::Delivered`] was acknowledged by the
//!   recipient;
//! - F3 no copy of a message reported as certainly not delivered is in flight;
//! - F4 a send ends by its deadline, with one outcome for each recipient.

pub mod ack_batch;
pub mod buffer_pool;
pub mod dedup;
pub mod delivery;
pub mod fib;
pub mod inbox;
pub mod outbound;
pub mod plan;
pub mod plane;
pub mod read_buffer;
pub mod reassembly;
pub mod reverse_path;
pub mod transit;

#[cfg(test)]
mod tests;
