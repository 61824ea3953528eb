//! What a process uses, read from /proc, and the rule that says whether it grows.
//!
//! The samples of a process are divided into fifths. The first one is the warm-up. Growth is the
//! difference between the medians of the second and the last fifth. A median is not moved by the
//! bodies of 64 MiB that a process has for a moment.

use std::path::Path;

/// Memory may grow by this share of the base, and by this many bytes.
const MEMORY_SHARE_MAX: f64 = 0.10;
const MEMORY_BYTES_MAX: u64 = 8 << 20;
/// Runtimes start threads when they need them: by so many their number may grow.
const THREADS_MAX: u64 = 2;
/// With fewer samples nothing is said.
const SAMPLES_MIN: usize = 25;

/// The rule in words.
pub(super) const RULE: &str = "Growth is judged between the medians of the second and the last fifth of \
    a process's samples, if it lived for at least half of the run: memory may grow by 10 % + 8 MiB, \
    threads by 2. When the faults have stopped, each process has at most the descriptors that it had \
    before the faults began; those of links are not counted.";

/// What a process uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Resident memory in bytes.
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
}

impl Sample {
    /// Whether the system tells what a process uses.
    pub(super) fn is_available() -> bool {
        Path::new("/proc/self/status").is_file()
    }

    /// What a process uses now. `None` if it has ended.
    pub(super) fn take(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        let memory = 1024 * field(&status, "VmRSS:")?;
        Some(Self { memory, descriptors, threads: field(&status, "Threads:")? })
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The samples of one process in short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// The medians of the second fifth.
    pub(super) base: Sample,
    /// The medians of the last fifth.
    pub(super) last: Sample,
    /// The most of each.
    pub(super) max: Sample,
}

impl Summary {
    /// Sums samples up. `None` if there are too few.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let fifth = samples.len() / 5;
        Some(Self {
            base: each(&samples[fifth..2 * fifth], median),
            last: each(&samples[samples.len() - fifth..], median),
            max: each(samples, |mut values| values.pop().unwrap_or_default()),
        })
    }

    /// What has grown; empty if nothing has.
    pub(super) fn growth(&self) -> Vec<String> {
        let mut found = Vec::new();
        let allowed = (self.base.memory as f64 * MEMORY_SHARE_MAX) as u64 + MEMORY_BYTES_MAX;
        if self.last.memory > self.base.memory + allowed {
            let (base, last) = (mebibytes(self.base.memory), mebibytes(self.last.memory));
            found.push(format!("memory grew from {base} to {last} MiB"));
        }
        if self.last.threads > self.base.threads + THREADS_MAX {
            let (base, last) = (self.base.threads, self.last.threads);
            found.push(format!("the number of threads grew from {base} to {last}"));
        }
        found
    }
}

/// Applies a function to the sorted values of each kind.
fn each(samples: &[Sample], function: impl Fn(Vec<u64>) -> u64) -> Sample {
    let of = |kind: fn(&Sample) -> u64| {
        let mut values: Vec<u64> = samples.iter().map(kind).collect();
        values.sort_unstable();
        function(values)
    };
    Sample {
        memory: of(|sample| sample.memory),
        descriptors: of(|sample| sample.descriptors),
        threads: of(|sample| sample.threads),
    }
}

fn median(sorted: Vec<u64>) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Bytes as mebibytes with one digit.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> u64, threads: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |i| Sample { memory: memory(i) << 20, descriptors: 9, threads: threads(i) };
        (0..100).map(sample).collect()
    }

    fn growth(samples: &[Sample]) -> Vec<String> {
        Summary::of(samples).expect("enough samples").growth()
    }

    #[test]
    fn memory_and_threads_that_grow_slowly_are_found() {
        assert_eq!(growth(&samples(|i| 40 + i, |_| 4)), ["memory grew from 70.0 to 130.0 MiB"]);
        let threads = growth(&samples(|_| 40, |i| 4 + i / 20));
        assert_eq!(threads, ["the number of threads grew from 5 to 8"]);
    }

    #[test]
    fn warm_up_and_large_bodies_are_not_growth() {
        assert_eq!(growth(&samples(|i| i.min(20), |i| i.min(6))), [""; 0]);
        assert_eq!(growth(&samples(|i| if i % 7 == 0 { 180 } else { 50 }, |_| 4)), [""; 0]);
    }

    #[test]
    fn a_process_has_memory_descriptors_and_threads() {
        if Sample::is_available() {
            let sample = Sample::take(std::process::id()).expect("this process runs");
            assert!(sample.memory > 1 << 20 && sample.descriptors > 2 && sample.threads > 0);
        }
        assert_eq!(Sample::take(u32::MAX), None);
    }
}
