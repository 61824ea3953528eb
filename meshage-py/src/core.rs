//! The native node behind the two Python classes. Each method converts its arguments, calls the
//! core once, and converts the result. Each operation that waits has two methods: a blocking one,
//! and `begin_…` for an event loop.

mod operations;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meshage::blocking;
use meshage::config::Config;
use meshage::error::RecvError;
use meshage::message::Outgoing;
use meshage::name::NodeName;
use meshage::node::Node;
use meshage::{KeyError, KeyId};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::block::{block_on, in_slices};
use crate::clock::now;
use crate::completions::Completions;
use crate::convert::{AwaitedNodes, Body, NameList, Seconds, Text, adjacency, integer, wait_limit};
use crate::errors::{self, guarded};
use crate::events::EventStream;
use crate::handle::NodeHandle;
use crate::keys::{PresharedKey, PublicKeyArgument};
use crate::message::Message;
use crate::sending::Sending;
use crate::snoop::SnoopQueue;

/// A running node.
#[pyclass(frozen, weakref, module = "meshage._meshage")]
pub(crate) struct Core {
    node: Arc<NodeHandle>,
    /// Messages that were dropped because a snoop callback was too slow, over all callbacks.
    snoops_dropped: Arc<AtomicU64>,
}

/// The core's counter of messages that its own snoop queue had no room for. The messages that this
/// module's queue had no room for are added.
const SNOOPS_DROPPED: &str = "net_snoops_dropped";

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (name, namespace, degree, broadcast, bind, port, listen_port, version,
                        timeout, msa_timeout, receive_buffer, max_message, seeds, interfaces, keys,
                        key_file, identity_file, root, ticket_file, allow, signed))]
    #[expect(clippy::too_many_arguments, reason = "the options of the public constructor")]
    fn new(
        py: Python<'_>,
        name: Text,
        namespace: Text,
        degree: &Bound<'_, PyAny>,
        broadcast: Vec<Text>,
        bind: Text,
        port: &Bound<'_, PyAny>,
        listen_port: Option<&Bound<'_, PyAny>>,
        version: Text,
        timeout: Seconds,
        msa_timeout: Seconds,
        receive_buffer: &Bound<'_, PyAny>,
        max_message: &Bound<'_, PyAny>,
        seeds: Vec<Text>,
        interfaces: Vec<Text>,
        keys: Vec<PresharedKey>,
        key_file: Option<PathBuf>,
        identity_file: Option<PathBuf>,
        root: Option<PublicKeyArgument>,
        ticket_file: Option<PathBuf>,
        allow: Vec<(Text, PublicKeyArgument)>,
        signed: bool,
    ) -> PyResult<Self> {
        const PORTS: &str = "0 to 65535";
        let mut builder = Config::builder(name.0)
            .namespace(namespace.0)
            .degree(integer(degree, "degree", "0 to 256")?)
            .bind(bind.0)
            .port(integer(port, "port", PORTS)?)
            .version(version.0)
            .timeout(timeout.0)
            .msa_timeout(msa_timeout.0)
            .receive_buffer(integer(receive_buffer, "receive_buffer", "1 to 1,048,576")?)
            .max_message(integer(max_message, "max_message", "1 byte to 1 GiB")?)
            .interfaces(interfaces.into_iter().map(|Text(name)| name));
        if let Some(port) = listen_port {
            builder = builder.listen_port(integer(port, "listen_port", PORTS)?);
        }
        builder = broadcast.into_iter().fold(builder, |builder, Text(ip)| builder.broadcast(ip));
        builder = seeds.into_iter().fold(builder, |builder, Text(address)| builder.seed(address));
        builder = keys.into_iter().fold(builder, |builder, PresharedKey(key)| builder.key(key));
        if let Some(path) = key_file {
            builder = builder.key_file(path);
        }
        if let Some(path) = identity_file {
            builder = builder.identity_file(path);
        }
        if let Some(path) = ticket_file {
            builder = builder.ticket_file(path);
        }
        if let Some(PublicKeyArgument(root)) = root {
            builder = builder.root(root);
        }
        for (Text(name), PublicKeyArgument(public_key)) in allow {
            builder = builder.allow(name, public_key);
        }
        builder = builder.signed(signed);
        let config = builder.build().map_err(|error| errors::config(&error))?;
        let node = py.detach(|| guarded(|| blocking::Node::start(config)))?;
        let node = node.map_err(|error| errors::start(&error))?;
        Ok(Self { node: Arc::new(NodeHandle::new(node)), snoops_dropped: Arc::default() })
    }

    #[getter]
    fn name(&self) -> &str {
        self.node.node().name().as_str()
    }

    #[getter]
    fn namespace(&self) -> &str {
        self.node.node().namespace().as_str()
    }

    #[getter]
    fn instance(&self) -> u64 {
        self.node.node().instance().0
    }

    #[getter]
    fn port(&self) -> u16 {
        self.node.node().port()
    }

    #[getter]
    fn closed(&self) -> bool {
        self.node.is_forked() || self.node.node().is_closed()
    }

    #[getter]
    fn forked(&self) -> bool {
        self.node.is_forked()
    }

    /// Raises an exception if the node is closed or belongs to a parent process.
    fn check_open(&self) -> PyResult<()> {
        self.node.open().map(|_| ())
    }

    /// Raises an exception if the node belongs to a parent process.
    fn check_unforked(&self) -> PyResult<()> {
        self.node.unforked().map(|_| ())
    }

    #[getter]
    fn degree(&self) -> PyResult<u32> {
        Ok(self.node.unforked()?.degree())
    }

    #[setter]
    fn set_degree(&self, degree: &Bound<'_, PyAny>) -> PyResult<()> {
        let degree = integer(degree, "degree", "0 to 256")?;
        self.node.open()?.set_degree(degree).map_err(|error| errors::config(&error))
    }

    #[getter]
    fn msa_timeout(&self) -> PyResult<f64> {
        Ok(self.node.unforked()?.msa_timeout().as_secs_f64())
    }

    #[setter]
    fn set_msa_timeout(&self, period: Seconds) -> PyResult<()> {
        self.node.open()?.set_msa_timeout(period.0).map_err(|error| errors::config(&error))
    }

    #[getter]
    fn timeout(&self) -> PyResult<f64> {
        Ok(seconds(self.node.unforked()?.timeout()))
    }

    #[setter]
    fn set_timeout(&self, timeout: Seconds) -> PyResult<()> {
        self.node.open()?.set_timeout(timeout.0);
        Ok(())
    }

    /// The ids of the keys, the primary one first.
    fn key_ids(&self) -> PyResult<Vec<String>> {
        let ids = self.node.call(|node| node.keys().ids())?;
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    /// Adds a key and returns its id.
    fn add_key(&self, key: PresharedKey) -> PyResult<String> {
        let id = self.node.call(|node| node.keys().add(key.0))?;
        Ok(id.map_err(|error| errors::key(&error))?.to_string())
    }

    fn use_key(&self, id: &str) -> PyResult<()> {
        self.with_key(id, |node, id| node.keys().use_key(id))
    }

    fn remove_key(&self, id: &str) -> PyResult<()> {
        self.with_key(id, |node, id| node.keys().remove(id))
    }

    fn reload_keys(&self) -> PyResult<()> {
        self.node.call(|node| node.keys().reload())?.map_err(|error| errors::key(&error))
    }

    /// The public key of the node's identity; `None` for an open node.
    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let public_key = self.node.call(Node::public_key)?;
        Ok(public_key.map(|key| PyBytes::new(py, &key.0)))
    }

    fn revoke(&self, revocation: &[u8]) -> PyResult<()> {
        self.node.call(|node| node.revoke(revocation))?.map_err(|error| errors::key(&error))
    }

    fn dial<'py>(
        &self,
        py: Python<'py>,
        address: Text,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, self.dial_operation(address.0, timeout)?)
    }

    fn begin_dial(
        &self,
        completions: &Completions,
        address: Text,
        timeout: Option<Seconds>,
    ) -> PyResult<u64> {
        completions.begin(&self.node, self.dial_operation(address.0, timeout)?)
    }

    fn hangup<'py>(&self, py: Python<'py>, peer: Text) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, self.hangup_operation(peer.0)?)
    }

    fn begin_hangup(&self, completions: &Completions, peer: Text) -> PyResult<u64> {
        completions.begin(&self.node, self.hangup_operation(peer.0)?)
    }

    fn set<'py>(
        &self,
        py: Python<'py>,
        recipients: NameList,
        body: Body,
        timeout: Option<Seconds>,
        retry: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        self.send_and_wait(py, with_timeout(set(recipients, body, retry), timeout))
    }

    fn begin_set(
        &self,
        completions: &Completions,
        recipients: NameList,
        body: Body,
        timeout: Option<Seconds>,
        retry: bool,
    ) -> PyResult<u64> {
        let operation = self.send_operation(with_timeout(set(recipients, body, retry), timeout))?;
        completions.begin(&self.node, operation)
    }

    fn broadcast<'py>(
        &self,
        py: Python<'py>,
        body: Body,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.send_and_wait(py, with_timeout(broadcast(body), timeout))
    }

    fn begin_broadcast(
        &self,
        completions: &Completions,
        body: Body,
        timeout: Option<Seconds>,
    ) -> PyResult<u64> {
        let operation = self.send_operation(with_timeout(broadcast(body), timeout))?;
        completions.begin(&self.node, operation)
    }

    fn send<'py>(
        &self,
        py: Python<'py>,
        message: &Message,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.send_and_wait(py, with_timeout(message.outgoing(), timeout))
    }

    /// Starts a send and returns without waiting for it.
    fn send_async(&self, message: &Message, timeout: Option<Seconds>) -> PyResult<Sending> {
        Sending::begin(&self.node, with_timeout(message.outgoing(), timeout))
    }

    fn begin_send(
        &self,
        completions: &Completions,
        message: &Message,
        timeout: Option<Seconds>,
    ) -> PyResult<u64> {
        let operation = self.send_operation(with_timeout(message.outgoing(), timeout))?;
        completions.begin(&self.node, operation)
    }

    fn broadcast_recipients(&self) -> PyResult<Vec<String>> {
        Ok(strings(&self.node.call(Node::broadcast_recipients)?))
    }

    fn try_recv(&self) -> PyResult<Option<Message>> {
        match self.node.call(Node::try_recv)? {
            Ok(message) => Ok(Some(message.into())),
            Err(RecvError::Timeout) => Ok(None),
            Err(error) => Err(errors::recv(error)),
        }
    }

    fn recv(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Message> {
        if let Some(message) = self.try_recv()? {
            return Ok(message);
        }
        match block_on(py, &self.node, self.node.node().recv(), wait_limit(timeout))? {
            Some(result) => Ok(result.map_err(errors::recv)?.into()),
            None => Err(errors::recv(RecvError::Timeout)),
        }
    }

    fn recv_many(
        &self,
        py: Python<'_>,
        max: &Bound<'_, PyAny>,
        timeout: Option<Seconds>,
    ) -> PyResult<Vec<Message>> {
        let max = batch_size(max)?;
        // Queued messages are taken at once: releasing the interpreter is only worth it for a wait.
        if let Some(messages) = self.take(max)? {
            return Ok(messages);
        }
        let receive = self.node.node().recv_many(max);
        match block_on(py, &self.node, receive, wait_limit(timeout))? {
            Some(result) => Ok(messages(result.map_err(errors::recv)?)),
            None => Err(errors::recv(RecvError::Timeout)),
        }
    }

    /// Takes up to `max` queued messages.
    fn try_recv_many(&self, max: &Bound<'_, PyAny>) -> PyResult<Vec<Message>> {
        Ok(self.take(batch_size(max)?)?.unwrap_or_default())
    }

    fn wait_for<'py>(
        &self,
        py: Python<'py>,
        nodes: AwaitedNodes,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, self.wait_operation(nodes, timeout)?)
    }

    fn begin_wait_for(
        &self,
        completions: &Completions,
        nodes: AwaitedNodes,
        timeout: Option<Seconds>,
    ) -> PyResult<u64> {
        completions.begin(&self.node, self.wait_operation(nodes, timeout)?)
    }

    fn mesh<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        adjacency(py, &self.node.call(Node::mesh)?)
    }

    fn peers(&self) -> PyResult<Vec<String>> {
        Ok(strings(&self.node.call(Node::peers)?))
    }

    fn dot(&self) -> PyResult<String> {
        self.node.call(Node::dot)
    }

    fn msa(&self) -> PyResult<()> {
        self.node.call(Node::msa)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in self.node.call(Node::stats)?.iter() {
            let dropped_here = if name == SNOOPS_DROPPED {
                self.snoops_dropped.load(Ordering::Relaxed)
            } else {
                0
            };
            dict.set_item(name, value + dropped_here)?;
        }
        Ok(dict)
    }

    fn fileno(&self) -> PyResult<meshage::RawDescriptor> {
        self.node.descriptor_for(true)
    }

    /// The same descriptor for an event loop, which returns it with `return_descriptor`.
    fn borrow_descriptor(&self) -> PyResult<meshage::RawDescriptor> {
        self.node.descriptor_for(false)
    }

    fn return_descriptor(&self) {
        if !self.node.is_forked() {
            self.node.return_descriptor();
        }
    }

    fn events(&self) -> PyResult<EventStream> {
        EventStream::new(Arc::clone(&self.node))
    }

    /// Starts to copy messages that pass through the node into a new queue. An earlier queue ends.
    fn snoop(&self) -> PyResult<SnoopQueue> {
        let (sender, queue) = SnoopQueue::open()?;
        let dropped = Arc::clone(&self.snoops_dropped);
        let snoop = move |message| {
            if !sender.push(message) {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        };
        let node = self.node.open()?;
        let started = guarded(|| node.set_snoop(Some(Box::new(snoop))))?;
        started.map_err(|error| errors::system(&error))?;
        Ok(queue)
    }

    /// Stops snooping.
    fn stop_snooping(&self) {
        if !self.node.is_forked() {
            // Only starting a thread can fail.
            let _ = self.node.node().set_snoop(None);
        }
    }

    /// Starts to close the node. In a forked child this does nothing.
    fn close(&self) {
        if !self.node.is_forked() {
            self.node.node().close();
        }
    }

    /// Gives back the node's threads and descriptors as soon as it has closed. Does not wait.
    fn release(&self) {
        if !self.node.is_forked() {
            self.node.release();
        }
    }

    /// Waits until the node has closed and has given back its threads and descriptors. Returns
    /// `False` if `timeout` passes first.
    fn join(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<bool> {
        if self.node.is_forked() {
            return Ok(true);
        }
        let limit = wait_limit(timeout);
        let begin = now();
        if block_on(py, &self.node, self.node.node().closed(), limit)?.is_none() {
            return Ok(false);
        }
        py.detach(|| self.node.release_here());
        let left = limit.map(|limit| limit.saturating_sub(begin.elapsed()));
        Ok(in_slices(py, left, |until| self.node.ended().wait_until(until))?.is_some())
    }

    fn begin_join(&self, completions: &Completions) -> PyResult<u64> {
        completions.begin(&self.node, self.close_operation()?)
    }
}

impl Core {
    /// Calls a method for the key with this id.
    fn with_key(
        &self,
        id: &str,
        method: impl FnOnce(&Node, KeyId) -> Result<(), KeyError>,
    ) -> PyResult<()> {
        let id = id.parse().map_err(|error| errors::key(&error))?;
        self.node.call(|node| method(node, id))?.map_err(|error| errors::key(&error))
    }
}

/// The message with the caller's timeout, if there is one.
fn with_timeout(outgoing: Outgoing, timeout: Option<Seconds>) -> Outgoing {
    match timeout {
        Some(Seconds(timeout)) => outgoing.timeout(timeout),
        None => outgoing,
    }
}

fn set(recipients: NameList, body: Body, retry: bool) -> Outgoing {
    Outgoing::set(recipients.0, body.bytes).encoding(body.encoding).retry(retry)
}

fn broadcast(body: Body) -> Outgoing {
    Outgoing::broadcast(body.bytes).encoding(body.encoding)
}

fn strings(names: &[NodeName]) -> Vec<String> {
    names.iter().map(NodeName::to_string).collect()
}

fn messages(batch: Vec<meshage::message::Message>) -> Vec<Message> {
    batch.into_iter().map(Message::from).collect()
}

fn batch_size(max: &Bound<'_, PyAny>) -> PyResult<usize> {
    match integer(max, "max", "1 or more")? {
        0 => Err(errors::invalid("max is out of range: 1 or more")),
        max => Ok(max),
    }
}

fn seconds(duration: Duration) -> f64 {
    if duration == Duration::MAX { f64::INFINITY } else { duration.as_secs_f64() }
}
