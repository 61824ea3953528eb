//! What a target did with an input, in short: the feedback of the fuzzer.
//!
//! Stable Rust has no coverage counters for programs, so the targets note what they observe: the
//! shape of a value or an error, and the magnitude of a counter. An input with an observation that
//! no earlier input had is kept and altered further.

use std::fmt::{self, Debug, Write as _};

/// How many words and brackets of a printed value count.
const VALUE_TOKENS_MAX: usize = 40;
/// How many words of an error count: what follows often quotes the input.
const ERROR_TOKENS_MAX: usize = 8;

/// The observations of one run, each as a hash.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    observed: Vec<u32>,
    during: u64,
}

impl Behaviour {
    /// From now on, observations are made during this operation. The same one during another
    /// operation is another observation.
    pub(crate) fn during(&mut self, operation: &'static str) {
        self.during = Shape::new(0, operation, 0).hash;
    }

    /// Notes the shape of a value: what it prints, without numbers and quoted text.
    pub(crate) fn note(&mut self, what: &str, value: &dyn Debug) {
        self.print(Shape::new(self.during, what, VALUE_TOKENS_MAX), value);
    }

    /// Notes an error, with its text but without numbers.
    pub(crate) fn error(&mut self, what: &str, error: &dyn Debug) {
        let mut shape = Shape::new(self.during, what, ERROR_TOKENS_MAX);
        shape.keeps_quoted = true;
        self.print(shape, error);
    }

    fn print(&mut self, mut shape: Shape, value: &dyn Debug) {
        // The only error is that the shape is complete.
        let _ = write!(shape, "{value:?}");
        shape.end_word();
        self.observed.push(shape.hash());
    }

    /// Notes the magnitude of a number.
    pub(crate) fn count(&mut self, what: &str, number: u64) {
        let mut shape = Shape::new(self.during, what, 1);
        shape.feed(u64::from(u64::BITS - number.leading_zeros()) + 1);
        self.observed.push(shape.hash());
    }

    /// Forgets all observations.
    pub(crate) fn clear(&mut self) {
        self.observed.clear();
        self.during = 0;
    }

    /// The observations, some of them more than once.
    pub(crate) fn observed(&self) -> &[u32] {
        &self.observed
    }
}

/// Hashes text (FNV-1a), as a list of words and brackets. Numbers and words of one letter are all
/// the same, and repetitions do not count, nor does quoted text.
struct Shape {
    hash: u64,
    word: u64,
    letters: usize,
    is_number: bool,
    last: u64,
    quoted: bool,
    escaped: bool,
    keeps_quoted: bool,
    left: usize,
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

impl Shape {
    fn new(during: u64, what: &str, tokens_max: usize) -> Self {
        Self {
            hash: what.bytes().fold(FNV_START ^ during, fnv),
            word: FNV_START,
            letters: 0,
            is_number: true,
            last: 0,
            quoted: false,
            escaped: false,
            keeps_quoted: false,
            left: tokens_max,
        }
    }

    fn feed(&mut self, token: u64) {
        if std::mem::replace(&mut self.last, token) != token && self.left > 0 {
            self.left -= 1;
            self.hash = token.to_le_bytes().into_iter().fold(self.hash, fnv);
        }
    }

    fn end_word(&mut self) {
        let letters = std::mem::take(&mut self.letters);
        let word = std::mem::replace(&mut self.word, FNV_START);
        let is_number = std::mem::replace(&mut self.is_number, true);
        match letters {
            0 => {}
            1 => self.feed(1),
            _ if is_number => self.feed(1),
            _ => self.feed(word),
        }
    }

    /// Whether a byte is a part of quoted text.
    fn is_quoted(&mut self, byte: u8) -> bool {
        let was_quoted = self.quoted;
        match byte {
            _ if std::mem::take(&mut self.escaped) => {}
            b'"' => self.quoted ^= !self.keeps_quoted,
            b'\\' => self.escaped = self.quoted,
            _ => {}
        }
        was_quoted
    }

    fn hash(&self) -> u32 {
        (self.hash ^ (self.hash >> 32)) as u32
    }
}

impl fmt::Write for Shape {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.is_quoted(byte) {
                continue;
            }
            if self.left == 0 {
                return Err(fmt::Error);
            }
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                self.letters += 1;
                self.is_number &= byte.is_ascii_hexdigit();
                self.word = fnv(self.word, byte);
                continue;
            }
            self.end_word();
            if matches!(byte, b'{' | b'(' | b'[' | b'}' | b')' | b']') && !self.keeps_quoted {
                self.feed(byte.into());
            }
        }
        Ok(())
    }
}
