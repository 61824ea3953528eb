//! The datagrams of a closed mesh.
//!
//! ```text
//!  "MSHY" | version: u8 | key id: 8 | time: u64 | nonce: 16 | sealed (solicitation) | tag: 16
//!  └────────────────────── header ───────────────────────┘   as it travels in an open mesh
//! ```
//!
//! Each datagram has a key of its own, derived from a pre-shared key and the header. The cipher is
//! always ChaCha20-Poly1305, which every machine does fast. A datagram is opened only after its tag
//! was verified, so a stranger reaches no decoder.
//!
//! A datagram is accepted once, and only within a certain time before and after its time stamp. So a
//! [`ReplayWindow`] need not remember it any longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::UnixMillis;
use super::cipher::{Cipher, CipherKey, TAG_BYTES};
use super::handshake::Entropy;
use super::key::{Key, KeyId, Use};
use super::key_ring::KeyRing;
use crate::wire::WireError;
use crate::wire::solicitation::{DATAGRAM_BYTES_MAX, Solicitation};

/// The first bytes of a sealed datagram.
pub const MAGIC: [u8; 4] = *b"MSHY";
/// The version of sealed datagrams.
pub const VERSION: u8 = 1;
/// The bytes before the sealed part.
pub const HEADER_BYTES: usize = 37;
const ID_OFFSET: usize = 5;
const TIME_OFFSET: usize = 13;
const NONCE_OFFSET: usize = 21;
const NONCE_BYTES: usize = 16;

/// How far the clocks of two nodes may differ if the configuration does not say: more than clocks
/// that nobody synchronises differ after a week, and short enough to remember all datagrams.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// The most datagrams that are remembered: 2,000 a second with the default skew, in about 3 MiB.
pub const REMEMBERED_MAX: usize = 1 << 16;

/// Why a datagram was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatagramError {
    /// It is a solicitation of an open mesh.
    Plain,
    /// It is no datagram of this protocol and version, or an authentic one that does not decode.
    Malformed(WireError),
    /// It is sealed under a key that this node does not have.
    UnknownKey(KeyId),
    /// It was not sealed by a holder of the key, or was altered on the way.
    NotAuthentic,
    /// Its time stamp is too far from the time of this node.
    Skewed,
    /// It has arrived before.
    Replayed,
    /// Too many datagrams are remembered to accept another one.
    WindowFull,
}

/// The present time.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// According to the clock of this machine, which may be set.
    pub unix: UnixMillis,
    /// According to a clock that is never set.
    pub monotonic: Instant,
}

/// The datagrams that arrived lately, so that each is accepted once.
///
/// It remembers a datagram until its time stamp is too old to be accepted, also if the clock of this
/// node is set forward and back. If it is full, no datagram is accepted: forgetting one would let it be
/// replayed. Only holders of a key can fill it.
#[derive(Debug)]
pub struct ReplayWindow {
    /// How far a time stamp may be from the time of this node, in milliseconds.
    skew: u64,
    limit: usize,
    /// The time stamps and nonces of the accepted datagrams, the oldest first, each with the time of
    /// its arrival.
    seen: BTreeMap<(UnixMillis, [u8; NONCE_BYTES]), Instant>,
}

impl ReplayWindow {
    /// A window for time stamps that differ from the time of this node by at most `skew`.
    pub fn new(skew: Duration) -> Self {
        Self::with_limit(skew, REMEMBERED_MAX)
    }

    fn with_limit(skew: Duration, limit: usize) -> Self {
        let skew = u64::try_from(skew.as_millis()).unwrap_or(u64::MAX);
        Self { skew, limit, seen: BTreeMap::new() }
    }

    /// Whether a time stamp is near enough to the time of this node.
    fn allows(&self, time: UnixMillis, now: UnixMillis) -> bool {
        time.0.abs_diff(now.0) <= self.skew
    }

    /// Remembers a datagram, if it is new.
    fn remember(
        &mut self,
        time: UnixMillis,
        nonce: [u8; NONCE_BYTES],
        now: Now,
    ) -> Result<(), DatagramError> {
        if !self.allows(time, now.unix) {
            return Err(DatagramError::Skewed);
        }
        let too_old = |time: UnixMillis| time.0.saturating_add(self.skew) < now.unix.0;
        // A clock that is right when a datagram arrives, whatever it shows in between, accepts its time
        // stamp for no longer than this.
        let accepted_for = Duration::from_millis(self.skew.saturating_mul(2));
        let is_over = |arrived: Instant| now.monotonic - arrived > accepted_for;
        while let Some(first) = self.seen.first_entry()
            && too_old(first.key().0)
            && is_over(*first.get())
        {
            first.remove();
        }
        if self.seen.contains_key(&(time, nonce)) && !planted!(ReplayAccepted) {
            return Err(DatagramError::Replayed);
        }
        if self.seen.len() >= self.limit {
            return Err(DatagramError::WindowFull);
        }
        self.seen.insert((time, nonce), now.monotonic);
        Ok(())
    }
}

/// Whether a datagram is one of a closed mesh.
pub fn is_sealed(datagram: &[u8]) -> bool {
    datagram.starts_with(&MAGIC)
}

