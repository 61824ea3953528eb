//! The simulator: the real control and data planes over a simulated network, in virtual time.
//!
//! It owns the environment of the nodes, and no part of a node. It runs the unchanged
//! [`crate::protocol::router::Router`] and [`crate::forward::plane::Plane`], fed by a driver that
//! does the same as the driver over sockets. It must not use a socket, a clock or any randomness
//! except that of its seed. One seed always gives the same history, to the byte.
//!
//! ```text
//!   run ── chaos: faults, traffic ──► simulation: clock, event queue ──► driver ──► Router · Plane
//!    │                                   │                                │
//!    └── checker ◄── history, tables ◄───┘                                └── connections
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `simulation`, `event`, `application` | hosts, time, scheduled events; operations of tests |
//! | `driver` | a node's driver: the drain loop, timers, datagrams |
//! | `socket`, `frames` | connections that are made and closed; reading and writing them |
//! | `sealed` | closed hosts: keys, handshakes, sealed links and datagrams |
//! | `network`, `connection` | paths and faults; one connection's two pipes |
//! | `faults` | kill, power off, stop, leave, and recovery |
//! | `liar` | a node that forges frames in the names of others |
//! | `history`, `checker` | sends and deliveries; the invariants |
//! | `chaos`, `run`, `report` | plans from seeds, complete runs, their results |
//! | `planted` | seeds until a mistake that was planted in the core is found |
//! | `endings` | a missed announcement, and a name that is taken over, at the end of chaotic runs |
//! | `rotation` | an orderly rotation under load, at the end of each run of a closed mesh |
//! | `targets` | the performance targets of the mesh, at full size |

pub use crate::planted::Mistake;

mod application;
mod chaos;
mod checker;
mod connection;
mod driver;
mod endings;
mod event;
mod faults;
mod frames;
pub mod history;
mod liar;
pub mod network;
mod node;
mod planted;
mod report;
mod rng;
mod rotation;
mod run;
mod sealed;
mod simulation;
mod socket;
mod targets;
mod trace_hash;

pub use application::SendOptions;
pub use node::{HostState, NodeSpec};
pub use planted::{Finding, find, options_of};
pub use report::{Histogram, SimCounters, Summary, TrafficCounters};
pub use rng::SimRng;
pub use run::{
    Campaign, CampaignResult, DEGREE, InvariantViolation, Keys, SimOptions, run_many, run_one,
    two_islands,
};
pub use simulation::Sim;
pub use targets::{Scale, Target, measure};
pub use trace_hash::TraceHash;
