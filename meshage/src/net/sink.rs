//! The callbacks of a running node's data plane: they wake waiters and pass the application's
//! callbacks to their thread. Nothing here waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use super::callback_thread::CallbackThread;
use super::completion::{Completion, SendResult};
use super::counters::Counters;
use super::sys::wakeup_fd::WakeupFd;
use crate::forward::plane::Sink;
use crate::message::Message;

/// What a sink reads from the node that it belongs to.
pub(crate) trait NodeView: Send + Sync {
    /// Whether there is something to receive, the end included.
    fn is_readable(&self) -> bool;
    /// The next deadline of the data plane.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// The waiters of a node.
pub(crate) struct NodeSink<N> {
    /// Notifies the tasks that wait for a message.
    pub(crate) inbox: Notify,
    /// The number of tasks that wait for a message.
    pub(crate) receivers: AtomicUsize,
    /// Notifies the tasks that wait for room in the local queue.
    pub(crate) space: Notify,
    /// Notifies the task that handles the data plane's deadlines.
    pub(super) deadline: Notify,
    /// When that task wakes up by its timer.
    timer: Mutex<Option<Instant>>,
    pub(crate) wakeup_fd: OnceLock<WakeupFd>,
    pub(crate) callback_thread: Arc<CallbackThread>,
    counters: Arc<Counters>,
    node: Weak<N>,
}

/// Counts one more receiver while it lives.
pub(crate) struct Receiving<'a>(&'a AtomicUsize);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<N: NodeView> NodeSink<N> {
    pub(super) fn new(node: Weak<N>, counters: Arc<Counters>) -> Self {
        Self {
            inbox: Notify::new(),
            receivers: AtomicUsize::new(0),
            space: Notify::new(),
            deadline: Notify::new(),
            timer: Mutex::new(None),
            wakeup_fd: OnceLock::new(),
            callback_thread: Arc::default(),
            counters,
            node,
        }
    }

    /// Registers a task that is going to wait for a message.
    pub(crate) fn receiving(&self) -> Receiving<'_> {
        self.receivers.fetch_add(1, Ordering::SeqCst);
        Receiving(&self.receivers)
    }

    /// Updates the wakeup descriptor, if the application uses one.
    pub(crate) fn sync_wakeup_fd(&self, ready: impl FnOnce() -> bool) {
        if let Some(wakeup_fd) = self.wakeup_fd.get() {
            wakeup_fd.sync(ready);
        }
    }

    /// Sets and returns the time when the task that handles deadlines wakes up by its timer. Before
    /// that time it is notified only of an earlier deadline, so that most sends do not wake it.
    pub(super) fn set_timer(&self, deadline: impl FnOnce() -> Option<Instant>) -> Option<Instant> {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        *timer = deadline();
        *timer
    }
}

impl<N: NodeView> Sink for NodeSink<N> {
    type Completion = Completion;

    fn complete(&self, ended: &mut Vec<(Completion, SendResult)>) {
        let mut callbacks = Vec::new();
        for (completion, result) in ended.drain(..) {
            callbacks.extend(completion.complete(result));
        }
        if !callbacks.is_empty() {
            self.callback_thread.run(callbacks);
        }
    }

    fn inbox_filled(&self) {
        self.inbox.notify_one();
        if self.wakeup_fd.get().is_some()
            && let Some(node) = self.node.upgrade()
        {
            self.sync_wakeup_fd(|| node.is_readable());
        }
    }

    fn send_space(&self) {
        self.space.notify_waiters();
    }

    fn snooped(&self, message: Message) {
        if !self.callback_thread.snoop(message) {
            self.counters.net_snoops_dropped.one();
        }
    }

    fn deadline_moved(&self) {
        let Some(node) = self.node.upgrade() else { return };
        let timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = match (node.poll_timeout(), *timer) {
            (Some(deadline), Some(timer)) => deadline < timer,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(timer);
        if earlier {
            self.deadline.notify_one();
        }
    }
}
