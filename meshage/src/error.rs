//! Errors, one type per operation. Each variant documents the state after the failure.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::address::ZONE_MISSING;
use crate::encoding::Encoding;
use crate::name::{NameError, NameSummary, NodeName};
use crate::secure::{AuthError, KeyError};

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

/// The most characters of a caller's own text that an error repeats: more than any address has.
const QUOTED_CHARS_MAX: usize = 100;

/// A caller's text in an error: quoted, and shortened if it is long.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED_CHARS_MAX) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}… ({} bytes)", &self.0[..end], self.0.len()),
        }
    }
}

/// A configuration is not valid. Nothing was started.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The node's name or namespace is not valid.
    Name(NameError),
    /// An address cannot be parsed; carries the text.
    Address(String),
    /// A link-local IPv6 address has no zone; carries the text. Write `fe80::1%eth0`.
    Zone(String),
    /// A value is out of its range; carries the option's name and the range.
    Range(&'static str, &'static str),
    /// A key, or a file with keys, cannot be used.
    Key(KeyError),
    /// The options for a closed mesh do not fit together; carries what to do.
    Security(String),
}

impl ConfigError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Name(error) => Some(error),
            Self::Key(error) => Some(error),
            Self::Address(_) | Self::Zone(_) | Self::Range(..) | Self::Security(_) => None,
        }
    }
}

impl From<NameError> for ConfigError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<KeyError> for ConfigError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Address(text) => write!(f, "{} is not an IP address or host:port", Quoted(text)),
            Self::Zone(text) => write!(f, "{}: {ZONE_MISSING}", Quoted(text)),
            Self::Range(option, range) => write!(f, "{option} is out of range: {range}"),
            Self::Key(error) => error.fmt(f),
            Self::Security(what) => f.write_str(what),
        }
    }
}

/// A node could not start. None of its tasks is left running.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Another program uses the address. Choose another port, or port 0 for any free one.
    AddressInUse(std::net::SocketAddr),
    /// The socket could not be opened.
    Bind(std::net::SocketAddr, io::Error),
    /// The node's threads could not be started, or the system lacks something else that they need;
    /// carries the reason and what to do.
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
            Self::Runtime(error) => write!(f, "cannot start the node: {error}"),
        }
    }
}

/// A message was not sent. (The outcomes of a sent message are in its report.)
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The body is larger than the node's `max_message`; carries both, in bytes.
    TooLarge(usize, usize),
    /// No recipient was named. To reach every node, broadcast.
    NoRecipients,
    /// The only recipient is the sender itself.
    SelfOnly,
    /// The local queue is full, and the call does not wait.
    Again,
    /// The node is closed. If the message was already in flight, its outcome is unknown.
    Closed,
    /// No thread could be started for the callback; carries the reason and what to do.
    NoThread(String),
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
            Self::NoRecipients => f.write_str("no recipient: name at least one, or broadcast"),
            Self::SelfOnly => f.write_str("a node cannot send to itself"),
            Self::Again => f.write_str("the local queue is full: try again later"),
            Self::Closed => f.write_str("the node is closed"),
            Self::NoThread(reason) => f.write_str(reason),
        }
    }
}

/// No message or event was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing arrived in time. What arrives later is returned by a later call.
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

/// Why a node refused a link. Both ends of the connection receive the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefuseReason {
    /// The node dialled itself.
    Myself,
    /// The two nodes already share a link.
    Duplicate,
    /// Another reachable node has this name.
    NameInUse,
    /// The node solicited links and has enough by now.
    Full,
    /// The node has the maximum number of links.
    TooManyLinks,
    /// The node is closing.
    Closing,
    /// The application at the other end hung up.
    HungUp,
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Myself => "a node cannot dial itself",
            Self::Duplicate => "the two nodes already share a link",
            Self::NameInUse => "another reachable node has this name",
            Self::Full => "the node has enough links by now",
            Self::TooManyLinks => "the node has the maximum number of links",
            Self::Closing => "the node is closing",
            Self::HungUp => "the other end hung up",
        })
    }
}

