//! The data plane: what happens to a message at this node.
//!
//! It owns the messages: those that the application sends, until each has an outcome; those that
//! pass through; those that wait for the application. It knows no socket, no task and no clock; it
//! reads one immutable snapshot of the routes ([`plane::Fib`]) and never waits for anything.
//!
//! ```text
//!  application ── send ──► delivery (flow: one channel after the other) ──┐
//!                              ▲ acknowledgements, refusals            ▼
//!  reader ──► plane::receive ──┼── plan ── copies ────────────► outbound ──► writer
//!                              ▼
//!                   dedup ─► chunk ─► inbox ──► application
//! ```
//!
//! Invariants, asserted where they are kept and checked by the simulator:
//! - F1 a receiver takes the messages of a channel in the order of their numbers, each at most once;
//! - F2 an outcome of [`crate::message::Outcome::Delivered`] was acknowledged by the recipient;
//! - F3 an outcome that is a certain failure belongs to a message of which no copy is under way;
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

#[cfg(test)]
mod tests;
