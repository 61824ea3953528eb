//! What our two faces share: how nodes are called, set up and linked for a measurement.
//!
//! Every node has degree 0 and listens on a free port of the loopback: nothing links up but what
//! dials, so that the topology is exactly what the case says.

use std::time::Duration;

use bytes::Bytes;
use meshage::{Config, NodeName, Outgoing, Report};

use super::protocol::{BODY, Result};

/// The node that receives.
pub(crate) const SERVER: &str = "server";
/// How long the topology may take to be complete.
pub(crate) const LINKED_MAX: Duration = Duration::from_secs(10);
/// How many messages a receiver takes at once.
pub(crate) const BATCH: usize = 1024;

/// A configuration under which nothing links up by itself.
pub(crate) fn config(name: &str) -> Result<Config> {
    // The processes of one run have one parent.
    let namespace = format!("bench-{}", std::os::unix::process::parent_id());
    Ok(Config::builder(name).namespace(namespace).bind("127.0.0.1").port(0).build()?)
}

/// The address of a node that listens on this port.
pub(crate) fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A name that no other process of the run has.
pub(crate) fn own_name(what: &str) -> String {
    format!("{what}-{}", std::process::id())
}

/// A small message to the server.
pub(crate) fn small(server: &NodeName) -> Outgoing {
    Outgoing::set([server.clone()], Bytes::from_static(BODY))
}

/// That a message has arrived everywhere.
pub(crate) fn delivered(report: &Report) -> Result<()> {
    if report.all_delivered() { Ok(()) } else { Err(format!("{report:?}").into()) }
}
