//! The records of a sealed link: what one end seals and the other one opens.
//!
//! ```text
//!  length: u16, little-endian | sealed (contents | kind: u8) | tag: 16
//! ```
//!
//! The length counts the bytes after it, and is bound. Records of a direction are numbered from 0;
//! the number is the nonce. A record of frames holds what one write gathers, wherever the frames
//! begin and end. Each direction has its own [`Sealer`] and [`Opener`], which share nothing.

use std::io::IoSlice;

use super::Secret;
use super::cipher::{Cipher, CipherKey, TAG_BYTES};
use super::error::{AuthError, Refusal};
use super::key::{Key, KeyId, Use, keyed_hash};
use super::key_ring::{KEYS_MAX, KeyRing};

/// The bytes of the length before a record.
pub const LENGTH_BYTES: usize = 2;
/// The bytes that a record has beside its contents.
pub const OVERHEAD_BYTES: usize = LENGTH_BYTES + 1 + TAG_BYTES;
/// The most bytes of a record, its length included.
pub const RECORD_BYTES_MAX: usize = LENGTH_BYTES + u16::MAX as usize;
/// The most contents of a record.
pub const CONTENTS_BYTES_MAX: usize = RECORD_BYTES_MAX - OVERHEAD_BYTES;
/// The number of records after which a direction gets a new key: 64 GiB of the longest records,
/// far below what either cipher can bear (2^24 records of this length for AES-GCM).
const RECORDS_PER_KEY: u64 = 1 << 20;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// A part of the stream of frames.
    Frames = 0,
    /// The hello of the sender, its first record.
    Hello = 1,
    /// The ids of the pre-shared keys that the sender accepts.
    Ring = 2,
    /// The id of the pre-shared key that the sender uses from the next record on.
    Switch = 3,
    /// Nothing: the next record has a new key.
    Rekey = 4,
    /// Why the sender refuses the other end and closes.
    Refuse = 5,
}

/// A record that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Frames: the range of the buffer that holds them.
    Frames(std::ops::Range<usize>),
    /// A hello: the range of the buffer that holds it.
    Hello(std::ops::Range<usize>),
    /// The ids of the pre-shared keys that the other end accepts, its primary one first.
    Ring(Vec<KeyId>),
    /// The other end seals under another pre-shared key from now on.
    Switched(KeyId),
    /// The other end has a new key from now on.
    Rekeyed,
    /// The other end refuses this node.
    Refused(Refusal),
    /// A record of a kind that this version does not know.
    Unknown,
}

/// The key of one direction.
struct Direction {
    cipher: Cipher,
    secret: Secret,
    key: CipherKey,
    /// The pre-shared key under which the direction is.
    id: KeyId,
    /// The number of the next record.
    number: u64,
}

impl Direction {
    fn new(cipher: Cipher, secret: Secret, id: KeyId) -> Self {
        Self { cipher, key: CipherKey::new(cipher, &secret), secret, id, number: 0 }
    }

    fn set(&mut self, secret: Secret) {
        self.key = CipherKey::new(self.cipher, &secret);
        self.secret = secret;
    }

    fn rekey(&mut self) {
        self.set(keyed_hash(&self.secret, &[b"meshage 1 rekey"]));
    }

    fn switch(&mut self, key: &Key) {
        self.set(key.derive(Use::Link, &[&self.secret[..]]));
        self.id = key.id();
    }

    fn next_number(&mut self) -> u64 {
        let number = self.number;
        // 2^64 records are not sent in the life of a link.
        self.number = number.wrapping_add(1);
        number
    }
}

/// Seals the records of one direction.
pub struct Sealer {
    direction: Direction,
    /// The number of the first record under the current key.
    key_since: u64,
}

impl Sealer {
    pub(super) fn new(cipher: Cipher, secret: Secret, id: KeyId) -> Self {
        Self { direction: Direction::new(cipher, secret, id), key_since: 0 }
    }

    /// The pre-shared key under which this direction is.
    pub fn key_id(&self) -> KeyId {
        self.direction.id
    }

