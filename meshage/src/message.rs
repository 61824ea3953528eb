//! Messages that an application sends and receives, and the outcomes of a send.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use crate::error::BodyError;
use crate::name::{Instance, MessageId, Names, NodeName};

pub use crate::encoding::Encoding;

/// The kind of a frame in the original (minimega's Go package `meshage`). Only
/// [`Command::Message`] reaches an application.
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

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The node that sent it.
    pub source: NodeName,
    /// The instance of the source. A node that restarts has a new one.
    pub instance: Instance,
    /// The message's id, unique at that instance.
    pub id: MessageId,
    /// The recipients; empty for a broadcast.
    pub recipients: Names,
    /// The nodes that sent it over a link, in order: the source, then each relay.
    pub route: Names,
    /// The encoding of the body.
    pub encoding: Encoding,
    /// The body, shared with the buffer it was read into.
    pub body: Bytes,
}

impl Message {
    /// Always [`Command::Message`]. The original has this field, and some programs print it.
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

    /// Decodes a body that was sent with [`Outgoing::value`].
    ///
    /// # Errors
    /// [`BodyError::Encoding`] if the encoding is not bincode, [`BodyError::Decode`] if the body
    /// does not decode as a `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, BodyError> {
        if self.encoding != Encoding::BINCODE {
            return Err(BodyError::Encoding(self.encoding));
        }
        crate::wire::value::decode(&self.body)
    }
}

/// The most bytes of a body in the printed form of a message.
const PRINTED_BYTES_MAX: usize = 64;

impl fmt::Display for Message {
    /// Prints one line of bounded length with every field. Long lists of names and long bodies are
    /// shortened.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} from {} to ", self.id, self.source)?;
        if self.is_broadcast() {
            f.write_str("all")?;
        } else {
            self.recipients.fmt(f)?;
        }
        if !self.route.is_empty() {
            write!(f, " via {}", self.route)?;
        }
        let shown = &self.body[..self.body.len().min(PRINTED_BYTES_MAX)];
        let left_out = if shown.len() < self.body.len() { "…" } else { "" };
        write!(
            f,
            ": \"{}\"{left_out} ({} bytes, encoding {}, instance {})",
            shown.escape_ascii(),
            self.body.len(),
            self.encoding.0,
            self.instance,
        )
    }
}

/// The recipients of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// Every node that the sender can reach.
    Broadcast,
    /// These nodes. A name that occurs twice counts once. The sender itself is skipped.
    Set(Names),
}

/// A message to send, and the options of the send.
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

    /// Replaces the body with a serde value, encoded with bincode.
    ///
    /// # Errors
    /// [`BodyError::Encode`] if the value cannot be serialised.
    pub fn value<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, BodyError> {
        self.body = crate::wire::value::encode(value)?.into();
        self.encoding = Encoding::BINCODE;
        Ok(self)
    }

    /// Sets the encoding of the body. Default: [`Encoding::BYTES`].
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Sets how long the send waits for acknowledgements. Default: the node's timeout.
    ///
    /// With zero the message is sent and the send completes at once. An outcome is then
    /// [`Outcome::Timeout`], which says that it is unknown, unless it is known at once:
    /// [`Outcome::NoRoute`], or [`Outcome::Busy`] if the local queue is full. It is never
    /// [`Outcome::Delivered`]. The message stays on its way for up to 10 s, with retries if
    /// [`Outgoing::retry`] is set, and closing the node flushes it like any other.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets whether a failed message is sent again, along the route at that time, until the
    /// deadline. Default: off.
    ///
    /// This is safe: a receiver never delivers one message twice.
    pub fn retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }
}

/// What happened to a message at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// It is in the recipient's inbox.
    Delivered,
    /// Certainly not delivered: the recipient is unknown or cannot be reached.
    NoRoute,
    /// Certainly not delivered: until the deadline a queue on the path stayed full, or earlier messages
    /// to the recipient took all the time.
    Busy,
    /// Certainly not delivered: larger than the recipient accepts.
    TooLarge,
    /// Certainly not delivered: canceled before it left this node.
    Canceled,
    /// Unknown: no acknowledgement by the deadline. It may still arrive.
    Timeout,
    /// Unknown: a link or a node on the path failed while the message was in flight.
    Lost,
}

impl Outcome {
    /// The name in one word, for logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NoRoute => "no-route",
            Self::Busy => "busy",
            Self::TooLarge => "too-large",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
        }
    }

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
            Self::Busy => {
                "busy: a queue stayed full, or earlier messages took all the time; not delivered"
            }
            Self::TooLarge => "too large for the recipient; not delivered",
            Self::Canceled => "canceled before it left this node; not delivered",
            Self::Timeout => "timed out: the message may still arrive",
            Self::Lost => {
                "lost: the route broke while the message was in flight; it may have arrived"
            }
        })
    }
}

/// The outcomes of a send, one for each recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a report may name recipients that were not reached"]
pub struct Report {
    outcomes: Outcomes,
}

/// The outcomes by recipient. A single outcome is stored inline.
pub(crate) type Outcomes = SmallVec<[(NodeName, Outcome); 1]>;

impl Report {
    pub(crate) fn new(outcomes: Outcomes) -> Self {
        Self { outcomes }
    }

    /// Each recipient with its outcome, in the order that the sender gave (for a broadcast, by
    /// name).
    pub fn outcomes(&self) -> &[(NodeName, Outcome)] {
        &self.outcomes
    }

    /// The outcome for one recipient.
    pub fn outcome(&self, recipient: &str) -> Option<Outcome> {
        self.outcomes.iter().find(|(name, _)| name == recipient).map(|&(_, outcome)| outcome)
    }

    /// The recipients that have the message.
    pub fn delivered(&self) -> impl Iterator<Item = &NodeName> {
        self.outcomes.iter().filter(|(_, o)| *o == Outcome::Delivered).map(|(name, _)| name)
    }

    /// The recipients that do not have the message, or may not have it.
    pub fn failed(&self) -> impl Iterator<Item = (&NodeName, Outcome)> {
        self.outcomes.iter().filter(|(_, o)| *o != Outcome::Delivered).map(|(name, o)| (name, *o))
    }

    /// Whether every recipient has the message. True for an empty report, which a broadcast without
    /// reachable nodes returns.
    pub fn all_delivered(&self) -> bool {
        self.failed().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_message_is_one_readable_line_of_bounded_length() {
        let name = |text: &str| NodeName::new(text).expect("a valid name");
        let mut message = Message {
            source: name("ada"),
            instance: Instance(1),
            id: MessageId(7),
            recipients: [name("bob"), name("carol")].into_iter().collect(),
            route: [name("ada"), name("relay")].into_iter().collect(),
            encoding: Encoding::TEXT,
            body: "hello".into(),
        };
        let line = message.to_string();
        let start = "message 7 from ada to bob, carol via ada, relay: \"hello\" (5 bytes";
        assert!(line.starts_with(start), "{line}");
        message.recipients = (0..10_000).map(|number| name(&format!("node-{number}"))).collect();
        message.body = vec![b'x'; 1 << 20].into();
        let line = message.to_string();
        assert!(line.contains("node-9 and 9990 more") && line.len() < 400, "{line}");
    }
}
