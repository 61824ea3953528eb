//! Mesh message passing: programs find each other, link up, and pass acknowledged messages by name.
//!
//! A **mesh** is a set of nodes, each linked to a few others over TCP. Nodes of one namespace find
//! each other by UDP broadcast, or are told an address. Every node knows the whole topology and
//! passes on what is for others, so a message reaches any node by its name, however many hops away,
//! and its sender is told what became of it at each recipient. Nothing is durable: a message lives
//! in memory and nowhere else.
//!
//! ```
//! use meshage::{Config, Node, NodeName};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two nodes of one program; as well two programs. A port of 0 takes any that is free.
//! let left = Node::start(Config::builder("left").bind("127.0.0.1").port(0).build()?).await?;
//! let right = Node::start(Config::builder("right").bind("127.0.0.1").port(0).build()?).await?;
//! right.dial(&format!("127.0.0.1:{}", left.port())).await?;
//!
//! let report = left.set([NodeName::new("right")?], "hello").await?;
//! assert!(report.all_delivered());
//!
//! let message = right.recv().await?;
//! assert_eq!(message.text()?, "hello");
//! assert_eq!(message.source, *left.name());
//! # Ok(())
//! # }
//! ```
//!
//! Nodes that are to find each other want a degree instead, the number of links that they look
//! for: `Config::builder("left").namespace("demo").degree(3)`.
//!
//! # Where things are
//! - [`Node`]: start one, send, receive, watch the topology. [`blocking`] is the same without a
//!   runtime.
//! - [`Config`]: all there is to set, with the defaults.
//! - [`Outgoing`], [`Message`], [`Report`] and [`Outcome`]: what is sent, received and told.
//! - [`Mesh`]: the topology. [`Event`]: what changes in it. [`Stats`]: what was counted.
//! - [`error`]: one error type for each operation.
//! - [`protocol`], [`forward`] and [`wire`]: the control plane, the data plane and the bytes on the
//!   wire, without a socket. They are public for tools and tests; programs do not need them.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test may begin at any time"))]

mod address;
#[cfg(feature = "net")]
pub mod blocking;
pub mod config;
pub mod error;
pub mod event;
pub mod forward;
pub mod message;
pub mod name;
#[cfg(feature = "net")]
mod net;
#[cfg(feature = "net")]
pub mod node;
pub mod protocol;
pub mod route;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stats;
pub mod topology;
pub mod wire;

pub use config::{
    Config, ConfigBuilder, DEFAULT_MSA_TIMEOUT, DEFAULT_PORT, DEFAULT_TIMEOUT, MAX_MESSAGE,
    RECEIVE_BUFFER, SOLICIT_LIMIT, SOLICIT_RATIO,
};
pub use error::{
    BodyError, ConfigError, DialError, HangupError, RecvError, RefuseReason, SendError, StartError,
    WaitError,
};
pub use event::Event;
pub use message::{Command, Encoding, Message, Outcome, Outgoing, Recipients, Report};
pub use name::{Instance, LOLLIPOP_LENGTH, MessageId, NameError, Namespace, NodeName};
#[cfg(feature = "net")]
pub use node::{Awaited, Events, Messages, Node, Pending};
pub use stats::Stats;
pub use topology::Mesh;
