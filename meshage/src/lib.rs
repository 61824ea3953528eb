//! Mesh message passing: programs find each other, link up, and send acknowledged messages by name.
//!
//! A **mesh** is a set of nodes, each linked to a few others over TCP. Nodes of one namespace find
//! each other by UDP broadcast, or dial an address. Every node knows the whole topology and
//! forwards messages for other nodes, so a message reaches any node by its name, however many hops
//! away. The sender gets a report with the outcome for each recipient. Nothing is durable: messages
//! exist only in memory.
//!
//! ```
//! use meshage::{Config, Node, NodeName};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two nodes in one program; they could be in two. Port 0 means any free port.
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
//! To let nodes find each other, set a degree instead, the number of links that they look for:
//! `Config::builder("left").namespace("demo").degree(3)`.
//!
//! # Closed meshes
//! Without a key, everyone who reaches the port of a node can join. A key closes the mesh: only nodes
//! that have it can link, and what they send is encrypted.
//!
//! ```
//! use meshage::{Config, DialError, Key, Node, generate_key};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = Key::from_bytes(&generate_key()?); // or .key_file("mesh.key") below
//! let builder = |name| Config::builder(name).bind("127.0.0.1").port(0);
//! let left = Node::start(builder("left").key(key.clone()).build()?).await?;
//! let right = Node::start(builder("right").key(key).build()?).await?;
//! let stranger = Node::start(builder("stranger").build()?).await?;
//!
//! let address = format!("127.0.0.1:{}", left.port());
//! right.dial(&address).await?;
//! assert!(matches!(stranger.dial(&address).await, Err(DialError::Auth(_))));
//! # Ok(())
//! # }
//! ```
//!
//! [`Node::keys`] changes the keys while the node runs. [`ConfigBuilder::allow`] and
//! [`ConfigBuilder::root`] bind names to the public keys of nodes.
//!
//! # Overview
//! - [`Node`]: starts a node, sends, receives, reports the topology. [`blocking`] has the same API
//!   for programs without an asynchronous runtime.
//! - [`Config`]: all options, with their defaults.
//! - [`Outgoing`], [`Message`], [`Report`] and [`Outcome`]: sent messages, received messages, and
//!   the results of sends.
//! - [`Key`], [`Keys`], [`AuthError`]: closed meshes.
//! - [`Mesh`]: the topology. [`Event`]: its changes. [`Stats`]: counters.
//! - [`error`]: one error type for each operation.
//! - [`protocol`], [`forward`] and [`wire`]: the control plane, the data plane and the bytes on the
//!   wire, without sockets. They are public for tools and tests; applications do not need them.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may read the clock"))]

#[macro_use]
mod planted;

mod address;
#[cfg(feature = "net")]
pub mod blocking;
pub mod config;
mod encoding;
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
pub mod secure;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stats;
pub mod topology;
pub mod wire;

pub use config::{
    Config, ConfigBuilder, DEFAULT_MSA_TIMEOUT, DEFAULT_PORT, DEFAULT_TIMEOUT, MAX_MESSAGE,
    RECEIVE_BUFFER, SOLICIT_LIMIT, SOLICIT_RATIO,
};
pub use encoding::Encoding;
pub use error::{
    BodyError, ConfigError, DialError, HangupError, RecvError, RefuseReason, SendError, StartError,
    WaitError,
};
pub use event::{Departure, Event, LinkEnd};
pub use message::{Command, Message, Outcome, Outgoing, Recipients, Report};
pub use name::{Instance, LOLLIPOP_LENGTH, MessageId, NameError, Namespace, NodeName};
#[cfg(feature = "net")]
pub use net::sys::socket_pair::RawDescriptor;
#[cfg(feature = "net")]
pub use node::{Events, Keys, Messages, Node, Pending, WaitCondition};
#[cfg(feature = "net")]
pub use secure::files::{generate_key, key_id};
pub use secure::{AuthError, Key, KeyError, KeyId, Level, PublicKey, Refusal};
pub use stats::Stats;
pub use topology::Mesh;
