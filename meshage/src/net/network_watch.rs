//! Notices that an interface or an address of this machine came up, and that an address is gone.
//!
//! ```text
//!  the system ── something changed ──► list the interfaces ─┬─ a new address? ──► the driver
//!                                                           └─ one is gone for a while? ──► the driver
//! ```
//!
//! An address that could not be used before may make nodes reachable. The links of an address that is
//! gone are dead, and nothing that they lack tells so. A cable that is out is no such case: the address
//! stays, and links survive that for a while.

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

/// For how long an address must be gone: an interface whose settings change may lose it for a moment.
const GONE_TIME: Duration = Duration::from_millis(400);

/// The addresses of this machine, and those that can be used.
#[derive(Debug)]
pub(super) struct NetworkWatch {
    watch: InterfaceWatch,
    usable: BTreeSet<(u32, IpAddr)>,
    listed: BTreeSet<IpAddr>,
}

/// What happened to the addresses.
#[derive(Debug, Default)]
struct Change {
    gained: bool,
    lost: Vec<IpAddr>,
}

impl NetworkWatch {
    /// Starts to watch. Must be called on a runtime.
    pub(super) fn new() -> Self {
        // In this order, so that no change is missed between the two.
        let watch = InterfaceWatch::new();
        let mut new = Self { watch, usable: BTreeSet::new(), listed: BTreeSet::new() };
        new.update();
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
            let Change { mut gained, mut lost } = self.update();
            if !lost.is_empty() {
                sleep(GONE_TIME).await;
                let later = self.update();
                gained |= later.gained;
                lost.extend(later.lost);
                lost.retain(|address| !self.listed.contains(address));
            }
            // The sends fail only while the node closes.
            if !lost.is_empty() {
                let _ = events.send(NetworkEvent::AddressesLost(lost)).await;
            }
            if gained {
                let _ = events.send(NetworkEvent::NetworkChanged).await;
                sleep(REPORT_INTERVAL).await;
            }
        }
    }

    /// Takes a new list of the interfaces, and returns what has changed.
    fn update(&mut self) -> Change {
        // A failure to list them is temporary, and the next change is reported again.
        let Ok(interfaces) = interfaces::list() else { return Change::default() };
        let usable = interfaces::usable(&interfaces, &self.usable);
        let listed: BTreeSet<IpAddr> = interfaces.iter().map(|interface| interface.ip).collect();
        let gained = usable.difference(&self.usable).next().is_some();
        let lost = self.listed.difference(&listed).copied().collect();
        (self.usable, self.listed) = (usable, listed);
        Change { gained, lost }
    }
}
