//! Runs one input, and reports what is wrong with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::memory;
use super::targets::corpus::hex;
use super::targets::{Behaviour, Target};

/// The longest time of one input.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(1);
/// How many shorter inputs are tried for a finding.
const SHORTENINGS_MAX: usize = 2000;
/// How long shorter inputs are tried.
const SHORTENING_TIME: Duration = Duration::from_secs(10);

/// The message of the last panic, with its place.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// From now on, the message of a panic is kept and not printed.
pub(crate) fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
}

/// Runs an input. The error says what is wrong.
pub(crate) fn run(target: &Target, input: &[u8], behaviour: &mut Behaviour) -> Result<(), String> {
    let held = memory::start();
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input, behaviour)));
    let time = started.elapsed();
    let most = memory::most_since(held);
    let memory_max = target.memory_base + target.memory_per_byte * input.len();
    if outcome.is_err() {
        Err(PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone())
    } else if time > TIME_MAX {
        Err(format!("it took {time:?}, and the limit is {TIME_MAX:?}"))
    } else if most > memory_max {
        Err(format!("it held {most} bytes, and the limit is {memory_max}"))
    } else {
        Ok(())
    }
}

/// Removes parts of an input, as long as the same is wrong with it.
pub(crate) fn shorten(target: &Target, input: &[u8], why: &str) -> Vec<u8> {
    // The values in a message may differ. Its place does not, and a time has none.
    let place = |why: &str| why.lines().next().unwrap_or_default().to_owned();
    let is_same = |input: &[u8]| {
        let error = run(target, input, &mut Behaviour::default()).err();
        error.is_some_and(|error| place(&error) == place(why))
    };
    let mut shortest = input.to_vec();
    let deadline = Instant::now() + SHORTENING_TIME;
    let (mut part, mut tries) = (shortest.len().div_ceil(2), 0);
    while part > 0 {
        let mut at = 0;
        while at < shortest.len() {
            tries += 1;
            if tries > SHORTENINGS_MAX || Instant::now() > deadline {
                return shortest;
            }
            let mut shorter = shortest.clone();
            shorter.drain(at..shortest.len().min(at + part));
            if is_same(&shorter) {
                shortest = shorter;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    shortest
}

/// Prints a finding, and writes it to a file.
pub(crate) fn report(target: &Target, input: &[u8], why: &str) {
    let hex = hex(input);
    let name = target.name;
    let text = format!(
        "target: {name}\nwhat:   {why}\ninput:  {hex}\n\
         replay: cargo xtask fuzz --only {name} --replay {hex}\n\
         corpus: after the fault is fixed, add the input to meshage/tests/corpus/{name}.hex\n"
    );
    println!("\nFOUND\n{text}");
    let folder = folder();
    let file = folder.join(format!("{name}-{:08x}.txt", checksum(input)));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, text));
    match written {
        Ok(()) => println!("written to {}", file.display()),
        Err(error) => println!("cannot write {}: {error}", file.display()),
    }
}

/// Writes a corpus to a file, in the form of the committed ones.
pub(crate) fn save(target: &Target, inputs: &[Vec<u8>]) {
    let folder = folder();
    let file = folder.join(format!("{}.hex", target.name));
    let lines = inputs.iter().map(|input| {
        let valid = target.run(input, &mut Behaviour::default());
        let line = format!("{} {}", if valid { "valid" } else { "invalid" }, hex(input));
        format!("{}\n", line.trim_end())
    });
    let text: String = lines.collect();
    match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, text)) {
        Ok(()) => println!("{} inputs written to {}", inputs.len(), file.display()),
        Err(error) => println!("cannot write {}: {error}", file.display()),
    }
}

/// Distinguishes the files of two inputs.
fn checksum(input: &[u8]) -> u32 {
    input.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The folder of findings: beside the program, in the folder of all build output.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    // target/PROFILE/examples/fuzz
    let target = program.ancestors().nth(3).map(PathBuf::from);
    target.unwrap_or_else(std::env::temp_dir).join("fuzz-findings")
}
