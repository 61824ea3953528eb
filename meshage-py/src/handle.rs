//! The core's node, shared by the objects of this module.
//!
//! ```text
//!  open ──► closing ──► closed ── release ──► the runtime's thread and descriptors are gone
//!           (the core)            (a thread)   names, queue and topology can still be read
//! ```

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use meshage::blocking;
use meshage::node::Node;
use pyo3::prelude::*;

use crate::clock::now;
use crate::errors::{self, guarded};

/// A node that its users share. The node is closed when the last user drops the handle.
pub(crate) struct NodeHandle {
    node: Node,
    /// The node with its runtime; `None` once it was released.
    running: ArcSwapOption<Running>,
    ended: Arc<Ended>,
    descriptor: Mutex<DescriptorUse>,
    /// The id of the process that started the node.
    process: u32,
}

/// The users of the wakeup descriptor.
#[derive(Default)]
struct DescriptorUse {
    /// Event loops that watch it.
    borrowers: usize,
    /// Whether the application has it. Then it stays open as long as the handle.
    is_public: bool,
}

impl NodeHandle {
    pub(crate) fn new(node: blocking::Node) -> Self {
        let ended = Arc::new(Ended::default());
        Self {
            node: node.node().clone(),
            running: ArcSwapOption::from_pointee(Running {
                node: Some(node),
                ended: Arc::clone(&ended),
            }),
            ended,
            descriptor: Mutex::default(),
            process: std::process::id(),
        }
    }

    /// The node. In a forked child, only the values that never change may be read.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether the node runs in a parent process.
    pub(crate) fn is_forked(&self) -> bool {
        match &*self.running.load() {
            Some(running) => running.node().is_forked(),
            // Asking for the id is a system call, which only a closed node makes.
            None => std::process::id() != self.process,
        }
    }

    /// The node, if it was started in this process.
    ///
    /// # Errors
    /// `ForkError` in a forked child.
    pub(crate) fn unforked(&self) -> PyResult<&Node> {
        if self.is_forked() { Err(errors::forked()) } else { Ok(&self.node) }
    }

    /// The node, if it was started in this process and is not closed.
    ///
    /// # Errors
    /// `ForkError` or `NodeClosed`.
    pub(crate) fn open(&self) -> PyResult<&Node> {
        let node = self.unforked()?;
        if node.is_closed() { Err(errors::closed()) } else { Ok(node) }
    }

    /// Calls a method that does not wait.
    ///
    /// # Errors
    /// `ForkError` in a forked child.
    pub(crate) fn call<R>(&self, method: impl FnOnce(&Node) -> R) -> PyResult<R> {
        let node = self.unforked()?;
        guarded(|| method(node))
    }

    /// Runs `f` in the context of the node's runtime, if the node still has one. A released node
    /// needs none: its futures complete without a timer.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        match self.running.load_full() {
            Some(running) => running.node().enter(f),
            None => f(),
        }
    }

    /// Polls a future of the node on this thread until it is ready or `until` has passed.
    pub(crate) fn wait_until<F: Future + ?Sized>(
        &self,
        until: Instant,
        future: Pin<&mut F>,
    ) -> Option<F::Output> {
        if let Some(running) = self.running.load_full() {
            return running.node().wait_until(Some(until), future);
        }
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => {
                thread::park_timeout(until.saturating_duration_since(now()));
                None
            }
        }
    }

    /// Gives back the threads and descriptors of a node as soon as it is closed. Does not wait.
    pub(crate) fn release(&self) {
        // Calls that are about to return may still hold the runtime. The last of them releases it.
        drop(self.running.swap(None));
        self.release_descriptor(&self.descriptor());
    }

    /// As [`NodeHandle::release`], on this thread if nothing else uses the runtime, which takes up
    /// to a second.
    pub(crate) fn release_here(&self) {
        let running = self.running.swap(None).and_then(Arc::into_inner);
        drop(running.and_then(Running::into_stop));
        self.release();
    }

    /// Completes when [`NodeHandle::release`] has taken effect.
    pub(crate) fn ended(&self) -> &Ended {
        &self.ended
    }

    /// The wakeup descriptor, for the application or for an event loop that returns it.
    ///
    /// # Errors
    /// `ResourceError` if the system has no free descriptor.
    pub(crate) fn descriptor_for(&self, is_public: bool) -> PyResult<meshage::RawDescriptor> {
        let mut used = self.descriptor();
        let descriptor = self.call(|node| node.recv_fd())?.map_err(|error| {
            errors::resource("cannot open the descriptor that shows waiting messages", &error)
        })?;
        used.is_public |= is_public;
        used.borrowers += usize::from(!is_public);
        Ok(descriptor)
    }

    /// An event loop has stopped to watch the wakeup descriptor.
    pub(crate) fn return_descriptor(&self) {
        let mut used = self.descriptor();
        used.borrowers = used.borrowers.saturating_sub(1);
        if self.node.is_closed() {
            self.release_descriptor(&used);
        }
    }

    fn release_descriptor(&self, used: &DescriptorUse) {
        if used.borrowers == 0 && !used.is_public {
            self.node.release_recv_fd();
        }
    }

    fn descriptor(&self) -> MutexGuard<'_, DescriptorUse> {
        self.descriptor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        if !self.is_forked() {
            self.node.close();
        }
    }
}

/// A node with its runtime. Dropping it closes the node and stops the runtime, on another thread.
struct Running {
    /// `Some` until it is dropped.
    node: Option<blocking::Node>,
    ended: Arc<Ended>,
}

impl Running {
    fn node(&self) -> &blocking::Node {
        self.node.as_ref().expect("present until it is dropped")
    }

    /// Closes the node. Its runtime is stopped when the result is dropped.
    fn into_stop(mut self) -> Option<StopOnDrop> {
        self.take_stop()
    }

    fn take_stop(&mut self) -> Option<StopOnDrop> {
        let node = self.node.take()?;
        if node.is_forked() {
            // The node's threads exist only in the parent: this frees what can be freed, and does
            // not wait.
            drop(node);
            return None;
        }
        node.node().close();
        Some(StopOnDrop { node: Some(node), ended: Arc::clone(&self.ended) })
    }
}

impl Drop for Running {
    /// Closing takes up to 2 s, and the last reference may be dropped by the garbage collector or
    /// by an event loop. A separate thread does the waiting.
    fn drop(&mut self) {
        let Some(stop) = self.take_stop() else { return };
        // If the thread cannot be started, the closure and the node in it are dropped here.
        let _ = thread::Builder::new().name("meshage-close".into()).spawn(move || drop(stop));
    }
}

struct StopOnDrop {
    node: Option<blocking::Node>,
    ended: Arc<Ended>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        drop(self.node.take());
        self.ended.set();
    }
}

/// Whether the runtime of a node has ended, for threads and event loops that wait for it.
#[derive(Default)]
pub(crate) struct Ended {
    state: Mutex<EndedState>,
    changed: Condvar,
}

#[derive(Default)]
struct EndedState {
    ended: bool,
    wakers: Vec<Waker>,
}

impl Ended {
    fn lock(&self) -> MutexGuard<'_, EndedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        let mut state = self.lock();
        state.ended = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits on this thread, until `until` at the latest.
    pub(crate) fn wait_until(&self, until: Instant) -> Option<()> {
        let left = until.saturating_duration_since(now());
        let state = self.changed.wait_timeout_while(self.lock(), left, |state| !state.ended);
        state.unwrap_or_else(PoisonError::into_inner).0.ended.then_some(())
    }

    /// Waits in an event loop.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.ended {
            return Poll::Ready(());
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}