    /// Seals bytes of the stream of frames into records, and appends them to `output`. Returns how
    /// many bytes it took: all of them, or as many as `records` records hold.
    pub fn seal_frames(
        &mut self,
        buffers: &[IoSlice<'_>],
        records: usize,
        output: &mut Vec<u8>,
    ) -> usize {
        let mut left = buffers.iter().map(|buffer| buffer.len()).sum::<usize>();
        let mut parts = buffers.iter().map(|buffer| &buffer[..]);
        let (mut part, mut taken): (&[u8], _) = (&[], 0);
        for _ in 0..records {
            if left == 0 {
                break;
            }
            let length = left.min(CONTENTS_BYTES_MAX);
            let start = self.begin(output, length);
            let mut missing = length;
            while missing > 0 {
                if part.is_empty() {
                    let Some(next) = parts.next() else { break };
                    part = next;
                }
                let (now, later) = part.split_at(part.len().min(missing));
                output.extend_from_slice(now);
                missing -= now.len();
                part = later;
            }
            self.end(output, start, Kind::Frames);
            left -= length;
            taken += length;
        }
        taken
    }

    /// Seals the hello.
    pub(super) fn seal_hello(&mut self, hello: &[u8], output: &mut Vec<u8>) {
        self.seal(Kind::Hello, hello, output);
    }

    /// Seals the ids of the keys that this node accepts.
    pub fn seal_ring(&mut self, ring: &KeyRing, output: &mut Vec<u8>) {
        let ids: Vec<u8> = ring.ids().into_iter().flat_map(|id| id.0).collect();
        self.seal(Kind::Ring, &ids, output);
    }

    /// Moves the direction to another pre-shared key. Only a holder of that key can open what
    /// follows.
    pub fn switch(&mut self, key: &Key, output: &mut Vec<u8>) {
        self.seal(Kind::Switch, &key.id().0, output);
        self.direction.switch(key);
        self.key_since = self.direction.number;
    }

    /// Gives the direction a new key. Who learns it later cannot open what was sent before.
    pub fn rekey(&mut self, output: &mut Vec<u8>) {
        self.seal(Kind::Rekey, &[], output);
        self.direction.rekey();
        self.key_since = self.direction.number;
    }

    /// Tells the other end why it is refused.
    pub fn seal_refusal(&mut self, refusal: Refusal, output: &mut Vec<u8>) {
        self.seal(Kind::Refuse, &[refusal as u8], output);
    }

    fn seal(&mut self, kind: Kind, contents: &[u8], output: &mut Vec<u8>) {
        let start = self.begin(output, contents.len());
        output.extend_from_slice(contents);
        self.end(output, start, kind);
    }

    /// Begins a record of at most [`CONTENTS_BYTES_MAX`], and returns where it begins.
    fn begin(&mut self, output: &mut Vec<u8>, contents: usize) -> usize {
        if self.direction.number - self.key_since == RECORDS_PER_KEY - 1 {
            // The record that tells the other end is the last one under the key.
            self.key_since = self.direction.number;
            self.rekey(output);
        }
        output.reserve(contents + OVERHEAD_BYTES);
        let start = output.len();
        let length = (contents + 1 + TAG_BYTES) as u16;
        output.extend_from_slice(&length.to_le_bytes());
        start
    }

    fn end(&mut self, output: &mut Vec<u8>, start: usize, kind: Kind) {
        output.push(kind as u8);
        let number = self.direction.next_number();
        let (length, contents) = output[start..].split_at_mut(LENGTH_BYTES);
        let tag = self.direction.key.seal(number, length, contents);
        output.extend_from_slice(&tag);
    }
}

/// Opens the records of one direction.
pub struct Opener(Direction);

impl Opener {
    pub(super) fn new(cipher: Cipher, secret: Secret, id: KeyId) -> Self {
        Self(Direction::new(cipher, secret, id))
    }

    /// The pre-shared key under which this direction is.
    pub fn key_id(&self) -> KeyId {
        self.0.id
    }

    /// The number of bytes of the record at the start of the buffer, once its length has arrived.
    pub fn record_bytes(buffer: &[u8]) -> Option<usize> {
        let length = buffer.first_chunk::<LENGTH_BYTES>()?;
        Some(LENGTH_BYTES + usize::from(u16::from_le_bytes(*length)))
    }

    /// Opens the record at the start of the buffer, in place. Returns what it holds and how many
    /// bytes it had, or `None` if not all of it has arrived.
    ///
    /// # Errors
    /// [`AuthError`]: the link must be closed, because what follows cannot be opened either.
    pub fn open(
        &mut self,
        buffer: &mut [u8],
        ring: &KeyRing,
    ) -> Result<Option<(Opened, usize)>, AuthError> {
        let Some(record_bytes) = Self::record_bytes(buffer) else { return Ok(None) };
        if record_bytes < OVERHEAD_BYTES {
            return Err(NOT_AUTHENTIC);
        }
        let Some(record) = buffer.get_mut(..record_bytes) else { return Ok(None) };
        let (length, sealed) = record.split_at_mut(LENGTH_BYTES);
        let Some((sealed, tag)) = sealed.split_last_chunk_mut::<TAG_BYTES>() else {
            return Err(NOT_AUTHENTIC);
        };
        let number = self.0.next_number();
        if !self.0.key.open(number, length, sealed, *tag) {
            return Err(NOT_AUTHENTIC);
        }
        let Some((kind, contents)) = sealed.split_last() else { return Err(NOT_AUTHENTIC) };
        let range = LENGTH_BYTES..LENGTH_BYTES + contents.len();
        Ok(Some((self.interpret(*kind, contents, range, ring)?, record_bytes)))
    }

