//! The invariants of every simulation, one file per subject. A violation panics with the
//! invariant's number.
//!
//! | | invariant | where |
//! |---|---|---|
//! | S1 | every segment in a pipe either has one arrival scheduled or is held | `socket` |
//! | S2 | no message is delivered twice to one incarnation of a node | `history` |
//! | S3 | a delivered message equals a sent message and reaches only its recipients | `history` |
//! | S4 | a message reported Delivered is in the inbox; one with a certain failure is in no inbox | `outcomes` |
//! | S5 | messages of one channel arrive in the order in which they were sent | `history` |
//! | S6 | every send completes by its deadline, and its report names each recipient once | `history`, `outcomes` |
//! | S7 | after faults stop, all tables agree: shortest loop-free routes, one link per pair; no message passes a node twice | `tables`, `history`, `endings` |
//! | S8 | no node treats the bytes of another node as a protocol violation | `frames`, `socket` |
//! | S9 | no router sends over a closed link, no route uses one, and no link stays silent | `driver`, `node` |
//! | S10 | no queue exceeds its limit, and all are empty once nothing is in flight | `driver`, `quiescence` |
//! | S11 | no timer and no two parts keep a node busy forever | `driver` |
//! | S12 | events agree with the tables | `driver`, `tables` |
//! | S13 | a broadcast in a mesh at rest crosses one link fewer than there are nodes | `probe` |
//! | S14 | no node keeps more links than its limit | `tables` |
//! | S15 | a node that has received a message can answer its sender | `node` |
//! | S16 | a name has one holder, and the node that took it over keeps it | `tables`, `endings` |
//! | S17 | without a liar no frame is dropped as forged; after a liar stops, every message arrives | `forgery`, `probe` |
//! | S18 | no message crosses between meshes of different keys, no node denies one of its own mesh, no datagram is accepted twice | `keys`, `sealed` |
//! | S19 | no link is under a removed key after 2 s; an orderly rotation loses and delays nothing, and a node that gets the new key joins within 5 s | `keys`, `rotation` |
//! | S20 | nothing of a sealed name, namespace or body can be read in what travels | `keys` |
//!
//! A router's own invariants ([`crate::protocol::router::Router::check`]) are checked as well.

mod forgery;
mod keys;
mod node;
mod outcomes;
mod probe;
mod quiescence;
mod tables;
