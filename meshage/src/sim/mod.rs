//! The simulator: the real control and data planes over a simulated network, in virtual time.
//!
//! It owns the world around the nodes, and no part of a node: what runs here is
//! [`crate::protocol::router::Router`] and [`crate::forward::plane::Plane`], unchanged, fed by a
//! driver that does what the one over sockets does. It may not touch a socket, a clock or any
//! rng but its seed's, and one seed gives one history, to the byte.
//!
//! ```text
//!   run ── chaos: faults, traffic ──► world: clock, heap ──► drive ──► Router · Plane
//!    │                                   │                     │
//!    └── checker ◄── history, tables ◄────┘                     └── connections over the network
//! ```
//!
//! | file | what |
//! |---|---|
//! | `world`, `action` | hosts, time; what a test does to a world |
//! | `driver` | a node's driver: the drain loop, timers, datagrams |
//! | `socket`, `frames` | connections made and closed; what is read from them and written |
//! | `network`, `connection` | paths and faults; one connection's two pipes |
//! | `faults` | kill, power off, stop, leave, and back |
//! | `history`, `checker` | what was sent and arrived; what has to hold |
//! | `chaos`, `run`, `report` | plans from seeds, whole runs, their figures |
//! | `targets` | the figures that the mesh is to reach, at full size |

mod application;
mod chaos;
mod checker;
mod connection;
mod driver;
mod event;
mod faults;
mod frames;
pub mod history;
pub mod network;
mod node;
mod report;
mod rng;
mod run;
mod simulation;
mod socket;
mod targets;
mod trace_hash;

pub use application::SendOptions;
pub use node::{HostState, NodeSpec};
pub use report::{Histogram, SimCounters, Summary, TrafficCounters};
pub use rng::SimRng;
pub use run::{
    Campaign, CampaignResult, DEGREE, InvariantViolation, SimOptions, run_many, run_one,
    two_islands,
};
pub use simulation::Sim;
pub use targets::{Target, measure};
pub use trace_hash::TraceHash;
