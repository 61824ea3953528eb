//! What an application sends and receives, and what it is told of a send.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use crate::error::BodyError;
use crate::name::{Instance, MessageId, Names, NodeName};

/// What a frame of the original says it is. Only [`Command::Message`] reaches an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Command {
    /// An acknowledgement.
    Ack = 0,
    /// A mesh state announcement.
    Msa = 1,
    /// An application's message.
    Message = 2,
}

/// How a body is to be read. It travels with the message and is never interpreted in transit.
///
/// Values from 1024 on belong to applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Encoding(pub u32);

impl Encoding {
    /// Bytes, meaning whatever the programs agreed on.
    pub const BYTES: Self = Self(0);
    /// UTF-8 text.
    pub const TEXT: Self = Self(1);
    /// JSON, in UTF-8.
    pub const JSON: Self = Self(2);
    /// A serde value in bincode's standard configuration.
    pub const BINCODE: Self = Self(3);
    /// A Go interface value in `encoding/gob`.
    pub const GOB: Self = Self(4);
    /// The first value that belongs to applications.
    pub const APPLICATION: Self = Self(1024);
}

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The node that sent it.
    pub source: NodeName,
    /// The life of the source that sent it: a node that restarts has a new one.
    pub instance: Instance,
    /// Its number at that instance.
    pub id: MessageId,
    /// Whom it was sent to; empty for a broadcast.
    pub recipients: Names,
    /// The nodes that put it on a link, in order: the source, then each relay.
    pub route: Names,
    /// How the body is to be read.
    pub encoding: Encoding,
    /// The body, shared with the buffer it was read into.
    pub body: Bytes,
}

impl Message {
    /// Always [`Command::Message`]: the original's field, kept for programs that print it.
    pub fn command(&self) -> Command {
        Command::Message
    }

    /// Whether it was sent to every node.
    pub fn is_broadcast(&self) -> bool {
        self.recipients.is_empty()
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`BodyError::Utf8`] if it is not UTF-8.
    pub fn text(&self) -> Result<&str, BodyError> {
        std::str::from_utf8(&self.body).map_err(BodyError::Utf8)
    }

    /// The body as a serde value that was sent with [`Outgoing::value`].
    ///
    /// # Errors
    /// [`BodyError::Encoding`] if the body is not bincode, [`BodyError::Decode`] if it is not a `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        if self.encoding != Encoding::BINCODE {
            return Err(BodyError::Encoding(self.encoding));
        }
        crate::wire::value::decode(&self.body)
    }
}

/// How many bytes of a body its printed form shows.
const PRINTED_BYTES_MAX: usize = 64;

impl fmt::Display for Message {
    /// One line, as the original prints it: every field, the body shortened.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Message {{ recipients: {:?}, source: {}, instance: {}, route: {:?}, id: {}, \
             command: {:?}, body: ",
            self.recipients,
            self.source,
            self.instance,
            self.route,
            self.id,
            self.command(),
        )?;
        let shown = &self.body[..self.body.len().min(PRINTED_BYTES_MAX)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.body.len() {
            write!(f, " … ({} bytes)", self.body.len())?;
        }
        f.write_str(" }")
    }
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// Every node that the sender can reach.
    Broadcast,
    /// These nodes. Doubles count once; the sender itself is skipped.
    Set(Names),
}

/// A message to send, with how to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a message is sent by `Node::send`"]
pub struct Outgoing {
    pub(crate) recipients: Recipients,
    pub(crate) body: Bytes,
    pub(crate) encoding: Encoding,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: bool,
}

impl Outgoing {
    fn new(recipients: Recipients, body: Bytes) -> Self {
        Self { recipients, body, encoding: Encoding::BYTES, timeout: None, retry: false }
    }

    /// A message to the named nodes.
    pub fn set(recipients: impl IntoIterator<Item = NodeName>, body: impl Into<Bytes>) -> Self {
        Self::new(Recipients::Set(recipients.into_iter().collect()), body.into())
    }

    /// A message to every node that the sender can reach.
    pub fn broadcast(body: impl Into<Bytes>) -> Self {
        Self::new(Recipients::Broadcast, body.into())
    }

    /// Replaces the body by a serde value, in bincode.
    ///
    /// # Errors
    /// [`BodyError::Encode`] if the value cannot be serialised.
    pub fn value<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, BodyError> {
        self.body = crate::wire::value::encode(value)?.into();
        self.encoding = Encoding::BINCODE;
        Ok(self)
    }

    /// Says how the body is to be read. Default: [`Encoding::BYTES`].
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// How long to wait for the acknowledgements. Default: the node's timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends again, along whatever route there is, until the deadline. Default: off.
    ///
    /// Safe: a receiver never delivers one message twice.
    pub fn retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }
}

/// What became of a message at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// It is in the receiver's queue.
    Delivered,
    /// Certainly not delivered: the recipient is unknown or cannot be reached.
    NoRoute,
    /// Certainly not delivered: a queue on the way stayed full to the deadline.
    Busy,
    /// Certainly not delivered: larger than the recipient takes.
    TooLarge,
    /// Certainly not delivered: taken back before it left.
    Canceled,
    /// Unknown: no acknowledgement by the deadline. It may still arrive.
    Timeout,
    /// Unknown: the link or the node it was travelling through failed.
    Lost,
}

impl Outcome {
    /// Whether the message certainly did not reach the recipient, so that sending it again is safe.
    pub fn is_certain_failure(self) -> bool {
        match self {
            Self::NoRoute | Self::Busy | Self::TooLarge | Self::Canceled => true,
            Self::Delivered | Self::Timeout | Self::Lost => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delivered => "delivered",
            Self::NoRoute => "no route: the node is unknown or cannot be reached",
            Self::Busy => "busy: a queue stayed full to the deadline; not delivered",
            Self::TooLarge => "too large for the recipient; not delivered",
            Self::Canceled => "canceled before it left; not delivered",
            Self::Timeout => "timed out: it may still arrive",
            Self::Lost => "lost: the route broke in flight; it may have arrived",
        })
    }
}

/// The outcome of a send for each of its recipients, each named once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a report may name recipients that were not reached"]
pub struct Report {
    outcomes: Outcomes,
}

/// The outcomes by recipient: that of one recipient stands in the value itself.
pub(crate) type Outcomes = SmallVec<[(NodeName, Outcome); 1]>;

impl Report {
    pub(crate) fn new(outcomes: Outcomes) -> Self {
        Self { outcomes }
    }

    /// Each recipient with its outcome, in the order given by the sender (a broadcast: by name).
    pub fn outcomes(&self) -> &[(NodeName, Outcome)] {
        &self.outcomes
    }

    /// The outcome for one recipient.
    pub fn outcome(&self, recipient: &str) -> Option<Outcome> {
        self.outcomes.iter().find(|(name, _)| name == recipient).map(|&(_, outcome)| outcome)
    }

    /// The recipients that have it.
    pub fn delivered(&self) -> impl Iterator<Item = &NodeName> {
        self.outcomes.iter().filter(|(_, o)| *o == Outcome::Delivered).map(|(name, _)| name)
    }

    /// The recipients that do not have it, or may not.
    pub fn failed(&self) -> impl Iterator<Item = (&NodeName, Outcome)> {
        self.outcomes.iter().filter(|(_, o)| *o != Outcome::Delivered).map(|(name, o)| (name, *o))
    }

    /// Whether every recipient has it. True of an empty report: a broadcast on an empty mesh.
    pub fn all_delivered(&self) -> bool {
        self.failed().next().is_none()
    }
}
