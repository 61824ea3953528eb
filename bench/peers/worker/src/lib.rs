//! What the workers of all peers share: their arguments, the rounds, the figures. It knows no peer.
//!
//! ```text
//!  <command> <case> serve|relay|drive [to=a,b] [key=value …]
//!                                 │
//!  stdin  "round 500" ──► Rounds ─┼─► one round of about 500 ms ──► Figures ──► stdout, one line
//! ```
//!
//! The protocol is described in `bench/README.md`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _};
use std::time::{Duration, Instant};

/// What goes wrong in a worker ends it, with a sentence on stderr.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The body of every small message, in bytes.
pub const SMALL: usize = 64;
/// The body of a large one.
pub const LARGE: usize = 1 << 20;
/// How many large bodies are under way at once.
pub const LARGE_WINDOW: usize = 4;
/// How many subscribers a fan-out goes to.
pub const FANOUT: usize = 16;
/// The round before the first: connections, caches and allocators come to rest in it.
const WARM_UP: Duration = Duration::from_millis(300);

/// What a worker is to do.
#[derive(Debug)]
pub struct Job {
    /// The case.
    pub case: String,
    /// Which side of it this process is.
    pub role: Role,
    /// Where the other side is.
    pub to: Vec<String>,
    options: BTreeMap<String, String>,
}

/// Which side of a case a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Waits to be reached, and answers.
    Serve,
    /// Stands between the two others.
    Relay,
    /// Connects, sends and measures.
    Drive,
}

impl Job {
    /// The job that the command line says.
    pub fn from_arguments() -> Result<Self> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let usage = "usage: <case> serve|relay|drive [to=<address>,…] [key=value …]";
        let case = words.next().ok_or(usage)?;
        let role = match words.next().as_deref() {
            Some("serve") => Role::Serve,
            Some("relay") => Role::Relay,
            Some("drive") => Role::Drive,
            Some(_) | None => return Err(usage.into()),
        };
        let mut options = BTreeMap::new();
        for word in words {
            let (key, value) = word.split_once('=').ok_or(usage)?;
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

    /// A number among the options, or what it is without being said.
    pub fn number(&self, key: &str, otherwise: usize) -> Result<usize> {
        match self.options.get(key) {
            Some(text) => Ok(text.parse().map_err(|_| format!("{key}={text} is no number"))?),
            None => Ok(otherwise),
        }
    }

    /// One of the addresses of the other side.
    pub fn address(&self, index: usize) -> Result<&str> {
        let address = self.to.get(index).ok_or("to= names too few addresses")?;
        Ok(address)
    }

    /// The error of a case that this peer has not.
    pub fn unknown<T>(&self) -> Result<T> {
        Err(format!("no case {} as {:?}", self.case, self.role).into())
    }
}

/// Says where this process is reached from now on.
pub fn reached_at(addresses: &[String]) {
    println!("ready {}", addresses.join(","));
}

/// Ends the process once its standard input closes, from a thread of its own.
pub fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// Waits until standard input closes: for whoever has nothing else to do.
pub fn wait_for_stdin() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Warms up, says `ready`, then runs the rounds that it is asked for.
pub fn rounds(mut round: impl FnMut(Duration) -> Result<Figures>) -> Result<()> {
    round(WARM_UP)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let milliseconds = line.strip_prefix("round ").and_then(|text| text.trim().parse().ok());
        let milliseconds = milliseconds.ok_or_else(|| format!("{line:?} is no round"))?;
        println!("{}", round(Duration::from_millis(milliseconds))?.json());
    }
    Ok(())
}

/// What a round measured.
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
        /// How many there were.
        count: usize,
    },
    /// Something a second.
    Rate {
        /// How much a second.
        median: f64,
        /// How many messages that were.
        count: u64,
    },
}

impl Figures {
    /// Messages a second.
    pub fn messages(count: u64, took: Duration) -> Self {
        Self::Rate { median: count as f64 / took.as_secs_f64(), count }
    }

    /// Megabytes a second, of bodies of so many bytes.
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
    /// Times `trip` again and again until the round is over.
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

    /// One more.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// What they come to.
    pub fn figures(mut self) -> Result<Figures> {
        self.0.sort_unstable();
        let last = self.0.len().checked_sub(1).ok_or("a round without one round trip")?;
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
        let job = job("large drive to=a:1,b:2 window=2").expect("a job");
        assert_eq!(job.case, "large");
        assert_eq!(job.role, Role::Drive);
        assert_eq!(job.to, ["a:1", "b:2"]);
        assert_eq!(job.number("window", 4).ok(), Some(2));
        assert_eq!(job.number("links", 16).ok(), Some(16));
    }

    #[test]
    fn what_is_no_job_is_refused() {
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
        let wanted = Figures::Trips { median: 501.0, p99: 991.0, p999: 1000.0, count: 1001 };
        assert_eq!(figures, wanted);
        assert_eq!(
            figures.json(),
            r#"{"median":501.000,"p99":991.000,"p999":1000.000,"count":1001}"#
        );
    }
}
