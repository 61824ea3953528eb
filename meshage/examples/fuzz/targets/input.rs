//! Reads decisions out of the bytes of an input. Past its end, every decision is 0.

use std::time::Duration;

/// The part of an input that was not read yet.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                *first
            }
            [] => 0,
        }
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `end`, which is at most 256.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One of some values.
    pub(crate) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// A number: mostly a small one, sometimes one at a limit, or any.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..0xf0 => small.into(),
            0xf0 => u64::MAX,
            0xf1 => u64::MAX - 1,
            0xf2 => u64::from(u32::MAX),
            0xf3 => 1 << 63,
            0xf4..0xf8 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    /// At most `bytes_max` of the next bytes, as many as one byte says.
    pub(crate) fn bytes(&mut self, bytes_max: usize) -> &'a [u8] {
        let wanted = usize::from(self.byte()).min(bytes_max);
        let (taken, rest) = self.rest.split_at(wanted.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// A time of up to about four minutes, mostly a short one.
    pub(crate) fn time(&mut self) -> Duration {
        let unit = self.pick(&[1, 1, 10, 100, 1000]);
        Duration::from_millis(unit * u64::from(self.byte()))
    }
}
