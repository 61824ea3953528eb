//! Notices that an interface or an address of this machine came up.
//!
//! ```text
//!  the system ── something changed ──► list the interfaces ── a new address? ──► the driver
//! ```
//!
//! Only an address that could not be used before is reported: nothing else makes nodes reachable.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::input::NetworkEvent;
use super::interfaces;
use super::shared::Shared;
use super::sys::interface_watch::InterfaceWatch;
use super::tasks;

/// How long changes are collected: an interface that comes up causes several messages at once.
const SETTLE_TIME: Duration = Duration::from_millis(50);
/// The shortest time between two reports. Each restarts the back-offs, and a machine on which
/// containers start and stop has many changes.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// The addresses that can be used.
#[derive(Debug)]
pub(super) struct NetworkWatch {
    watch: InterfaceWatch,
    usable: BTreeSet<(u32, IpAddr)>,
}

impl NetworkWatch {
    /// Starts to watch. Must be called on a runtime.
    pub(super) fn new() -> Self {
        // In this order, so that no change is missed between the two.
        let watch = InterfaceWatch::new();
        let mut new = Self { watch, usable: BTreeSet::new() };
        new.has_gained();
        new
    }

    /// Reports every change until the task is stopped.
    pub(super) async fn run(mut self, shared: Arc<Shared>, events: mpsc::Sender<NetworkEvent>) {
        let counters = &shared.counters;
        while tasks::observe("network watch", counters, self.report_all(&events)).await.is_err() {
            sleep(tasks::RESTART_PAUSE).await;
        }
    }

    async fn report_all(&mut self, events: &mpsc::Sender<NetworkEvent>) {
        loop {
            self.watch.changed().await;
            sleep(SETTLE_TIME).await;
            if self.has_gained() {
                // The send fails only while the node closes.
                let _ = events.send(NetworkEvent::NetworkChanged).await;
                sleep(REPORT_INTERVAL).await;
            }
        }
    }

    /// Takes a new list of the interfaces. Returns whether an address was not usable before.
    fn has_gained(&mut self) -> bool {
        // A failure to list them is temporary, and the next change is reported again.
        let Ok(interfaces) = interfaces::list() else { return false };
        let usable = interfaces::usable(&interfaces, &self.usable);
        let gained = usable.difference(&self.usable).next().is_some();
        self.usable = usable;
        gained
    }
}
