//! Control frames: the messages between the control planes at both ends of a link.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::frame::{FrameKind, WireFrame};
use super::{WireError, codec};
use crate::config::LINKS_MAX;
use crate::error::RefuseReason;
use crate::name::{Claim, Instance, NodeName, Sequence};

/// The most bytes of an announcement on the wire. 256 peers of 9 bytes and a name take 2.4 KB.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 16 << 10;

/// The most entries of a digest frame: 4,096 of at most 14 bytes fit.
pub const DIGEST_ENTRIES_MAX: usize = 4096;

/// The most entries of a frame of claims: 512 of at most 79 bytes fit.
pub const CLAIMS_MAX: usize = 512;

/// The most revocations in a frame: 64 of at most 515 bytes fit.
pub const REVOCATIONS_IN_FRAME_MAX: usize = 64;

/// The most ranges in a frame: 512 of at most 27 bytes fit.
pub const RANGES_MAX: usize = 512;

/// The most nodes in a list or a request.
pub const LISTED_MAX: usize = 64;

/// The most bytes of a ticket or a revocation.
pub const SIGNED_BYTES_MAX: usize = 512;

/// The list of one node's peers, which is flooded through the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// The node that announces.
    pub name: NodeName,
    /// The node's instance.
    pub instance: Instance,
    /// Orders the announcements of one instance. A newer one replaces an older one.
    pub sequence: Sequence,
    /// The node's claim to its name.
    pub claim: Claim,
    /// Whether the node leaves the mesh: this is its last announcement, and it has no peers.
    pub leaving: bool,
    /// The node's peers, in ascending order.
    pub peers: Vec<Instance>,
}

/// A signature of 64 bytes.
pub type Signature = [u8; 64];

/// What binds an instance to a public key, and the key to a name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Credential {
    /// The public key of the node.
    pub public_key: [u8; 32],
    /// The random number from which, with the public key, the instance is derived.
    pub nonce: u64,
    /// The ticket of the node, if it has one: at most [`SIGNED_BYTES_MAX`] bytes.
    pub ticket: Option<Vec<u8>>,
}

/// An announcement that its originator has signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedAnnouncement {
    /// The announcement.
    pub announcement: Announcement,
    /// The originator's signature.
    pub signature: Signature,
    /// The originator's credential, if the receiver may not know it.
    pub credential: Option<Credential>,
}

/// A node that failed, and its claim to its name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FormerHolder {
    /// The name.
    pub name: NodeName,
    /// The instance of the node that failed.
    pub instance: Instance,
    /// Its claim.
    pub claim: Claim,
}

/// The announcements of a range of instances, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Range {
    /// The first instance.
    pub first: Instance,
    /// The last instance.
    pub last: Instance,
    /// The sum of the digests of the announcements.
    pub digest: u64,
}

/// An announcement in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Listed {
    /// The originator.
    pub instance: Instance,
    /// Its sequence.
    pub sequence: Sequence,
    /// The lower half of its digest.
    pub check: u32,
}

