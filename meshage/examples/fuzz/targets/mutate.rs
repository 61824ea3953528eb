//! Alters inputs: bits, bytes, lengths, whole parts, and parts of other inputs.

use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

/// The most changes of one copy.
const CHANGES_MAX: u32 = 6;
/// The most bytes that are inserted, repeated or removed at once.
const PART_BYTES_MAX: usize = 64;

/// Bytes at which decoders decide: flags, the widths of numbers (251 to 253), and limits of types.
const BYTES: [u8; 12] = [0, 1, 2, 0x40, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];
/// Numbers at the limits of types, and of frames, names and lists.
const NUMBERS: [u64; 16] = [
    0,
    1,
    64,
    65,
    250,
    251,
    256,
    4096,
    0xffff,
    0x1_0000,
    0x1_0001,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// An altered copy of an input, of at most `bytes_max` bytes. `others` are inputs of the same target.
pub(crate) fn mutate(
    input: &[u8],
    others: &[Vec<u8>],
    bytes_max: usize,
    random: &mut ChaCha8Rng,
) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.random_range(1..=CHANGES_MAX) {
        change(&mut bytes, others, random);
    }
    bytes.truncate(bytes_max);
    bytes
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=bytes.len());
    let end = random.random_range(at..=bytes.len().min(at + PART_BYTES_MAX));
    match random.random_range(0..12) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = random.random(),
        2 if at < bytes.len() => bytes[at] = BYTES[random.random_range(0..BYTES.len())],
        3 if at < bytes.len() => {
            bytes[at] = bytes[at].wrapping_add_signed(random.random_range(-4..=4));
        }
        4 => bytes.insert(at, BYTES[random.random_range(0..BYTES.len())]),
        5 => {
            let count = random.random_range(1..=PART_BYTES_MAX / 4);
            let part: Vec<u8> = (0..count).map(|_| random.random()).collect();
            bytes.splice(at..at, part);
        }
        6 => {
            bytes.drain(at..end);
        }
        7 => {
            let part = bytes[at..end].to_vec();
            let to = random.random_range(0..=bytes.len());
            bytes.splice(to..to, part);
        }
        8 => {
            let number = number(random);
            let replaced = bytes.len().min(at + number.len());
            bytes.splice(at..replaced, number);
        }
        9 => {
            let number = number(random);
            bytes.splice(at..at, number);
        }
        10 if !others.is_empty() => splice(bytes, at, others, random),
        11 => bytes.truncate(at),
        _ => bytes.push(random.random()),
    }
}

/// A number as it stands in a frame: in a fixed width, or with its width in front.
fn number(random: &mut ChaCha8Rng) -> Vec<u8> {
    let number = match random.random_range(0..4) {
        0 => random.random::<u64>() >> random.random_range(0..64),
        _ => NUMBERS[random.random_range(0..NUMBERS.len())],
    };
    let bytes = number.to_le_bytes();
    match random.random_range(0..6) {
        0 => bytes[..2].to_vec(),
        1 => bytes[..4].to_vec(),
        2 => bytes.to_vec(),
        3 => [&[0xfb][..], &bytes[..2]].concat(),
        4 => [&[0xfc][..], &bytes[..4]].concat(),
        _ => [&[0xfd][..], &bytes].concat(),
    }
}

/// Inserts a part of another input, or replaces all that follows by it.
fn splice(bytes: &mut Vec<u8>, at: usize, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let other = &others[random.random_range(0..others.len())];
    let from = random.random_range(0..=other.len());
    if random.random() {
        bytes.truncate(at);
        bytes.extend_from_slice(&other[from..]);
    } else {
        let to = random.random_range(from..=other.len().min(from + PART_BYTES_MAX));
        bytes.splice(at..at, other[from..to].iter().copied());
    }
}
