//! Acknowledgements on a link.

use bytes::Bytes;
use smallvec::SmallVec;

use super::WireError;
use super::data::Channel;
use super::field_codec::{FieldReader, put_name, put_number, unknown};
use super::frame::{FrameKind, WireFrame};
use crate::name::{Instance, NodeName};

/// The most acknowledgements in one frame: 256 of at most 180 bytes fit.
pub const ACK_ENTRIES_MAX: usize = 256;

/// Why a message was refused. A refused message was certainly not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(bincode::Encode))]
pub enum Refusal {
    /// A queue is full: the recipient's inbox, or the queue of a link on the path.
    Busy,
    /// An earlier message of the channel has not arrived. The recipient accepts this one if it is
    /// sent again in order.
    Early,
    /// The refusing node has no route to the recipient.
    NoRoute,
    /// The body is larger than the recipient accepts.
    TooLarge,
    /// The message is so old that the recipient no longer knows whether it was delivered.
    Stale,
}

/// The content of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub enum Verdict {
    /// Every message of the channel below this number is in the recipient's inbox, or was given up
    /// by the source.
    Delivered {
        /// The sequence number that the recipient accepts next.
        next: u64,
    },
    /// One message was refused.
    Refused {
        /// The message's sequence number.
        number: u64,
        /// The reason.
        refusal: Refusal,
    },
    /// A part of a large body has arrived.
    Progress {
        /// The message's sequence number.
        number: u64,
        /// The bytes of the body that have arrived.
        received: u64,
    },
    /// The refusing node has room again.
    Ready,
    /// Sent in the opposite direction: the source received no acknowledgement and asks the
    /// recipient for one. The reply is [`Verdict::Delivered`].
    Query,
    /// Sent in the direction of [`Verdict::Query`]: the recipient expects a message with a number
    /// that the source has not reached. It must start the channel anew. The reply is the same.
    Restart {
        /// The number that the recipient expects, according to its answer. If it expects another
        /// one by now, it ignores the request.
        claimed: u64,
        /// The number from which on it has received nothing of this source.
        limit: u64,
    },
}

/// One acknowledgement on its way back to the source of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(bincode::Encode))]
pub struct AckEntry {
    /// The node that the acknowledgement goes to: the source of the message (for a query or a
    /// restart, the recipient).
    pub to: Instance,
    /// The recipient that it is about (for a query or a restart, the source).
    pub from: NodeName,
    /// The instance of `from` that sent it; `None` if a relay sent it on behalf of `from`.
    pub by: Option<Instance>,
    /// The channel.
    pub channel: Channel,
    /// The content.
    pub verdict: Verdict,
    /// The number of links that it has crossed.
    pub hops: u8,
}

/// A batch of acknowledgements for one next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckFrame {
    /// In the order in which they were added.
    pub entries: SmallVec<[AckEntry; 1]>,
}

impl AckEntry {
    fn encode_into(&self, into: &mut Vec<u8>) {
        put_number(into, self.to.0);
        put_name(into, &self.from);
        into.push(u8::from(self.by.is_some()));
        if let Some(by) = self.by {
            put_number(into, by.0);
        }
        self.channel.encode_into(into);
        match self.verdict {
            Verdict::Delivered { next } => {
                into.push(0);
                put_number(into, next);
            }
            Verdict::Refused { number, refusal } => {
                into.push(1);
                put_number(into, number);
                into.push(refusal as u8);
            }
            Verdict::Progress { number, received } => {
                into.push(2);
                put_number(into, number);
                put_number(into, received);
            }
            Verdict::Ready => into.push(3),
            Verdict::Query => into.push(4),
            Verdict::Restart { claimed, limit } => {
                into.push(5);
                put_number(into, claimed);
                put_number(into, limit);
            }
        }
        into.push(self.hops);
    }

    fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            to: Instance(fields.number()?),
            from: fields.name()?,
            by: if fields.flag()? { Some(Instance(fields.number()?)) } else { None },
            channel: Channel::decode(fields)?,
            verdict: match fields.number()? {
                0 => Verdict::Delivered { next: fields.number()? },
                1 => {
                    let number = fields.number()?;
                    let refusal = Refusal::decode(fields)?;
                    Verdict::Refused { number, refusal }
                }
                2 => {
                    let number = fields.number()?;
                    Verdict::Progress { number, received: fields.number()? }
                }
                3 => Verdict::Ready,
                4 => Verdict::Query,
                5 => {
                    let claimed = fields.number()?;
                    Verdict::Restart { claimed, limit: fields.number()? }
                }
                other => return Err(unknown("unknown kind of acknowledgement:", other)),
            },
            hops: fields.byte()?,
        })
    }
}

impl Refusal {
    fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {
        Ok(match fields.number()? {
            0 => Self::Busy,
            1 => Self::Early,
            2 => Self::NoRoute,
            3 => Self::TooLarge,
            4 => Self::Stale,
            other => return Err(unknown("unknown reason of a refusal:", other)),
        })
    }
}

impl AckFrame {
    /// Encodes the frame for a link.
    pub fn encode(&self) -> WireFrame {
        WireFrame::new(FrameKind::Ack, Bytes::new(), |head| self.encode_into(head))
    }

    /// Appends the payload.
    pub fn encode_into(&self, into: &mut Vec<u8>) {
        assert!(
            self.entries.len() <= ACK_ENTRIES_MAX,
            "invariant W3: an acknowledgement frame is within its limit"
        );
        put_number(into, self.entries.len() as u64);
        for entry in &self.entries {
            entry.encode_into(into);
        }
    }

    /// Decodes the payload of an acknowledgement frame.
    ///
    /// # Errors
    /// [`WireError`] if the payload does not decode or breaks a limit.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let fields = &mut FieldReader::new(payload);
        let count = fields.number()?;
        if count > ACK_ENTRIES_MAX as u64 {
            return Err(unknown("too many acknowledgements in one frame:", count));
        }
        let entries: Result<_, _> = (0..count).map(|_| AckEntry::decode(fields)).collect();
        Ok(Self { entries: entries? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::PREFIX_BYTES;
    use smallvec::smallvec;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("valid")
    }

    #[test]
    fn acknowledgements_have_the_same_bytes_as_with_bincode() {
        let refusals =
            [Refusal::Busy, Refusal::Early, Refusal::NoRoute, Refusal::TooLarge, Refusal::Stale];
        let refused = refusals.map(|refusal| Verdict::Refused { number: 251, refusal });
        let others = [
            Verdict::Delivered { next: 1 << 33 },
            Verdict::Progress { number: 1, received: 9_999 },
            Verdict::Ready,
            Verdict::Query,
            Verdict::Restart { claimed: u64::MAX, limit: 7 },
        ];
        for verdict in refused.into_iter().chain(others) {
            for by in [None, Some(Instance(u64::MAX))] {
                let channel = Channel { broadcast: false, large: true };
                let entry =
                    AckEntry { to: Instance(7), from: name("b"), by, channel, verdict, hops: 255 };
                let mut encoded = Vec::new();
                entry.encode_into(&mut encoded);
                let with_bincode = bincode::encode_to_vec(&entry, bincode::config::standard());
                assert_eq!(Ok(&encoded), with_bincode.as_ref().map_err(|_| ()));
                assert_eq!(AckEntry::decode(&mut FieldReader::new(&encoded)), Ok(entry));
            }
        }
    }

    #[test]
    fn a_full_frame_of_the_longest_acknowledgements_fits() {
        let entry = AckEntry {
            to: Instance(u64::MAX),
            from: name(&"x".repeat(64)),
            by: Some(Instance(u64::MAX)),
            channel: Channel { broadcast: true, large: true },
            verdict: Verdict::Progress { number: u64::MAX, received: u64::MAX },
            hops: u8::MAX,
        };
        let frame = AckFrame { entries: smallvec![entry; ACK_ENTRIES_MAX] };
        let wire = frame.encode();
        assert_eq!(AckFrame::decode(&wire.head[PREFIX_BYTES..]).as_ref(), Ok(&frame));
    }
}
