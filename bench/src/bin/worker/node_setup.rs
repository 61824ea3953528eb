//! The setup that the workers of both nodes share: names, configuration and messages.
//!
//! Every node has degree 0 and listens on a free loopback port. Links exist only where a node dials,
//! so the topology is exactly that of the case.

use std::time::Duration;

use bytes::Bytes;
use meshage::{Config, Key, NodeName, Outgoing, Report};

use super::protocol::{Arguments, BODY, Result};

/// The name of the node that receives.
pub(crate) const SERVER: &str = "server";
/// The time limit for the topology to become complete.
pub(crate) const LINKED_MAX: Duration = Duration::from_secs(10);
/// The number of messages that a receiver takes at once.
pub(crate) const BATCH: usize = 1024;

/// A configuration of a node that creates no links by itself. With `key=`, the mesh is closed.
pub(crate) fn config(name: &str, arguments: &Arguments) -> Result<Config> {
    // All processes of a run have the same parent.
    let namespace = format!("bench-{}", std::os::unix::process::parent_id());
    let mut builder = Config::builder(name).namespace(namespace).bind("127.0.0.1").port(0);
    if let Some(key) = arguments.text("key") {
        builder = builder.key(key.parse::<Key>()?);
    }
    Ok(builder.build()?)
}

/// The address of a node that listens on this port.
pub(crate) fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A name that no other process of the run has.
pub(crate) fn unique_name(what: &str) -> String {
    format!("{what}-{}", std::process::id())
}

/// A small message to the server.
pub(crate) fn small(server: &NodeName) -> Outgoing {
    Outgoing::set([server.clone()], Bytes::from_static(BODY))
}

/// Checks that a message was delivered to every recipient.
pub(crate) fn check_delivered(report: &Report) -> Result<()> {
    if report.all_delivered() { Ok(()) } else { Err(format!("{report:?}").into()) }
}
