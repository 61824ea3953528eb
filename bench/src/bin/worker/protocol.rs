//! The worker's end of the protocol with the harness: arguments, `ready`, rounds.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _, Write as _};
use std::time::Duration;

use super::round::Round;

/// The result of a worker.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The body of every small message.
pub(crate) const BODY: &[u8] = &[7; 64];
/// How long a driver runs before it reports that it is ready. Every path and every buffer has then
/// been used before the first measured round.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

/// The role of a process in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Receives.
    Serve,
    /// Relays between the two others.
    Relay,
    /// Sends and measures.
    Drive,
}

/// The arguments that the harness passes to this process.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    /// The case, without its variant.
    pub(crate) case: String,
    /// The role of this process.
    pub(crate) role: Role,
    /// The addresses to connect to.
    pub(crate) to: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Parses `CASE ROLE [key=value …]`.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let case = arguments.next().ok_or("the case is missing")?;
        let role = match arguments.next().as_deref() {
            Some("serve") => Role::Serve,
            Some("relay") => Role::Relay,
            Some("drive") => Role::Drive,
            other => return Err(format!("unknown role {other:?}").into()),
        };
        let mut values = BTreeMap::new();
        for argument in arguments {
            let (key, value) = argument.split_once('=').ok_or("an argument lacks =")?;
            values.insert(key.to_owned(), value.to_owned());
        }
        let to = values.remove("to").unwrap_or_default();
        let to = to.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        Ok(Self { case, role, to, values })
    }

    /// The address of the one process to connect to.
    pub(crate) fn target(&self) -> Result<&str> {
        Ok(self.to.first().ok_or("the argument to=ADDRESS is missing")?)
    }

    /// The text of an argument.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The number in an argument, or the default if it is not given.
    pub(crate) fn number(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.text(key).map(str::parse).transpose()?.unwrap_or(default))
    }

    /// The error of a case or role that this system does not support.
    pub(crate) fn unsupported(&self) -> Result<()> {
        Err(format!("the role {:?} of the case {} is not supported", self.role, self.case).into())
    }
}

/// Prints that the process is ready, and its addresses. Then waits until standard input is closed.
pub(crate) fn serve(addresses: &[String]) -> Result<()> {
    print_line(&format!("ready {}", addresses.join(",")))?;
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Warms up, prints that the driver is ready, and runs a round for each line `round` that it reads.
pub(crate) fn drive(mut round: impl FnMut(Duration) -> Result<Round>) -> Result<()> {
    round(WARM_UP)?;
    print_line("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let millis =
            line.strip_prefix("round ").ok_or_else(|| format!("expected a round, got {line:?}"))?;
        let measured = round(Duration::from_millis(millis.parse()?))?;
        print_line(&serde_json::to_string(&measured)?)?;
    }
    Ok(())
}

fn print_line(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
