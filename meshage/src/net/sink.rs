//! What the data plane of a running node reports to: waiters are woken, callbacks go to their
//! thread, and nothing here waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use super::completion::{Completion, Due, SendResult};
use super::counters::Counters;
use super::dispatch::{Call, Dispatch};
use super::shared::Shared;
#[cfg(unix)]
use super::wakeup_fd::WakeupFd;
use crate::forward::plane::Sink;
use crate::message::Message;

/// The waiters of a node.
pub(crate) struct NodeSink {
    /// Wakes who waits for a message.
    pub(crate) inbox: Notify,
    /// How many wait for one.
    pub(crate) receivers: AtomicUsize,
    /// Wakes who waits for room in the local queue.
    pub(crate) space: Notify,
    /// Wakes the task that keeps the data plane's deadlines.
    pub(super) deadline: Notify,
    /// When that task wakes by itself.
    sleeping: Mutex<Option<Instant>>,
    #[cfg(unix)]
    pub(crate) wakeup_fd: OnceLock<WakeupFd>,
    pub(crate) dispatch: Arc<Dispatch>,
    counters: Arc<Counters>,
    shared: Weak<Shared>,
}

/// Counts one more receiver while it lives.
pub(crate) struct Receiving<'a>(&'a AtomicUsize);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl NodeSink {
    pub(super) fn new(shared: Weak<Shared>, counters: Arc<Counters>) -> Self {
        Self {
            inbox: Notify::new(),
            receivers: AtomicUsize::new(0),
            space: Notify::new(),
            deadline: Notify::new(),
            sleeping: Mutex::new(None),
            #[cfg(unix)]
            wakeup_fd: OnceLock::new(),
            dispatch: Arc::default(),
            counters,
            shared,
        }
    }

    /// Says that somebody is going to wait for a message.
    pub(crate) fn receiving(&self) -> Receiving<'_> {
        self.receivers.fetch_add(1, Ordering::SeqCst);
        Receiving(&self.receivers)
    }

    /// Brings the descriptor level with the inbox, where anybody asked for one.
    pub(crate) fn sync_wakeup_fd(&self, ready: impl FnOnce() -> bool) {
        #[cfg(unix)]
        if let Some(wakeup_fd) = self.wakeup_fd.get() {
            wakeup_fd.sync(ready);
        }
    }

    /// When the task that keeps the deadlines is to wake. Until then it is woken only for an
    /// earlier one, so that a send after the other costs it nothing.
    pub(super) fn sleep_until(&self, due: impl FnOnce() -> Option<Instant>) -> Option<Instant> {
        let mut sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        *sleeping = due();
        *sleeping
    }
}

impl Sink for NodeSink {
    type Completion = Completion;

    fn complete(&self, ended: &mut Vec<(Completion, SendResult)>) {
        let mut calls = Vec::new();
        for (completion, result) in ended.drain(..) {
            match completion.complete(result) {
                Due::Nothing => {}
                Due::Call(ending, result) => calls.push(Call { ending, result }),
            }
        }
        if !calls.is_empty() {
            self.dispatch.run(calls);
        }
    }

    fn inbox_filled(&self) {
        self.inbox.notify_one();
        #[cfg(unix)]
        if self.wakeup_fd.get().is_some()
            && let Some(shared) = self.shared.upgrade()
        {
            self.sync_wakeup_fd(|| shared.is_readable());
        }
    }

    fn send_space(&self) {
        self.space.notify_waiters();
    }

    fn snooped(&self, message: Message) {
        if !self.dispatch.snoop(message) {
            self.counters.net_snoops_dropped.one();
        }
    }

    fn deadline_moved(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = match (shared.plane.poll_timeout(), *sleeping) {
            (Some(due), Some(sleeping)) => due < sleeping,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(sleeping);
        if earlier {
            self.deadline.notify_one();
        }
    }
}
