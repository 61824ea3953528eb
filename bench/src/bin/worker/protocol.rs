//! The worker's end of the protocol with the harness: arguments, `ready`, rounds.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _, Write as _};
use std::time::Duration;

use super::count::Round;

/// What a worker gives, or what went wrong.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The body of every small message.
pub(crate) const BODY: &[u8] = &[7; 64];
/// How long a driver runs before it says that it is ready, so that every path and every buffer has
/// been used before it is measured.
pub(crate) const WARM_UP: Duration = Duration::from_millis(200);

/// Which part of a case a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Receives.
    Serve,
    /// Stands in the middle.
    Relay,
    /// Sends, and measures.
    Drive,
}

/// What the harness wants of this process.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    /// The case, without its variant.
    pub(crate) case: String,
    /// The part that this process plays in it.
    pub(crate) role: Role,
    /// Whom to connect to.
    pub(crate) to: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads `CASE ROLE [key=value …]`.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let case = arguments.next().ok_or("no case")?;
        let role = match arguments.next().as_deref() {
            Some("serve") => Role::Serve,
            Some("relay") => Role::Relay,
            Some("drive") => Role::Drive,
            other => return Err(format!("no role {other:?}").into()),
        };
        let mut values = BTreeMap::new();
        for argument in arguments {
            let (key, value) = argument.split_once('=').ok_or("an argument without =")?;
            values.insert(key.to_owned(), value.to_owned());
        }
        let to = values.remove("to").unwrap_or_default();
        let to = to.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        Ok(Self { case, role, to, values })
    }

    /// Where the one process to connect to listens.
    pub(crate) fn target(&self) -> Result<&str> {
        Ok(self.to.first().ok_or("no to=ADDRESS")?)
    }

    /// A value in words.
    pub(crate) fn word(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A number, or what it is where it is not given.
    pub(crate) fn number(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.word(key).map(str::parse).transpose()?.unwrap_or(default))
    }

    /// That this system has no such part of no such case.
    pub(crate) fn unknown(&self) -> Result<()> {
        Err(format!("no {:?} of the case {}", self.role, self.case).into())
    }
}

/// Says that the process is ready, and where it is reached; then waits until it is to end.
pub(crate) fn serve(addresses: &[String]) -> Result<()> {
    say(&format!("ready {}", addresses.join(",")))?;
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Warms up, says that the driver is ready, and runs a round whenever it is told to.
pub(crate) fn drive(mut round: impl FnMut(Duration) -> Result<Round>) -> Result<()> {
    round(WARM_UP)?;
    say("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let millis = line.strip_prefix("round ").ok_or_else(|| format!("what is {line:?}?"))?;
        let measured = round(Duration::from_millis(millis.parse()?))?;
        say(&serde_json::to_string(&measured)?)?;
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
