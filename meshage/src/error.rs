//! One error type per operation; each variant says what still holds.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::message::Encoding;
use crate::name::{NameError, NodeName};

macro_rules! errors {
    ($($name:ident),*) => { $(impl std::error::Error for $name {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.cause()
        }
    })* };
}

errors!(
    ConfigError,
    StartError,
    SendError,
    RecvError,
    DialError,
    HangupError,
    WaitError,
    BodyError
);

/// A configuration was not accepted. Nothing was started.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The node's name or namespace.
    Name(NameError),
    /// An address that is not one; carries the text.
    Address(String),
    /// A value out of its range; carries the option's name and the range.
    Range(&'static str, &'static str),
}

impl ConfigError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Name(error) => Some(error),
            Self::Address(_) | Self::Range(..) => None,
        }
    }
}

impl From<NameError> for ConfigError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Address(text) => write!(f, "{text:?} is not an IP address or host:port"),
            Self::Range(option, range) => write!(f, "{option} is out of range: {range}"),
        }
    }
}

/// A node could not start. Nothing of it is left running.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken by another program: choose another port, or port 0 for any free one.
    AddressInUse(std::net::SocketAddr),
    /// The socket could not be opened.
    Bind(std::net::SocketAddr, io::Error),
    /// The runtime's threads could not be started.
    Runtime(io::Error),
}

impl StartError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::AddressInUse(_) => None,
            Self::Bind(_, error) | Self::Runtime(error) => Some(error),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse(addr) => {
                write!(f, "{addr} is in use: choose another port, or a listen port of 0")
            }
            Self::Bind(addr, error) => write!(f, "cannot listen on {addr}: {error}"),
            Self::Runtime(error) => write!(f, "cannot start the node's threads: {error}"),
        }
    }
}

/// A message was not sent to anybody. (What became of one that was sent is in its report.)
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The body is larger than the node's `max_message`; carries both, in bytes.
    TooLarge(usize, usize),
    /// No recipient was named. To reach every node, broadcast.
    NoRecipients,
    /// The only recipient is the sender itself.
    SelfOnly,
    /// The local queue is full, and the call was not to wait.
    Again,
    /// The node is closed. Where the message was already under way, its fate is unknown.
    Closed,
}

impl SendError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(len, max) => {
                write!(f, "a body of {len} bytes is too large: max_message is {max}")
            }
            Self::NoRecipients => f.write_str("no recipient: name one, or broadcast"),
            Self::SelfOnly => f.write_str("a node does not send to itself"),
            Self::Again => f.write_str("the local queue is full: try again"),
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

/// Nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing came in time. Nothing is lost by asking again.
    Timeout,
    /// The node is closed and its queue is empty.
    Closed,
}

impl RecvError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "nothing arrived in time",
            Self::Closed => "the node is closed",
        })
    }
}

/// Why one node did not take another as its peer. Both ends learn it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefuseReason {
    /// The node dialled itself.
    Myself,
    /// The two nodes already share a link.
    Duplicate,
    /// Another reachable node has this name.
    NameInUse,
    /// It was looking for links, and has found enough meanwhile.
    Full,
    /// It has as many links as it may.
    TooManyLinks,
    /// It is closing.
    Closing,
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Myself => "a node does not dial itself",
            Self::Duplicate => "the two nodes already share a link",
            Self::NameInUse => "another reachable node has this name",
            Self::Full => "it has found enough links meanwhile",
            Self::TooManyLinks => "it has as many links as it may",
            Self::Closing => "it is closing",
        })
    }
}

/// A dial did not lead to a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The address could not be understood; carries it and the reason.
    Address(String, String),
    /// The host's name leads to no address; carries what was dialled and the reason.
    Resolve(String, String),
    /// None of the addresses answered; carries the last one's error.
    Connect(io::Error),
    /// No link within the time given.
    Timeout(Duration),
    /// The other end speaks something else, or another version of the protocol; says what.
    Handshake(String),
    /// The connection broke or was hung up before the link was up; says how.
    Broken(String),
    /// This node or the other refused, and says why.
    Refused(RefuseReason),
    /// The node is closed.
    Closed,
}

impl DialError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Address(..)
            | Self::Resolve(..)
            | Self::Timeout(_)
            | Self::Handshake(_)
            | Self::Broken(_)
            | Self::Refused(_)
            | Self::Closed => None,
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text, why) => write!(f, "cannot dial {text:?}: {why}"),
            Self::Resolve(text, why) => write!(f, "cannot find {text:?}: {why}"),
            Self::Connect(error) => write!(f, "nobody answers there: {error}"),
            Self::Timeout(after) => write!(f, "no link within {after:?}"),
            Self::Handshake(what) => write!(f, "the other end is no mesh node: {what}"),
            Self::Broken(how) => write!(f, "the link ended: {how}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

/// A hang-up found nothing to hang up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HangupError {
    /// There is no link to this node; carries the name.
    NotAPeer(String),
    /// The node is closed.
    Closed,
}

impl HangupError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

impl fmt::Display for HangupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPeer(name) => write!(f, "no link to {name:?}"),
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

/// Nodes that were waited for did not all come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// Not all within the time; carries the names still missing (none when a number was awaited).
    Timeout(Vec<NodeName>),
    /// The node is closed.
    Closed,
}

impl WaitError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(missing) if missing.is_empty() => {
                f.write_str("too few nodes came in time")
            }
            Self::Timeout(missing) => {
                f.write_str("not reachable in time:")?;
                missing.iter().try_for_each(|name| write!(f, " {name}"))
            }
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

/// A body is not what it was read as. The message itself is untouched.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// Not UTF-8.
    Utf8(std::str::Utf8Error),
    /// Sent in another encoding; carries it.
    Encoding(Encoding),
    /// Not a value of the type asked for.
    Decode(Box<dyn std::error::Error + Send + Sync>),
    /// The value cannot be serialised.
    Encode(Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Utf8(error) => Some(error),
            Self::Decode(error) | Self::Encode(error) => Some(&**error),
            Self::Encoding(_) => None,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8(error) => write!(f, "the body is not UTF-8: {error}"),
            Self::Encoding(encoding) => write!(f, "the body's encoding is {}", encoding.0),
            Self::Decode(error) => write!(f, "the body is not such a value: {error}"),
            Self::Encode(error) => write!(f, "the value cannot be serialised: {error}"),
        }
    }
}
