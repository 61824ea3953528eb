//! What two control planes say to each other over a link.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::frame::{FrameKind, WireFrame};
use super::{WireError, codec};
use crate::config::LINKS_MAX;
use crate::error::RefuseReason;
use crate::name::{Instance, NodeName, Sequence};

/// The most bytes an announcement takes on the wire; 256 peers of 9 bytes and a name come to 2.4 KB.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 16 << 10;

/// How many entries a digest frame holds at most: 4,096 of at most 14 bytes stay within a frame.
pub const DIGEST_ENTRIES_MAX: usize = 4096;

/// One node's list of peers, as it is flooded through the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// The node that announces.
    pub name: NodeName,
    /// This life of it.
    pub instance: Instance,
    /// Newer announcements of one instance replace older ones.
    pub sequence: Sequence,
    /// Its peers, ascending.
    pub peers: Vec<Instance>,
}

/// A control frame.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ControlFrame {
    /// The sender takes the other end as a peer. The link is up once both have said so.
    Admit {
        /// Whether the sender has, or is making, another link to the same node.
        other_link: bool,
    },
    /// The sender does not, and closes.
    Refuse {
        /// Why.
        reason: RefuseReason,
    },
    /// What the sender's database holds: sent once by each end when a link comes up.
    Digest {
        /// Every node it can reach, and the sequence it has of it.
        entries: Vec<(Instance, Sequence)>,
        /// Whether this is the last frame of it.
        last: bool,
    },
    /// An announcement: flooded, or because a digest showed that it is missing.
    Announce(Announcement),
    /// All that the digest showed to be missing has been sent.
    Synced,
    /// The sender is closing: it has left, it did not fail.
    Leaving,
}

impl Encode for RefuseReason {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        let number: u8 = match self {
            Self::Myself => 1,
            Self::Duplicate => 2,
            Self::NameInUse => 3,
            Self::Full => 4,
            Self::TooManyLinks => 5,
            Self::Closing => 6,
        };
        number.encode(encoder)
    }
}

impl<C> Decode<C> for RefuseReason {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        Ok(match u8::decode(decoder)? {
            1 => Self::Myself,
            2 => Self::Duplicate,
            3 => Self::NameInUse,
            4 => Self::Full,
            5 => Self::TooManyLinks,
            6 => Self::Closing,
            other => {
                return Err(bincode::error::DecodeError::OtherString(format!(
                    "refused for reason {other}, which this version does not know"
                )));
            }
        })
    }
}

impl<'de, C> bincode::BorrowDecode<'de, C> for RefuseReason {
    fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        Decode::decode(decoder)
    }
}

impl ControlFrame {
    /// The frame for the link.
    pub fn encode(&self) -> WireFrame {
        WireFrame::new(FrameKind::Control, Bytes::new(), |head| codec::encode(self, head))
    }

    /// Reads the payload of a control frame.
    ///
    /// # Errors
    /// What does not decode, or breaks a limit.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let frame: Self = codec::decode(payload)?;
        match &frame {
            Self::Announce(announcement) => announcement.check(payload.len())?,
            Self::Digest { entries, .. } if entries.len() > DIGEST_ENTRIES_MAX => {
                return Err(WireError::new(format!("a digest of {} entries", entries.len())));
            }
            Self::Digest { .. }
            | Self::Admit { .. }
            | Self::Refuse { .. }
            | Self::Synced
            | Self::Leaving => {}
        }
        Ok(frame)
    }
}

impl Announcement {
    fn check(&self, len: usize) -> Result<(), WireError> {
        if len > ANNOUNCEMENT_BYTES_MAX || self.peers.len() > LINKS_MAX {
            return Err(WireError::new(format!(
                "an announcement of {} peers in {len} bytes",
                self.peers.len()
            )));
        }
        if !self.peers.is_sorted_by(|a, b| a < b) {
            return Err(WireError::new("an announcement whose peers are not ascending"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::PREFIX_BYTES;

    fn announcement(peers: Vec<Instance>) -> ControlFrame {
        ControlFrame::Announce(Announcement {
            name: NodeName::new("a").expect("valid"),
            instance: Instance(1),
            sequence: Sequence::FIRST,
            peers,
        })
    }

    fn through_the_wire(frame: &ControlFrame) -> Result<ControlFrame, WireError> {
        ControlFrame::decode(&frame.encode().head[PREFIX_BYTES..])
    }

    #[test]
    fn every_control_frame_survives_the_wire() {
        let entries = vec![(Instance(u64::MAX), Sequence(u32::MAX)); DIGEST_ENTRIES_MAX];
        for frame in [
            ControlFrame::Admit { other_link: true },
            ControlFrame::Refuse { reason: RefuseReason::NameInUse },
            ControlFrame::Digest { entries, last: false },
            announcement((1..=256).map(|i| Instance(u64::MAX - 256 + i - 1)).collect()),
            ControlFrame::Synced,
            ControlFrame::Leaving,
        ] {
            assert_eq!(through_the_wire(&frame).as_ref(), Ok(&frame));
        }
    }

    #[test]
    fn announcements_beyond_their_limits_are_refused() {
        assert!(through_the_wire(&announcement((0..257).map(Instance).collect())).is_err());
        assert!(through_the_wire(&announcement(vec![Instance(2), Instance(1)])).is_err());
        assert!(through_the_wire(&announcement(vec![Instance(2), Instance(2)])).is_err());
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        // A digest that claims 2^60 entries and brings none.
        let mut payload = vec![2];
        payload.push(253);
        payload.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(ControlFrame::decode(&payload).is_err());
    }
}