/// Seals a solicitation. Each copy must be sealed anew: a node accepts one of equal datagrams only.
pub fn seal(
    solicitation: &Solicitation,
    key: &Key,
    now: UnixMillis,
    entropy: Entropy<'_>,
) -> Vec<u8> {
    let mut datagram = MAGIC.to_vec();
    datagram.push(VERSION);
    datagram.extend(key.id().0);
    datagram.extend(now.0.to_le_bytes());
    let mut nonce = [0; NONCE_BYTES];
    entropy(&mut nonce);
    datagram.extend(nonce);
    datagram.extend(solicitation.encode());
    let (header, contents) = datagram.split_at_mut(HEADER_BYTES);
    let tag = cipher_key(key, header).seal(0, header, contents);
    datagram.extend(tag);
    datagram
}

/// Opens a datagram that has just arrived.
///
/// # Errors
/// [`DatagramError`]: the datagram must be dropped.
pub fn open(
    datagram: &[u8],
    ring: &KeyRing,
    window: &mut ReplayWindow,
    now: Now,
) -> Result<Solicitation, DatagramError> {
    if Solicitation::is_plain(datagram) {
        return Err(DatagramError::Plain);
    }
    let malformed = || DatagramError::Malformed(WireError::new("not a sealed datagram"));
    if datagram.len() > DATAGRAM_BYTES_MAX || !is_sealed(datagram) {
        return Err(malformed());
    }
    let (header, sealed) = datagram.split_at_checked(HEADER_BYTES).ok_or_else(malformed)?;
    let (sealed, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(malformed)?;
    if header[MAGIC.len()] != VERSION {
        return Err(malformed());
    }
    let id = KeyId(field(header, ID_OFFSET));
    let key = ring.get(id).ok_or(DatagramError::UnknownKey(id))?;
    let mut contents = sealed.to_vec();
    if !cipher_key(key, header).open(0, header, &mut contents, *tag) {
        return Err(DatagramError::NotAuthentic);
    }
    let time = UnixMillis(u64::from_le_bytes(field(header, TIME_OFFSET)));
    window.remember(time, field(header, NONCE_OFFSET), now)?;
    Solicitation::decode(&contents).map_err(DatagramError::Malformed)
}

/// The key of one datagram.
fn cipher_key(key: &Key, header: &[u8]) -> CipherKey {
    CipherKey::new(Cipher::ChaChaPoly, &key.derive(Use::Datagram, &[header]))
}

/// The field of the header that begins at an offset.
fn field<const N: usize>(header: &[u8], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[offset..offset + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Instance, Namespace, NodeName};

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32])
    }

    fn ring(numbers: &[u8]) -> KeyRing {
        KeyRing::new(numbers.iter().map(|number| key(*number))).expect("keys")
    }

    fn solicitation(name: &str) -> Solicitation {
        Solicitation {
            namespace: Namespace::new("secret-space").expect("valid"),
            name: NodeName::new(name).expect("valid"),
            instance: Instance(u64::MAX),
            port: u16::MAX,
            wanted: u32::MAX,
        }
    }

    /// A datagram under key 1, with a nonce of equal bytes.
    fn sealed_at(now: UnixMillis, nonce: u8) -> Vec<u8> {
        seal(&solicitation("the-sender"), &key(1), now, &mut |bytes| bytes.fill(nonce))
    }

    /// The time of a clock that is right, a number of milliseconds after it began.
    fn after(began: Instant, millis: u64) -> Now {
        let monotonic = began + Duration::from_millis(millis);
        Now { unix: UnixMillis(NOW.0 + millis), monotonic }
    }

    fn open_once(datagram: &[u8], numbers: &[u8]) -> Result<Solicitation, DatagramError> {
        open(datagram, &ring(numbers), &mut ReplayWindow::new(CLOCK_SKEW), after(Instant::now(), 0))
    }

    #[test]
    fn every_holder_of_the_key_opens_a_datagram_once() {
        let datagram = sealed_at(NOW, 1);
        let mut window = ReplayWindow::new(CLOCK_SKEW);
        let ring = ring(&[2, 1]);
        let now = after(Instant::now(), 0);
        let opened = open(&datagram, &ring, &mut window, now);
        assert_eq!(opened, Ok(solicitation("the-sender")));
        let again = open(&datagram, &ring, &mut window, now);
        assert_eq!(again, Err(DatagramError::Replayed));
        assert!(open(&sealed_at(NOW, 2), &ring, &mut window, now).is_ok(), "another nonce");
    }

    #[test]
    fn names_travel_sealed_and_the_longest_datagram_fits() {
        let mut longest = solicitation(&"n".repeat(64));
        longest.namespace = Namespace::new(&"s".repeat(64)).expect("valid");
        let datagram = seal(&longest, &key(1), NOW, &mut |bytes| bytes.fill(1));
        assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
        assert_eq!(open_once(&datagram, &[1]), Ok(longest));
        let datagram = sealed_at(NOW, 1);
        for secret in ["the-sender", "secret-space"] {
            assert!(!datagram.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }

    #[test]
    fn a_datagram_under_an_unknown_key_names_its_id() {
        let unknown = open_once(&sealed_at(NOW, 1), &[2, 3]);
        assert_eq!(unknown, Err(DatagramError::UnknownKey(key(1).id())));
    }

    #[test]
    fn an_altered_or_shortened_datagram_is_dropped() {
        let datagram = sealed_at(NOW, 1);
        for position in 0..datagram.len() {
            let mut altered = datagram.clone();
            altered[position] ^= 1;
            let expected = match position {
                0..ID_OFFSET => DatagramError::Malformed(WireError::new("not a sealed datagram")),
                ID_OFFSET..TIME_OFFSET => {
                    DatagramError::UnknownKey(KeyId(field(&altered, ID_OFFSET)))
                }
                _ => DatagramError::NotAuthentic,
            };
            assert_eq!(open_once(&altered, &[1]), Err(expected), "byte {position}");
        }
        for end in 0..datagram.len() {
            assert!(open_once(&datagram[..end], &[1]).is_err(), "{end} bytes");
        }
        let long = [&datagram[..], &[0; DATAGRAM_BYTES_MAX]].concat();
        assert!(matches!(open_once(&long, &[1]), Err(DatagramError::Malformed(_))));
    }

    #[test]
    fn a_plain_datagram_is_recognised() {
        assert_eq!(open_once(&solicitation("x").encode(), &[1]), Err(DatagramError::Plain));
        assert!(matches!(open_once(b"GET / HTTP/1.1", &[1]), Err(DatagramError::Malformed(_))));
    }

    #[test]
    fn a_datagram_is_accepted_as_long_as_the_clocks_may_differ() {
        let skew = CLOCK_SKEW.as_millis() as u64;
        let (early, late) = (UnixMillis(NOW.0 - skew), UnixMillis(NOW.0 + skew));
        assert!(open_once(&sealed_at(early, 1), &[1]).is_ok());
        assert!(open_once(&sealed_at(late, 1), &[1]).is_ok());
        for time in [early.0 - 1, late.0 + 1, 0, u64::MAX] {
            let opened = open_once(&sealed_at(UnixMillis(time), 1), &[1]);
            assert_eq!(opened, Err(DatagramError::Skewed), "{time}");
        }
    }

    #[test]
    fn a_datagram_is_remembered_until_its_time_stamp_is_too_old() {
        // The clock of the sender is ahead, so the datagram could be replayed for two seconds.
        let datagram = sealed_at(UnixMillis(NOW.0 + 1000), 1);
        let mut window = ReplayWindow::new(SECOND);
        let began = Instant::now();
        let mut open_after = |millis: u64| {
            open(&datagram, &ring(&[1]), &mut window, after(began, millis)).map(|_| ())
        };
        assert_eq!(open_after(0), Ok(()));
        for millis in [1, 999, 1000, 1999, 2000] {
            assert_eq!(open_after(millis), Err(DatagramError::Replayed), "{millis}");
        }
        assert_eq!(open_after(2001), Err(DatagramError::Skewed));
    }

    #[test]
    fn a_full_window_accepts_nothing_until_it_has_forgotten_what_is_too_old() {
        let mut window = ReplayWindow::with_limit(SECOND, 2);
        let began = Instant::now();
        let mut open_at = |nonce: u8, sent: u64, now: u64| {
            let datagram = sealed_at(UnixMillis(NOW.0 + sent), nonce);
            open(&datagram, &ring(&[1]), &mut window, after(began, now)).map(|_| ())
        };
        assert_eq!(open_at(1, 0, 0), Ok(()));
        assert_eq!(open_at(2, 500, 500), Ok(()));
        assert_eq!(open_at(3, 600, 600), Err(DatagramError::WindowFull));
        assert_eq!(open_at(1, 0, 700), Err(DatagramError::Replayed), "nothing was forgotten");
        assert_eq!(open_at(3, 1900, 2000), Err(DatagramError::WindowFull));
        assert_eq!(open_at(3, 1900, 2001), Ok(()));
        assert_eq!(open_at(4, 2001, 2001), Err(DatagramError::WindowFull));
    }

    #[test]
    fn a_clock_that_is_set_forward_and_back_accepts_no_datagram_again() {
        let datagram = sealed_at(NOW, 1);
        let mut window = ReplayWindow::new(SECOND);
        let began = Instant::now();
        let mut open_at = |datagram: &[u8], millis: u64, ahead: u64| {
            let right = after(began, millis);
            let now = Now { unix: UnixMillis(right.unix.0 + ahead), ..right };
            open(datagram, &ring(&[1]), &mut window, now).map(|_| ())
        };
        assert_eq!(open_at(&datagram, 0, 0), Ok(()));
        let hour = 3_600_000;
        let ahead = sealed_at(UnixMillis(NOW.0 + hour), 2);
        assert_eq!(open_at(&ahead, 10, hour), Ok(()), "the clocks of both are wrong");
        assert_eq!(open_at(&datagram, 20, 0), Err(DatagramError::Replayed));
        assert_eq!(open_at(&datagram, 1001, 0), Err(DatagramError::Skewed));
    }
}