    fn interpret(
        &mut self,
        kind: u8,
        contents: &[u8],
        range: std::ops::Range<usize>,
        ring: &KeyRing,
    ) -> Result<Opened, AuthError> {
        let kinds =
            [Kind::Frames, Kind::Hello, Kind::Ring, Kind::Switch, Kind::Rekey, Kind::Refuse];
        let Some(kind) = kinds.into_iter().find(|known| *known as u8 == kind) else {
            return Ok(Opened::Unknown);
        };
        Ok(match kind {
            Kind::Frames => Opened::Frames(range),
            Kind::Hello => Opened::Hello(range),
            Kind::Ring => {
                let (ids, rest) = contents.as_chunks::<8>();
                if !rest.is_empty() || !(1..=KEYS_MAX).contains(&ids.len()) {
                    return Err(AuthError::NotAuthentic("a list of key ids"));
                }
                Opened::Ring(ids.iter().map(|id| KeyId(*id)).collect())
            }
            Kind::Switch => {
                let id = KeyId(contents.try_into().map_err(|_| NOT_AUTHENTIC)?);
                let key = ring
                    .get(id)
                    .ok_or_else(|| AuthError::NoCommonKey { own: ring.ids(), heard: vec![id] })?;
                self.0.switch(key);
                Opened::Switched(id)
            }
            Kind::Rekey => {
                self.0.rekey();
                Opened::Rekeyed
            }
            Kind::Refuse => {
                let refusal = contents.first().and_then(|number| Refusal::from_number(*number));
                refusal.map_or(Opened::Unknown, Opened::Refused)
            }
        })
    }
}

const NOT_AUTHENTIC: AuthError = AuthError::NotAuthentic("a record");

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer(under {})", self.direction.id)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener(under {})", self.0.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32])
    }

    fn ring(numbers: &[u8]) -> KeyRing {
        KeyRing::new(numbers.iter().map(|number| key(*number))).expect("keys")
    }

    fn pair(cipher: Cipher) -> (Sealer, Opener) {
        let secret = || Secret::take(&mut [6; 32]);
        let id = key(1).id();
        (Sealer::new(cipher, secret(), id), Opener::new(cipher, secret(), id))
    }

    /// Opens everything in a buffer.
    fn open_all(opener: &mut Opener, bytes: &[u8], ring: &KeyRing) -> Vec<(Opened, Vec<u8>)> {
        let mut bytes = bytes.to_vec();
        let (mut rest, mut all) = (&mut bytes[..], Vec::new());
        while let Some((opened, length)) = opener.open(rest, ring).expect("authentic") {
            let contents = match &opened {
                Opened::Frames(range) | Opened::Hello(range) => rest[range.clone()].to_vec(),
                Opened::Ring(_)
                | Opened::Switched(_)
                | Opened::Rekeyed
                | Opened::Refused(_)
                | Opened::Unknown => Vec::new(),
            };
            all.push((opened, contents));
            rest = &mut rest[length..];
        }
        assert!(rest.is_empty());
        all
    }

    #[test]
    fn what_one_write_gathers_is_sealed_in_the_fewest_records_and_opens_in_order() {
        for cipher in [Cipher::ChaChaPoly, Cipher::AesGcm] {
            let (mut sealer, mut opener) = pair(cipher);
            let body: Vec<u8> = (0..150_000_u32).map(|number| number as u8).collect();
            let buffers = [IoSlice::new(b"head"), IoSlice::new(&[]), IoSlice::new(&body)];
            let mut output = Vec::new();
            assert_eq!(sealer.seal_frames(&buffers, usize::MAX, &mut output), 4 + body.len());
            assert_eq!(output.len(), 4 + body.len() + 3 * OVERHEAD_BYTES);
            let opened = open_all(&mut opener, &output, &ring(&[1]));
            let contents = opened.into_iter().flat_map(|(_, contents)| contents);
            assert!(contents.eq(b"head".iter().chain(&body).copied()));
        }
    }

    #[test]
    fn a_limited_number_of_records_takes_a_part_of_the_bytes() {
        let (mut sealer, _) = pair(Cipher::AesGcm);
        let body = vec![0; 100_000];
        let mut output = Vec::new();
        assert_eq!(sealer.seal_frames(&[IoSlice::new(&body)], 1, &mut output), CONTENTS_BYTES_MAX);
        assert_eq!(output.len(), RECORD_BYTES_MAX);
    }

    #[test]
    fn an_altered_moved_or_repeated_record_does_not_open() {
        let mut output = Vec::new();
        let (mut sealer, _) = pair(Cipher::AesGcm);
        sealer.seal_frames(&[IoSlice::new(b"first")], 1, &mut output);
        let first = output.len();
        sealer.seal_frames(&[IoSlice::new(b"second")], 1, &mut output);
        for position in 0..first {
            let mut altered = output.clone();
            altered[position] ^= 1;
            let (_, mut opener) = pair(Cipher::AesGcm);
            let opened = opener.open(&mut altered, &ring(&[1]));
            assert!(!matches!(opened, Ok(Some(_))), "byte {position}: {opened:?}");
        }
        let (_, mut opener) = pair(Cipher::AesGcm);
        assert!(opener.open(&mut output.clone()[first..], &ring(&[1])).is_err());
        let (_, mut opener) = pair(Cipher::AesGcm);
        assert!(opener.open(&mut output.clone(), &ring(&[1])).is_ok());
        assert!(opener.open(&mut output.clone(), &ring(&[1])).is_err());
    }

    #[test]
    fn a_part_of_a_record_waits_for_the_rest() {
        let mut output = Vec::new();
        let (mut sealer, mut opener) = pair(Cipher::AesGcm);
        sealer.seal_frames(&[IoSlice::new(b"frame")], 1, &mut output);
        for end in 0..output.len() {
            assert_eq!(opener.open(&mut output[..end], &ring(&[1])), Ok(None));
        }
        assert!(matches!(opener.open(&mut output, &ring(&[1])), Ok(Some(_))));
    }

    #[test]
    fn a_record_shorter_than_its_tag_is_refused() {
        for length in 0..=TAG_BYTES as u16 {
            let (_, mut opener) = pair(Cipher::AesGcm);
            let mut bytes = vec![0; RECORD_BYTES_MAX];
            bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            assert!(opener.open(&mut bytes, &ring(&[1])).is_err());
        }
    }

    #[test]
    fn a_direction_moves_to_another_key_that_both_ends_have() {
        let (mut sealer, mut opener) = pair(Cipher::AesGcm);
        let mut output = Vec::new();
        sealer.seal_ring(&ring(&[2, 1]), &mut output);
        sealer.switch(&key(2), &mut output);
        sealer.rekey(&mut output);
        sealer.seal_frames(&[IoSlice::new(b"after")], 1, &mut output);
        sealer.seal_refusal(Refusal::Revoked, &mut output);
        let opened = open_all(&mut opener, &output, &ring(&[1, 2]));
        let kinds: Vec<_> = opened.iter().map(|(opened, _)| opened.clone()).collect();
        assert_eq!(
            kinds[..3],
            [Opened::Ring(ring(&[2, 1]).ids()), Opened::Switched(key(2).id()), Opened::Rekeyed]
        );
        assert_eq!(opened[3].1, b"after");
        assert_eq!(kinds[4], Opened::Refused(Refusal::Revoked));
        assert_eq!((sealer.key_id(), opener.key_id()), (key(2).id(), key(2).id()));
    }

    #[test]
    fn a_direction_does_not_move_to_a_key_that_the_other_end_lacks() {
        let (mut sealer, mut opener) = pair(Cipher::AesGcm);
        let mut output = Vec::new();
        sealer.switch(&key(2), &mut output);
        let heard = vec![key(2).id()];
        let own = vec![key(1).id()];
        let failed = opener.open(&mut output, &ring(&[1]));
        assert_eq!(failed, Err(AuthError::NoCommonKey { own, heard }));
    }

    #[test]
    fn a_direction_gets_a_new_key_after_many_records() {
        let (mut sealer, mut opener) = pair(Cipher::AesGcm);
        let mut output = Vec::new();
        for _ in 0..RECORDS_PER_KEY + 1 {
            output.clear();
            sealer.seal_frames(&[IoSlice::new(b"x")], 1, &mut output);
            open_all(&mut opener, &output, &ring(&[1]));
        }
        assert_eq!(sealer.key_since, RECORDS_PER_KEY);
    }
}
