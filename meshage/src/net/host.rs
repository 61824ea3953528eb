//! What the data plane of a running node reports to: waiters are woken, callbacks go to their
//! thread, and nothing here waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::counters::Counters;
use super::dispatch::Dispatch;
#[cfg(unix)]
use super::readiness::Readiness;
use super::shared::Shared;
use crate::error::SendError;
use crate::forward::plane::Host;
use crate::message::{Message, Report};

/// What a send ends with.
pub(crate) type SendResult = Result<Report, SendError>;
/// What a callback is given it by.
pub(crate) type Done = Box<dyn FnOnce(SendResult) + Send>;

/// Who waits for the end of a send.
pub(crate) struct Completion {
    /// A future; none once it was told that the node closes.
    waiter: Option<oneshot::Sender<SendResult>>,
    /// A callback, which always hears what became of the send.
    callback: Option<Done>,
}

impl Completion {
    /// For a future alone.
    pub(crate) fn waiter(waiter: oneshot::Sender<SendResult>) -> Self {
        Self { waiter: Some(waiter), callback: None }
    }

    /// For a callback, and perhaps a future.
    pub(crate) fn callback(done: Done, waiter: oneshot::Sender<SendResult>) -> Self {
        Self { waiter: Some(waiter), callback: Some(done) }
    }

    /// The future, which then does not hear of the send's own end.
    pub(super) fn release(&mut self) -> Option<oneshot::Sender<SendResult>> {
        self.waiter.take()
    }
}

/// The waiters of a node.
pub(crate) struct NodeHost {
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
    pub(crate) readiness: OnceLock<Readiness>,
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

impl NodeHost {
    pub(super) fn new(shared: Weak<Shared>, counters: Arc<Counters>) -> Self {
        Self {
            inbox: Notify::new(),
            receivers: AtomicUsize::new(0),
            space: Notify::new(),
            deadline: Notify::new(),
            sleeping: Mutex::new(None),
            #[cfg(unix)]
            readiness: OnceLock::new(),
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
    pub(crate) fn sync_readiness(&self, ready: impl FnOnce() -> bool) {
        #[cfg(unix)]
        if let Some(readiness) = self.readiness.get() {
            readiness.sync(ready);
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

impl Host for NodeHost {
    type Completion = Completion;

    fn complete(&self, completion: Completion, result: SendResult) {
        let waiter = completion.waiter.filter(|waiter| !waiter.is_closed());
        let told = match completion.callback {
            None => waiter.map(|waiter| waiter.send(result)),
            Some(done) => {
                let told = waiter.map(|waiter| waiter.send(result.clone()));
                self.dispatch.run(Box::new(move || done(result)));
                told
            }
        };
        // Whoever let go meanwhile wants to know no more.
        drop(told);
    }

    fn inbox_filled(&self) {
        self.inbox.notify_one();
        #[cfg(unix)]
        if self.readiness.get().is_some()
            && let Some(shared) = self.shared.upgrade()
        {
            self.sync_readiness(|| shared.is_readable());
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