/// A dial did not establish a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The address cannot be parsed; carries the address and the reason.
    Address(String, String),
    /// The host name cannot be resolved; carries the dialled address and the reason.
    Resolve(String, String),
    /// No connection to any of the addresses; carries the error of the last one.
    Connect(io::Error),
    /// No link within the time limit.
    Timeout(Duration),
    /// The handshake failed: the other end uses another protocol, or another version of it; carries
    /// the reason.
    Handshake(String),
    /// The connection broke or was hung up before the link was up; carries the reason.
    Broken(String),
    /// This node or the other one refused the link; carries the reason.
    Refused(RefuseReason),
    /// The two nodes have no key in common, one of them does not encrypt, or one of them is not who
    /// it must be; carries what was heard and what to do.
    Auth(AuthError),
    /// The node is closed.
    Closed,
}

impl DialError {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Auth(error) => Some(error),
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
            Self::Address(text, why) => write!(f, "cannot dial {}: {why}", Quoted(text)),
            Self::Resolve(text, why) => write!(f, "cannot resolve {}: {why}", Quoted(text)),
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Timeout(Duration::ZERO) => {
                f.write_str("not linked yet: with a time limit of 0 the call does not wait")
            }
            Self::Timeout(after) => write!(f, "no link within {}", PlainTime(*after)),
            Self::Handshake(what) => write!(f, "the handshake with the other end failed: {what}"),
            Self::Broken(how) => write!(f, "the link ended: {how}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Auth(error) => error.fmt(f),
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

/// A hang-up had no link to close.
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
            Self::NotAPeer(name) => write!(f, "no link to {}", Quoted(name)),
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

/// The nodes that a caller waited for did not all become reachable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// Not all became reachable in time; carries the missing names (none when the caller waited for
    /// a number of nodes).
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
                f.write_str("too few nodes became reachable in time")
            }
            Self::Timeout(missing) => {
                write!(f, "not reachable in time: {}", NameSummary(missing))
            }
            Self::Closed => f.write_str("the node is closed"),
        }
    }
}

/// A body could not be converted. The message itself is unchanged.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is not UTF-8.
    Utf8(std::str::Utf8Error),
    /// The body has another encoding; carries it.
    Encoding(Encoding),
    /// The body does not decode as the requested type.
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
            Self::Encoding(encoding) => write!(f, "the body has another encoding: {}", encoding.0),
            Self::Decode(error) => write!(f, "the body does not decode as this type: {error}"),
            Self::Encode(error) => write!(f, "the value cannot be serialised: {error}"),
        }
    }
}

/// A time as a sentence shows it: in seconds or milliseconds, with as many digits as matter.
struct PlainTime(Duration);

impl fmt::Display for PlainTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(time) = *self;
        if time < Duration::from_millis(1) {
            f.write_str("1 ms")
        } else if time < Duration::from_secs(1) {
            write!(f, "{} ms", time.as_millis())
        } else if time.subsec_millis() == 0 {
            write!(f, "{} s", time.as_secs())
        } else {
            let text = format!("{}.{:03}", time.as_secs(), time.subsec_millis());
            write!(f, "{} s", text.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_shown_in_plain_words() {
        let text = |nanoseconds| DialError::Timeout(Duration::from_nanos(nanoseconds)).to_string();
        assert_eq!(text(0), "not linked yet: with a time limit of 0 the call does not wait");
        assert_eq!(text(1), "no link within 1 ms");
        assert_eq!(text(250_600_000), "no link within 250 ms");
        assert_eq!(text(1_500_000_001), "no link within 1.5 s");
        assert_eq!(text(10_000_000_000), "no link within 10 s");
    }

    #[test]
    fn the_text_of_a_failed_wait_lists_some_of_the_missing_nodes() {
        let missing = |count: usize| {
            let names = (0..count).map(|number| NodeName::new(&format!("node-{number}")));
            WaitError::Timeout(names.collect::<Result<_, _>>().expect("valid names")).to_string()
        };
        assert_eq!(missing(2), "not reachable in time: node-0, node-1");
        let text = missing(10_000);
        assert!(text.ends_with(", node-9 and 9990 more") && text.len() < 200, "{text}");
    }

    #[test]
    fn an_error_repeats_only_the_start_of_a_long_text() {
        let text = "ü".repeat(1_000_000);
        let error = DialError::Address(text, "no port".into()).to_string();
        assert!(error.len() < 400 && error.contains("(2000000 bytes): no port"), "{error}");
        let error = HangupError::NotAPeer("bob".into()).to_string();
        assert_eq!(error, "no link to \"bob\"");
    }
}
