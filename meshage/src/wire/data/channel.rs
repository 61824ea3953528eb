//! Channels, the ordering domains of messages, and the sequence numbers in them.

use std::fmt;

use crate::wire::WireError;
use crate::wire::field_codec::{FieldReader, put_number};

/// The ordering domain of a message: messages of one channel arrive in the order in which they were
/// sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct Channel {
    /// The message is sent to every node.
    pub broadcast: bool,
    /// The body is larger than a chunk.
    pub large: bool,
}

/// A message's sequence number in its channel, and the floor below which none is outstanding.
/// On the wire the floor is the distance to the number, which is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageSequence {
    /// The message's sequence number. The numbers of a channel are consecutive.
    pub number: u64,
    /// The source no longer waits for any message below this number.
    pub floor: u64,
}

impl MessageSequence {
    pub(super) fn encode_into(&self, into: &mut Vec<u8>) {
        put_number(into, self.number);
        put_number(into, self.number.wrapping_sub(self.floor));
    }

    pub(super) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        let number = fields.number()?;
        let floor = number.checked_sub(fields.number()?);
        let floor = floor.ok_or_else(|| WireError::new("a floor below 0"))?;
        Ok(Self { number, floor })
    }
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 4] = [
        Self { broadcast: false, large: false },
        Self { broadcast: false, large: true },
        Self { broadcast: true, large: false },
        Self { broadcast: true, large: true },
    ];

    pub(in crate::wire) fn encode_into(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[self.broadcast.into(), self.large.into()]);
    }

    pub(in crate::wire) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(Self { broadcast: fields.flag()?, large: fields.flag()? })
    }

    /// The channel that keeps a common order with this one: sets and broadcasts of one size do.
    #[must_use]
    pub fn sibling(self) -> Self {
        Self { broadcast: !self.broadcast, large: self.large }
    }

    /// The channel's position in [`Channel::ALL`].
    pub fn index(self) -> usize {
        usize::from(self.broadcast) * 2 + usize::from(self.large)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.broadcast, self.large) {
            (false, false) => "set",
            (false, true) => "large set",
            (true, false) => "broadcast",
            (true, true) => "large broadcast",
        })
    }
}
