//! Every target of the fuzzer: a name, a function of the bytes of an input, and its limits.
//!
//! A target panics if the code under test breaks a promise. What it observes goes into a
//! [`Behaviour`], which the fuzzer uses as feedback.

mod behaviour;
mod control;
mod control_frames;
pub(crate) mod corpus;
mod data;
mod data_frames;
pub(crate) mod decoders;
mod deframer;
mod input;
mod members;
pub(crate) mod mutate;

use std::sync::LazyLock;
use std::time::Instant;

pub(crate) use behaviour::Behaviour;

/// The most bytes of an input of a decoder: those of a frame.
const DECODER_BYTES_MAX: usize = 64 << 10;
/// What decoding may allocate: the limit that the codec sets on a claimed length is 1 MiB.
const DECODER_MEMORY: usize = 2 << 20;
const DECODER_MEMORY_PER_BYTE: usize = 128;
/// What a plane may hold: its tables, the frames that it sends, and the bodies of one input.
const MACHINE_MEMORY: usize = 64 << 20;
const MACHINE_MEMORY_PER_BYTE: usize = 64 << 10;

/// A target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The name, which is that of its file in the corpus.
    pub(crate) name: &'static str,
    /// The most bytes of an input.
    pub(crate) input_bytes_max: usize,
    /// The most bytes that a run may hold at once, beside [`Target::per_byte`] for each byte.
    pub(crate) memory_base: usize,
    /// The most bytes of memory for each byte of the input.
    pub(crate) memory_per_byte: usize,
    code: Code,
}

#[derive(Debug, Clone, Copy)]
enum Code {
    Decoder(decoders::Decoder),
    Machine(Machine),
}

/// Runs the operations that an input describes.
type Machine = fn(&[u8], &mut Behaviour);

/// The targets that are not decoders, each with the most bytes of an input.
const MACHINES: [(&str, usize, Machine); 3] =
    [("deframer", 2048, deframer::run), ("router", 4096, control::run), ("plane", 4096, data::run)];

/// The point in time at which every run starts.
fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}

impl Target {
    /// All targets.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let decoders = decoders::DECODERS.into_iter().map(|(name, decoder)| Self {
            name,
            input_bytes_max: DECODER_BYTES_MAX,
            memory_base: DECODER_MEMORY,
            memory_per_byte: DECODER_MEMORY_PER_BYTE,
            code: Code::Decoder(decoder),
        });
        let machines = MACHINES.into_iter().map(|(name, input_bytes_max, run)| Self {
            name,
            input_bytes_max,
            memory_base: MACHINE_MEMORY,
            memory_per_byte: MACHINE_MEMORY_PER_BYTE,
            code: Code::Machine(run),
        });
        decoders.chain(machines)
    }

    /// Runs an input. Returns whether it is valid; for a target that is no decoder it always is.
    pub(crate) fn run(&self, bytes: &[u8], behaviour: &mut Behaviour) -> bool {
        match self.code {
            Code::Decoder(decode) => {
                let valid = decode(bytes, behaviour);
                behaviour.note("valid", &valid);
                valid
            }
            Code::Machine(run) => {
                run(bytes, behaviour);
                true
            }
        }
    }
}
