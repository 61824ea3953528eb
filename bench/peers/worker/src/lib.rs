//! The code that the workers of all peers share: arguments, rounds, figures. It is independent of
//! any peer.
//!
//! ```text
//!  <command> <case> serve|relay|drive [to=a,b] [key=value …]
//!                                 │
//!  stdin  "round 500" ──► rounds ─┼─► one round of about 500 ms ──► Figures ──► stdout, one line
//! ```
//!
//! The protocol is described in `bench/README.md`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// An error ends the worker, with a sentence on stderr.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The body of every small message, in bytes.
pub const SMALL: usize = 64;
/// The body of a large one.
pub const LARGE: usize = 1 << 20;
/// The number of outstanding large bodies.
pub const LARGE_WINDOW: usize = 4;
/// The number of subscribers of a fan-out.
pub const FANOUT: usize = 16;
/// The warm-up round, in which connections, caches and allocators become steady.
const WARM_UP: Duration = Duration::from_millis(300);

/// The task of a worker.
#[derive(Debug)]
pub struct Job {
    /// The case.
    pub case: String,
    /// The role of this process.
    pub role: Role,
    /// The addresses of the other side.
    pub to: Vec<String>,
    options: BTreeMap<String, String>,
}

/// The role of a process in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections, and replies.
    Serve,
    /// Relays between the two others.
    Relay,
    /// Connects, sends and measures.
    Drive,
}

impl Job {
    /// The job on the command line.
    pub fn from_arguments() -> Result<Self> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let usage = "usage: <case> serve|relay|drive [to=<address>,…] [key=value …]";
        let case = arguments.next().ok_or(usage)?;
        let role = match arguments.next().as_deref() {
            Some("serve") => Role::Serve,
            Some("relay") => Role::Relay,
            Some("drive") => Role::Drive,
            Some(_) | None => return Err(usage.into()),
        };
        let mut options = BTreeMap::new();
        for argument in arguments {
            let (key, value) = argument.split_once('=').ok_or(usage)?;
            options.insert(key.to_owned(), value.to_owned());
        }
        let to = options.remove("to").unwrap_or_default();
        Ok(Self {
            case,
            role,
            to: to.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            options,
        })
    }

    /// The number of an option, or the fallback if it is not given.
    pub fn number(&self, key: &str, fallback: usize) -> Result<usize> {
        match self.options.get(key) {
            Some(text) => Ok(text.parse().map_err(|_| format!("{key}={text} is not a number"))?),
            None => Ok(fallback),
        }
    }

    /// The text of an option.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    /// The folder with the certificate and its key (`tls=`), if the connections use TLS.
    pub fn tls(&self) -> Option<Tls> {
        self.text("tls").map(|folder| Tls(PathBuf::from(folder)))
    }

    /// One of the addresses of the other side.
    pub fn address(&self, index: usize) -> Result<&str> {
        let address = self.to.get(index).ok_or("the option to= has too few addresses")?;
        Ok(address)
    }

    /// The error of a case or role that this peer does not support.
    pub fn unsupported<T>(&self) -> Result<T> {
        Err(format!("the role {:?} of the case {} is not supported", self.role, self.case).into())
    }
}

/// The certificate that the harness made for the address 127.0.0.1. It certifies itself, so it is
/// also the root that a client trusts.
#[derive(Clone, Debug)]
pub struct Tls(PathBuf);

impl Tls {
    /// The file of the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    /// The file of its private key.
    pub fn private_key(&self) -> PathBuf {
        self.0.join("key.pem")
    }
}

/// Prints that this process is ready, and its addresses.
pub fn print_ready(addresses: &[String]) {
    println!("ready {}", addresses.join(","));
}

