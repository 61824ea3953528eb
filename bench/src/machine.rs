//! The date, the machine and the versions of a run.

use std::fs;
use std::process::Command;

use crate::paths::Paths;

/// The core that the processes of an `@same` case share. It is the last core that this process may
/// use, because most systems handle interrupts on the first.
pub(crate) fn last_core() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let last = list.and_then(|list| list.trim().rsplit([',', '-']).next());
    last.unwrap_or("0").to_owned()
}

/// The date of the run, in UTC.
pub(crate) fn date() -> String {
    first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))
}

/// The load average of the last minute and of the last five minutes.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let values: Vec<&str> = text.split(' ').take(2).collect();
    if values.len() == 2 { values.join(" and ") } else { "unknown".to_owned() }
}

/// Cores, processor, memory and kernel in one line.
pub(crate) fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    });
    let memory = memory.map_or(0.0, |kibibytes| kibibytes * 1024.0 / 1e9);
    format!("{cores} cores, {model}, {memory:.0} GB, Linux {}", kernel.trim())
}

/// The first line that a command prints.
pub(crate) fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").trim().to_owned()
}

/// The version of a crate in a lock file, whose path is relative to the top folder.
pub(crate) fn locked_version(paths: &Paths, lock: &str, name: &str) -> String {
    let text = fs::read_to_string(paths.root.join(lock)).unwrap_or_default();
    version_in(&text, name).unwrap_or("unknown").to_owned()
}

fn version_in<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| *line == format!("name = \"{name}\""))?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"tokio-util\"\nversion = \"1.0.0\"\n\n[[package]]\n\
                    name = \"tokio\"\nversion = \"2.0.0\"\n";
        assert_eq!(version_in(lock, "tokio"), Some("2.0.0"));
        assert_eq!(version_in(lock, "zenoh"), None);
    }

    #[test]
    fn the_last_core_is_a_number() {
        assert!(last_core().parse::<usize>().is_ok());
    }
}
