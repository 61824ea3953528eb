//! The control plane: which nodes exist, which links connect them, and which next hop leads to
//! each.
//!
//! It is a state machine without sockets, clock, locks, tasks or a random source of its own. A
//! driver (the one in `net`, or the simulator in `sim`) feeds it:
//!
//! ```text
//!                 ┌───────────────────────────────────────────────────────────┐
//!  Input ────────►│ router: handle, handle_timeout     the only control flow  │──► Output
//!   LinkUp, Down  │   │ queries and updates                                   │     Send, Close
//!   Control       │   ├─ adjacency   links and their stages                   │     Dial
//!   BytesReceived │   ├─ discovery   response dials, dials in progress        │     Solicit
//!   Solicited     │   ├─ backoff     when to send solicitations and beacons   │     Install
//!   DialFailed    │   ├─ seeds       addresses that are dialled until linked  │     Event
//!                 │   ├─ claims      the names of nodes that failed           │
//!   Command       │   ├─ announce    when this node announces its links       │     Reply
//!                 │   ├─ exchange    which announcements a new peer lacks     │
//!                 │   ├─ comparison  in what two databases differ             │
//!                 │   ├─ membership  tickets, revocations and signatures      │
//!                 │   ├─ lsdb        the announcements of all other nodes     │
//!                 │   ├─ spf         when to compute the routes, and events   │
//!                 │   └─ timer       one deadline for each reason to wake up  │
//!                 └───────────────────────────────────────────────────────────┘
//! ```
//!
//! 1. The driver passes every input to [`router::Router::handle`], with the time.
//! 2. It calls [`router::Router::handle_timeout`] at the time that [`router::Router::poll_timeout`]
//!    returns.
//! 3. After either call it drains [`router::Router::poll_output`] to `None`, in order.
//! 4. It passes no input about a link after it has drained a `Close` for that link or passed its
//!    `LinkDown`. The router ignores such an input.
//!
//! # Invariants
//!
//! [`router::Router::check`] checks them. Assertions cite them by number.
//!
//! - **C1** Each timer has at most one deadline, and the ordered set of deadlines contains each
//!   timer once.
//! - **C2** A link number is never used twice.
//! - **C3** There are at most [`crate::config::LINKS_MAX`] links.
//! - **C4** The database is bounded, and contains no announcement of this node.
//! - **C5** Every unreachable node is in the list of nodes that will expire.
//! - **C6** Every route leads over a link that is full now.
//! - **C7** The last announcement lists the full links, or an announcement is scheduled.
//! - **C8** A node that has fewer links than its degree sends solicitations.
//! - **C9** The deciding node has one admitted link to each peer.
//! - **C10** A closed node has no links and no timers.
//! - **C11** At level allowed or signed, every link comes with what its other end has proven, and the
//!   instance of a node belongs to its public key.
//!
//! If a peer violates the protocol, its link is closed and the violation is counted. `handle` never
//! returns an error for it.

mod adjacency;
mod announce;
mod backoff;
mod claims;
mod comparison;
mod counters;
mod dial_failures;
mod discovery;
mod exchange;
pub mod flooding;
mod intake;
pub mod io;
mod link_failures;
mod lsdb;
pub mod membership;
pub mod router;
mod seeds;
pub(crate) mod silence;
mod spf;
#[cfg(test)]
mod tests;
pub mod timer;
pub(crate) mod token_bucket;
pub mod wall_clock;
