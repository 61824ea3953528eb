//! The CRC-32 of the bodies that the drivers send.
//!
//! A body repeats a line. The checksum of a repetition follows from that of the line in a few steps, so
//! that those of bodies of 64 MiB take no time: appending `n` bytes multiplies a checksum by `x^8n`.

/// The polynomial, bits reversed. The highest bit of a number stands for `x^0`.
const POLYNOMIAL: u32 = 0xedb8_8320;
const ONE: u32 = 1 << 31;
const X_TO_THE_8: u32 = 1 << 23;

/// The checksum of some bytes, and their number.
#[derive(Clone, Copy)]
struct Part {
    crc: u32,
    length: usize,
}

/// The CRC-32 of the body with a label and a length, as every driver prints it: 8 hex digits.
pub(crate) fn checksum(label: &str, length: usize) -> String {
    let line = format!("{label}\n");
    let mut body = Part { crc: 0, length: 0 };
    let mut repeated = part(line.as_bytes());
    let mut count = length / line.len();
    while count > 0 {
        if count % 2 == 1 {
            body = join(repeated, body);
        }
        repeated = join(repeated, repeated);
        count /= 2;
    }
    let rest = line.as_bytes().get(..length % line.len()).unwrap_or_default();
    format!("{:08x}", join(body, part(rest)).crc)
}

fn part(bytes: &[u8]) -> Part {
    let shift = |value: u32, _| if value & 1 == 1 { POLYNOMIAL ^ (value >> 1) } else { value >> 1 };
    let step = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), shift);
    Part { crc: !bytes.iter().fold(!0, step), length: bytes.len() }
}

/// The checksum of one part after another.
fn join(first: Part, second: Part) -> Part {
    let shifted = multiply(first.crc, shift_by(second.length));
    Part { crc: shifted ^ second.crc, length: first.length + second.length }
}

/// `x^(8 length)`.
fn shift_by(mut length: usize) -> u32 {
    let (mut result, mut power) = (ONE, X_TO_THE_8);
    while length > 0 {
        if length % 2 == 1 {
            result = multiply(result, power);
        }
        power = multiply(power, power);
        length /= 2;
    }
    result
}

/// The product of two polynomials, modulo the polynomial.
fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for bit in (0..32).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = if b & 1 == 1 { POLYNOMIAL ^ (b >> 1) } else { b >> 1 };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib() {
        // The check value of CRC-32.
        assert_eq!(checksum("123456789", 9), "cbf43926");
        assert_eq!(checksum("x", 0), "00000000");
    }

    #[test]
    fn a_body_repeats_its_line_and_is_cut_at_its_length() {
        for length in [1, 3, 4, 6, 7, 100, 1001] {
            let body: Vec<u8> = b"ab\n".iter().copied().cycle().take(length).collect();
            assert_eq!(checksum("ab", length), format!("{:08x}", part(&body).crc), "{length}");
        }
    }
}