/// Exits the process when its standard input closes. A separate thread waits for that.
pub fn exit_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// Waits until standard input closes, in a process whose work happens on other threads.
pub fn wait_for_stdin() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Warms up, prints `ready`, and runs a round for each line `round MILLISECONDS` that it reads.
pub fn run_rounds(mut round: impl FnMut(Duration) -> Result<Figures>) -> Result<()> {
    round(WARM_UP)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let milliseconds = line.strip_prefix("round ").and_then(|text| text.trim().parse().ok());
        let milliseconds = milliseconds.ok_or_else(|| format!("expected a round, got {line:?}"))?;
        println!("{}", round(Duration::from_millis(milliseconds))?.json());
    }
    Ok(())
}

/// The measurements of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figures {
    /// Round trips, in microseconds.
    Trips {
        /// Half of them took no longer.
        median: f64,
        /// 99 of 100 took no longer.
        p99: f64,
        /// 999 of 1,000 took no longer.
        p999: f64,
        /// The number of round trips.
        count: usize,
    },
    /// A rate a second.
    Rate {
        /// The rate.
        median: f64,
        /// The number of messages.
        count: u64,
    },
}

impl Figures {
    /// Messages a second.
    pub fn messages(count: u64, took: Duration) -> Self {
        Self::Rate { median: count as f64 / took.as_secs_f64(), count }
    }

    /// Megabytes a second, for `count` bodies of `body` bytes.
    pub fn megabytes(count: u64, body: usize, took: Duration) -> Self {
        let bytes = count as f64 * body as f64;
        Self::Rate { median: bytes / 1e6 / took.as_secs_f64(), count }
    }

    fn json(&self) -> String {
        match self {
            Self::Trips { median, p99, p999, count } => format!(
                r#"{{"median":{median:.3},"p99":{p99:.3},"p999":{p999:.3},"count":{count}}}"#
            ),
            Self::Rate { median, count } => {
                format!(r#"{{"median":{median:.3},"count":{count}}}"#)
            }
        }
    }
}

/// The times of a round's round trips.
#[derive(Debug, Default)]
pub struct Trips(Vec<Duration>);

impl Trips {
    /// Times `trip` repeatedly until the end of the round.
    pub fn time(round: Duration, mut trip: impl FnMut() -> Result<()>) -> Result<Figures> {
        let mut trips = Self::default();
        let start = Instant::now();
        let mut before = start;
        while before - start < round {
            trip()?;
            let after = Instant::now();
            trips.add(after - before);
            before = after;
        }
        trips.figures()
    }

    /// Adds a round trip.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The figures of the round.
    pub fn figures(mut self) -> Result<Figures> {
        self.0.sort_unstable();
        let last = self.0.len().checked_sub(1).ok_or("no round trip was completed in the round")?;
        let at = |share: f64| self.0[(last as f64 * share) as usize].as_nanos() as f64 / 1e3;
        Ok(Figures::Trips { median: at(0.5), p99: at(0.99), p999: at(0.999), count: last + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(line: &str) -> Result<Job> {
        Job::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_job_has_its_addresses_and_its_options() {
        let job = job("large drive to=a:1,b:2 window=2 tls=/x").expect("a job");
        assert_eq!(job.case, "large");
        assert_eq!(job.role, Role::Drive);
        assert_eq!(job.to, ["a:1", "b:2"]);
        assert_eq!(job.number("window", 4).ok(), Some(2));
        assert_eq!(job.number("links", 16).ok(), Some(16));
        assert_eq!(job.tls().expect("a folder").private_key(), PathBuf::from("/x/key.pem"));
    }

    #[test]
    fn a_malformed_job_is_an_error() {
        assert!(job("set_rtt").is_err());
        assert!(job("set_rtt watch").is_err());
        assert!(job("set_rtt drive window").is_err());
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut trips = Trips::default();
        for microseconds in (1..=1001).rev() {
            trips.add(Duration::from_micros(microseconds));
        }
        let figures = trips.figures().expect("figures");
        let expected = Figures::Trips { median: 501.0, p99: 991.0, p999: 1000.0, count: 1001 };
        assert_eq!(figures, expected);
        assert_eq!(
            figures.json(),
            r#"{"median":501.000,"p99":991.000,"p999":1000.000,"count":1001}"#
        );
    }
}
