//! The unfinished bodies, and the memory that they may use.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use crate::forward::buffer_pool::BodyBuffer;
use crate::name::Instance;
use crate::wire::data::{Channel, Chunk};

/// The body that a chunk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyKey {
    /// The source of the message.
    pub source: Instance,
    /// The channel of the message.
    pub channel: Channel,
    /// Distinguishes bodies where one source sends several at once in a channel; zero elsewhere.
    pub id: u64,
}

/// The buffer of an unfinished body.
#[derive(Debug)]
pub(super) enum BufferState {
    /// The buffer is here.
    Available(BodyBuffer),
    /// The buffer is lent, under this number. The chunks that arrived meanwhile are set aside.
    Lent(u64, Vec<(Chunk, Bytes)>),
}

/// An unfinished body.
#[derive(Debug)]
pub(super) struct PartialBody {
    /// The sequence number of its message.
    pub(super) number: u64,
    pub(super) total: u64,
    pub(super) received: usize,
    /// How many bytes it counts for: its memory, and the chunks that were set aside.
    pub(super) charged: usize,
    pub(super) state: BufferState,
    pub(super) last_chunk_at: Instant,
    /// When the source was last sent the progress, or when the body started.
    pub(super) reported_at: Instant,
}

/// All unfinished bodies, within one limit on their memory.
#[derive(Debug)]
pub(super) struct PartialBodies {
    bodies: BTreeMap<BodyKey, PartialBody>,
    bytes: usize,
    bytes_max: usize,
    /// Bodies that were evicted, with the numbers of their messages. Their sources must be
    /// notified.
    evicted: Vec<(BodyKey, u64)>,
}

impl PartialBodies {
    /// Room for so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bodies: BTreeMap::new(), bytes: 0, bytes_max, evicted: Vec::new() }
    }

    pub(super) fn get(&self, key: BodyKey) -> Option<&PartialBody> {
        self.bodies.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: BodyKey) -> Option<&mut PartialBody> {
        self.bodies.get_mut(&key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&BodyKey, &PartialBody)> {
        self.bodies.iter()
    }

    pub(super) fn insert(&mut self, key: BodyKey, body: PartialBody) {
        self.bytes += body.charged;
        self.bodies.insert(key, body);
    }

    pub(super) fn remove(&mut self, key: BodyKey) -> Option<PartialBody> {
        let body = self.bodies.remove(&key)?;
        self.bytes -= body.charged;
        Some(body)
    }

    /// How many bytes the bodies count for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so many more bytes are within the limit.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.bytes + bytes <= self.bytes_max
    }

    /// Whether at most half of the memory is in use.
    pub(super) fn is_half_empty(&self) -> bool {
        self.bytes <= self.bytes_max / 2
    }

    /// Charges a body for at least so many bytes. Returns whether there was room.
    pub(super) fn charge(&mut self, key: BodyKey, needed: usize) -> bool {
        let charged = self.bodies.get(&key).map_or(0, |body| body.charged);
        let more = needed.saturating_sub(charged);
        if !self.make_room(key, more) {
            return false;
        }
        if let Some(body) = self.bodies.get_mut(&key) {
            body.charged += more;
            self.bytes += more;
        }
        true
    }

    /// Charges a body for so many bytes less, and returns the number of its message.
    pub(super) fn discharge(&mut self, key: BodyKey, bytes: usize) -> Option<u64> {
        let body = self.bodies.get_mut(&key)?;
        body.charged -= bytes;
        self.bytes -= bytes;
        Some(body.number)
    }

    /// Makes room for so many more bytes of a body, if its source uses less than another one.
    pub(super) fn make_room(&mut self, key: BodyKey, len: usize) -> bool {
        while !self.fits(len) {
            let mut used: BTreeMap<Instance, usize> = BTreeMap::new();
            for (other, body) in &self.bodies {
                *used.entry(other.source).or_default() += body.charged;
            }
            let own = used.get(&key.source).copied().unwrap_or(0) + len;
            let Some((&largest, &most)) = used.iter().max_by_key(|(_, bytes)| **bytes) else {
                return false;
            };
            if most <= own || largest == key.source {
                return false;
            }
            let victim = self
                .bodies
                .iter()
                .filter(|(other, _)| other.source == largest)
                .max_by_key(|(_, body)| body.charged)
                .map(|(other, body)| (*other, body.number));
            let Some((victim, number)) = victim else {
                return false;
            };
            self.remove(victim);
            self.evicted.push((victim, number));
        }
        true
    }

    /// The bodies that were evicted since the last call, with the numbers of their messages.
    pub(super) fn take_evicted(&mut self) -> Vec<(BodyKey, u64)> {
        std::mem::take(&mut self.evicted)
    }
}
