//! The control plane: who is there, who is linked to whom, which next hop leads where.
//!
//! A state machine without sockets, clock, locks, tasks or chance of its own. Whoever drives it (the
//! driver in `net`, the simulator in `sim`) does four things:
//!
//! ```text
//!                ┌────────────────────────────────────────────────────────────┐
//!  Input ───────►│ router: handle, handle_timeout      the only control flow  │──► Output
//!   LinkUp, Down │   │ asks and tells                                         │     Send, Close
//!   Control      │   ├─ adjacency   links and their stages                    │     Dial
//!   Heard        │   ├─ discovery   calls, beacons, answers, dials            │     Solicit
//!   Solicited    │   ├─ seeds       addresses to dial for ever                │     Install
//!   DialFailed   │   ├─ announce    when to announce one's own links          │     Event
//!   Command      │   ├─ flood       what two databases lack of each other     │     Reply
//!                │   ├─ lsdb        what every other node announced           │
//!                │   ├─ spf         when to compute the routes, and news      │
//!                │   └─ timer       one deadline for each reason to wake      │
//!                └────────────────────────────────────────────────────────────┘
//! ```
//!
//! 1. It gives every input to [`router::Router::handle`], with the time.
//! 2. It calls [`router::Router::handle_timeout`] when [`router::Router::poll_timeout`] says so.
//! 3. After either it drains [`router::Router::poll_output`] to `None`, in order.
//! 4. It never gives an input about a link after it drained a `Close` for it, or gave a `LinkDown`;
//!    should one slip through, it is ignored.
//!
//! # Invariants
//!
//! Checked by [`router::Router::check`], cited where they are asserted.
//!
//! - **C1** Each timer has one deadline, and the order of deadlines holds each timer once.
//! - **C2** A link's number is never used twice.
//! - **C3** There are at most [`crate::config::LINKS_MAX`] links.
//! - **C4** The database is bounded, and holds nothing that is said of this node.
//! - **C5** Whatever cannot be reached is on the list of what will be forgotten.
//! - **C6** Every route leads over a link that is full at this moment.
//! - **C7** What was announced is what the full links are, or an announcement is due.
//! - **C8** Who has fewer links than it wants, calls for more.
//! - **C9** The node that decides has one admitted link to each peer.
//! - **C10** A closed node has no links and waits for nothing.
//!
//! What a peer does wrong closes its link and is counted; it is never an error out of `handle`.

mod adjacency;
mod announce;
mod counters;
mod discovery;
mod flood;
#[cfg(test)]
mod harness;
pub mod io;
mod lsdb;
pub mod router;
mod seeds;
mod spf;
#[cfg(test)]
mod tests;
pub mod timer;
mod token_bucket;