/// A control frame.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ControlFrame {
    /// The sender admits the link. It is up once both ends have admitted it.
    Admit {
        /// Whether the sender has or establishes another link to the same node.
        other_link: bool,
    },
    /// The sender refuses the link and closes it.
    Refuse {
        /// The reason.
        reason: RefuseReason,
    },
    /// The content of the sender's database. Each end sends it once when a link comes up.
    Digest {
        /// Each node that the sender can reach, with the sequence of its latest announcement.
        entries: Vec<(Instance, Sequence)>,
        /// Whether this is the last frame of the digest.
        last: bool,
    },
    /// An announcement that is flooded, or that was missing from a digest.
    Announce(Announcement),
    /// The sender has sent every announcement that was missing from the digest.
    Synced,
    /// The sender closes: it leaves the mesh and did not fail.
    Leaving,
    /// Names whose holders failed, so that a node that takes one over claims more. Sent in the
    /// database exchange, and forwarded where they are new.
    Claims {
        /// The names; at most [`CLAIMS_MAX`] in a frame.
        entries: Vec<FormerHolder>,
    },
    /// An announcement at levels allowed and signed, flooded as [`ControlFrame::Announce`] is at others.
    SignedAnnounce(Box<SignedAnnouncement>),
    /// Revocations that the root has signed. Sent in the database exchange, and flooded where they
    /// are new.
    Revocations {
        /// The revocations; at most [`REVOCATIONS_IN_FRAME_MAX`] in a frame.
        entries: Vec<Vec<u8>>,
    },
    /// What the sender has in these ranges. In the exchange, the receiver answers with
    /// [`ControlFrame::DigestRequest`]. Later, it answers with parts, or a list, of the ranges in which
    /// it has something else.
    Compare {
        /// The ranges, in ascending order, without overlap; at most [`RANGES_MAX`].
        ranges: Vec<Range>,
    },
    /// All announcements that the sender has in a range.
    Listing {
        /// The first instance of the range.
        first: Instance,
        /// The last instance.
        last: Instance,
        /// The announcements, in ascending order; at most [`LISTED_MAX`].
        entries: Vec<Listed>,
    },
    /// The sender wants the announcements of these nodes.
    Request {
        /// At most [`LISTED_MAX`].
        instances: Vec<Instance>,
    },
    /// The sender wants a digest of these ranges only.
    DigestRequest {
        /// The first and the last instance of each range, in ascending order, without overlap; at most
        /// [`RANGES_MAX`].
        ranges: Vec<(Instance, Instance)>,
    },
    /// The sender wants a [`ControlFrame::ProbeAnswer`] at once: a keep-alive is missing, or it measures
    /// the round trip.
    Probe,
    /// The answer to a [`ControlFrame::Probe`].
    ProbeAnswer,
    /// The sender has these announcements and has not sent them over this link.
    Have {
        /// The announcements; at most [`LISTED_MAX`].
        entries: Vec<Listed>,
    },
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
            Self::HungUp => 7,
            Self::TicketEnded => 8,
            Self::Revoked => 9,
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
            7 => Self::HungUp,
            8 => Self::TicketEnded,
            9 => Self::Revoked,
            other => {
                return Err(bincode::error::DecodeError::OtherString(format!(
                    "unknown reason of a refusal: {other}"
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
    /// Encodes the frame for a link.
    pub fn encode(&self) -> WireFrame {
        WireFrame::new(FrameKind::Control, Bytes::new(), |head| codec::encode(self, head))
    }

    /// Decodes the payload of a control frame.
    ///
    /// # Errors
    /// [`WireError`] if the payload does not decode or breaks a limit.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let frame: Self = codec::decode(payload)?;
        match &frame {
            Self::Announce(announcement) => announcement.check(payload.len())?,
            Self::Digest { entries, .. } if entries.len() > DIGEST_ENTRIES_MAX => {
                return Err(WireError::new(format!("a digest of {} entries", entries.len())));
            }
            Self::Claims { entries } if entries.len() > CLAIMS_MAX => {
                return Err(WireError::new(format!("claims to {} names", entries.len())));
            }
            Self::SignedAnnounce(signed) => signed.check(payload.len())?,
            Self::Revocations { entries } => {
                if entries.len() > REVOCATIONS_IN_FRAME_MAX {
                    return Err(WireError::new(format!("{} revocations", entries.len())));
                }
                if let Some(long) = entries.iter().find(|entry| entry.len() > SIGNED_BYTES_MAX) {
                    return Err(WireError::new(format!("a revocation of {} bytes", long.len())));
                }
            }
            Self::Compare { ranges } => {
                check_ranges(ranges.iter().map(|range| (range.first, range.last)))?;
            }
            Self::DigestRequest { ranges } => check_ranges(ranges.iter().copied())?,
            Self::Listing { first, last, entries } => {
                let instances = entries.iter().map(|entry| entry.instance);
                let fits = |instance| (*first..=*last).contains(&instance);
                if entries.len() > LISTED_MAX
                    || !instances.clone().is_sorted_by(|a, b| a < b)
                    || !instances.clone().all(fits)
                {
                    return Err(WireError::new("a list that is too long, or out of order"));
                }
            }
            Self::Have { entries } if entries.len() > LISTED_MAX => {
                return Err(WireError::new(format!("{} announcements offered", entries.len())));
            }
            Self::Request { instances } if instances.len() > LISTED_MAX => {
                return Err(WireError::new(format!("a request of {} nodes", instances.len())));
            }
            Self::Digest { .. }
            | Self::Claims { .. }
            | Self::Have { .. }
            | Self::Request { .. }
            | Self::Admit { .. }
            | Self::Refuse { .. }
            | Self::Synced
            | Self::Leaving
            | Self::Probe
            | Self::ProbeAnswer => {}
        }
        Ok(frame)
    }
}

fn check_ranges(
    ranges: impl ExactSizeIterator<Item = (Instance, Instance)> + Clone,
) -> Result<(), WireError> {
    let in_order = ranges.clone().all(|(first, last)| first <= last)
        && ranges.clone().zip(ranges.clone().skip(1)).all(|(before, after)| before.1 < after.0);
    match ranges.len() > RANGES_MAX || !in_order {
        true => Err(WireError::new("too many ranges, or ranges out of order")),
        false => Ok(()),
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
            return Err(WireError::new(
                "an announcement with peers that are not in ascending order",
            ));
        }
        Ok(())
    }
}

impl SignedAnnouncement {
    fn check(&self, len: usize) -> Result<(), WireError> {
        let ticket = self.credential.as_ref().and_then(|credential| credential.ticket.as_ref());
        match ticket {
            Some(ticket) if ticket.len() > SIGNED_BYTES_MAX => {
                Err(WireError::new(format!("a ticket of {} bytes", ticket.len())))
            }
            Some(_) | None => self.announcement.check(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::PREFIX_BYTES;

    fn unsigned(peers: Vec<Instance>) -> Announcement {
        Announcement {
            name: NodeName::new("a").expect("valid"),
            instance: Instance(1),
            sequence: Sequence::FIRST,
            claim: Claim::FIRST,
            leaving: false,
            peers,
        }
    }

    fn announcement(peers: Vec<Instance>) -> ControlFrame {
        ControlFrame::Announce(unsigned(peers))
    }

    fn signed(ticket: Option<Vec<u8>>, peers: Vec<Instance>) -> ControlFrame {
        let credential = Some(Credential { public_key: [1; 32], nonce: u64::MAX, ticket });
        let announcement = unsigned(peers);
        let signature = [7; 64];
        ControlFrame::SignedAnnounce(Box::new(SignedAnnouncement {
            announcement,
            signature,
            credential,
        }))
    }

    fn round_trip(frame: &ControlFrame) -> Result<ControlFrame, WireError> {
        ControlFrame::decode(&frame.encode().head[PREFIX_BYTES..])
    }

    #[test]
    fn every_control_frame_decodes_to_what_was_encoded() {
        let entries = vec![(Instance(u64::MAX), Sequence(u32::MAX)); DIGEST_ENTRIES_MAX];
        let former = FormerHolder {
            name: NodeName::new(&"x".repeat(64)).expect("valid"),
            instance: Instance(u64::MAX),
            claim: Claim(u32::MAX),
        };
        for frame in [
            ControlFrame::Admit { other_link: true },
            ControlFrame::Refuse { reason: RefuseReason::NameInUse },
            ControlFrame::Refuse { reason: RefuseReason::HungUp },
            ControlFrame::Digest { entries, last: false },
            announcement((1..=256).map(|i| Instance(u64::MAX - 256 + i - 1)).collect()),
            ControlFrame::Synced,
            ControlFrame::Leaving,
            ControlFrame::Claims { entries: vec![former; CLAIMS_MAX] },
            signed(None, vec![Instance(3)]),
            signed(Some(vec![9; SIGNED_BYTES_MAX]), (0..256).map(Instance).collect()),
            ControlFrame::Revocations {
                entries: vec![vec![9; SIGNED_BYTES_MAX]; REVOCATIONS_IN_FRAME_MAX],
            },
            ControlFrame::Refuse { reason: RefuseReason::TicketEnded },
            ControlFrame::Compare { ranges: ranges(RANGES_MAX) },
            ControlFrame::DigestRequest {
                ranges: ranges(RANGES_MAX).iter().map(|range| (range.first, range.last)).collect(),
            },
            listing((1..=LISTED_MAX as u64).collect()),
            ControlFrame::Request { instances: vec![Instance(u64::MAX); LISTED_MAX] },
            ControlFrame::Refuse { reason: RefuseReason::Revoked },
            ControlFrame::Probe,
            ControlFrame::ProbeAnswer,
            ControlFrame::Have { entries: listed(1..=LISTED_MAX as u64) },
        ] {
            assert_eq!(round_trip(&frame).as_ref(), Ok(&frame));
        }
    }

    #[test]
    fn announcements_beyond_a_limit_are_errors() {
        assert!(round_trip(&announcement((0..257).map(Instance).collect())).is_err());
        assert!(round_trip(&announcement(vec![Instance(2), Instance(1)])).is_err());
        let former = FormerHolder {
            name: NodeName::new("a").expect("valid"),
            instance: Instance(1),
            claim: Claim::FIRST,
        };
        let claims = ControlFrame::Claims { entries: vec![former; CLAIMS_MAX + 1] };
        assert!(round_trip(&claims).is_err());
        assert!(round_trip(&announcement(vec![Instance(2), Instance(2)])).is_err());
    }

    fn ranges(count: usize) -> Vec<Range> {
        let range = |at: usize| {
            let first = Instance(u64::MAX - 2 * at as u64 - 1);
            Range { first, last: Instance(first.0 + 1), digest: u64::MAX }
        };
        (0..count).rev().map(range).collect()
    }

    fn listing(instances: Vec<u64>) -> ControlFrame {
        let (first, last) = (Instance(1), Instance(64));
        ControlFrame::Listing { first, last, entries: listed(instances) }
    }

    fn listed(instances: impl IntoIterator<Item = u64>) -> Vec<Listed> {
        let sequence = Sequence(u32::MAX);
        let entry = |it: u64| Listed { instance: Instance(it), sequence, check: u32::MAX };
        instances.into_iter().map(entry).collect()
    }

    #[test]
    fn comparisons_beyond_a_limit_or_out_of_order_are_errors() {
        let compare = |ranges| round_trip(&ControlFrame::Compare { ranges });
        assert!(compare(ranges(RANGES_MAX + 1)).is_err());
        let mut reversed = ranges(2);
        reversed.reverse();
        assert!(compare(reversed).is_err());
        let empty = Range { first: Instance(2), last: Instance(1), digest: 0 };
        assert!(compare(vec![empty]).is_err());
        let overlapping = vec![(Instance(1), Instance(5)), (Instance(5), Instance(6))];
        assert!(round_trip(&ControlFrame::DigestRequest { ranges: overlapping }).is_err());
        let have = ControlFrame::Have { entries: listed(0..=LISTED_MAX as u64) };
        assert!(round_trip(&have).is_err());
        let instances = vec![Instance(1); LISTED_MAX + 1];
        assert!(round_trip(&ControlFrame::Request { instances }).is_err());
        assert!(round_trip(&listing(vec![2, 1])).is_err());
        assert!(round_trip(&listing(vec![1, 1])).is_err());
        assert!(round_trip(&listing(vec![65])).is_err());
        assert!(round_trip(&listing((0..=LISTED_MAX as u64).collect())).is_err());
    }

    #[test]
    fn tickets_and_revocations_beyond_a_limit_are_errors() {
        assert!(round_trip(&signed(Some(vec![9; SIGNED_BYTES_MAX + 1]), Vec::new())).is_err());
        assert!(round_trip(&signed(None, vec![Instance(2), Instance(1)])).is_err());
        let entries = vec![Vec::new(); REVOCATIONS_IN_FRAME_MAX + 1];
        assert!(round_trip(&ControlFrame::Revocations { entries }).is_err());
        let entries = vec![vec![9; SIGNED_BYTES_MAX + 1]];
        assert!(round_trip(&ControlFrame::Revocations { entries }).is_err());
    }

    #[test]
    fn no_memory_is_allocated_from_a_claimed_length() {
        // A digest that claims 2^60 entries and has none.
        let mut payload = vec![2];
        payload.push(253);
        payload.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(ControlFrame::decode(&payload).is_err());
    }
}
