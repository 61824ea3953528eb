//! What has to hold in every world, one file per question. A broken one panics with its number.
//!
//! | | invariant | where |
//! |---|---|---|
//! | S1 | every segment in a pipe has one arrival scheduled or is held | `driver` |
//! | S2 | no message is delivered twice to one incarnation of a node | `history` |
//! | S3 | what arrives is what was sent, to whom it was sent | `history` |
//! | S4 | Delivered means in the inbox; a certain failure means never in any inbox | `honesty` |
//! | S5 | messages of one channel arrive in the order they were sent | `history` |
//! | S6 | every send ends by its deadline, naming each recipient once | `history`, `honesty` |
//! | S7 | once faults stop, one true table everywhere: shortest, loop-free routes, one link a pair | `tables` |
//! | S8 | no node takes another's bytes for a breach of the protocol | `driver` |
//! | S9 | no router sends over a link that is gone, no route leads over one | `driver`, `node` |
//! | S10 | no queue grows beyond its bound, and all are empty once nothing is under way | `rest` |
//! | S11 | no timer and no two parts keep a node busy for ever | `driver` |
//! | S12 | events tell what tables say | `driver`, `tables` |
//! | S13 | a broadcast on a mesh at rest crosses one link fewer than there are nodes | `probe` |
//! | S14 | no node keeps more links than it may | `tables` |
//!
//! A router's own invariants ([`crate::protocol::router::Router::check`]) are asked for besides.

mod node;
mod outcomes;
mod probe;
mod quiescence;
mod tables;
