//! Makes the files of a closed mesh: `cargo xtask key --help`, or `cargo run --example key -- --help`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshage::secure::ticket::{Revocation, Terms, Ticket};
use meshage::secure::{Identity, NamePattern, UnixMillis, files};

const USAGE: &str = "\
cargo xtask key <command>: makes the files of a closed mesh. Only their owner may read them.
No file that exists is overwritten without --force. Secrets are never printed.

  new FILE [--add]   makes a pre-shared key, in a new key file or as the last key of an
                     existing one (--add), and prints its id
  id FILE            prints the ids of the keys in a key file, the primary one first
  identity FILE      makes the identity of a node and prints its public key; of a file that
                     exists, it prints the public key alone
  root FILE          the same for the root of a mesh, which signs tickets
  ticket --root FILE --name NAME --key PUBLIC_KEY -o FILE
                     signs a ticket: the node with this public key may use this name. A name
                     that ends with * stands for all names with this beginning.
         [--days N]  the ticket holds for N days from now (default: 365)
         [--until D] the ticket holds until the end of this day in UTC, such as 2027-03-31
         [--serial N]  the number by which it is revoked (default: a random one)
  revoke --root FILE --ticket FILE -o FILE
                     signs the revocation of a ticket; pass its contents to `Node::revoke` on
                     any node
";

const DAYS: u64 = 365;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command and returns what it prints.
pub(crate) fn run(arguments: &[String]) -> Result<String, String> {
    let Some((command, rest)) = arguments.split_first() else { return Err(USAGE.into()) };
    if arguments.iter().any(|argument| ["--help", "-h", "help"].contains(&argument.as_str())) {
        return Ok(USAGE.into());
    }
    match command.as_str() {
        "new" => new(&Arguments::parse(rest, 1, &[], &["--add", "--force"])?),
        "id" => id(&Arguments::parse(rest, 1, &[], &[])?),
        "identity" | "root" => identity(&Arguments::parse(rest, 1, &[], &["--force"])?),
        "ticket" => {
            let values = ["--root", "--name", "--key", "--days", "--until", "--serial", "-o"];
            ticket(&Arguments::parse(rest, 0, &values, &["--force"])?)
        }
        "revoke" => {
            revoke(&Arguments::parse(rest, 0, &["--root", "--ticket", "-o"], &["--force"])?)
        }
        other => Err(format!("unknown command {other:?}\n\n{USAGE}")),
    }
}

fn new(arguments: &Arguments) -> Result<String, String> {
    let path = arguments.file();
    let id = if arguments.has("--add") {
        files::add_key(&path).map_err(text)?
    } else {
        files::create_key(&path, arguments.has("--force")).map_err(or_force)?
    };
    Ok(format!("{id}\n"))
}

fn id(arguments: &Arguments) -> Result<String, String> {
    let keys = files::read_keys(&arguments.file()).map_err(text)?;
    Ok(keys.iter().map(|key| format!("{}\n", key.id())).collect())
}

fn identity(arguments: &Arguments) -> Result<String, String> {
    let path = arguments.file();
    let public_key = if path.exists() && !arguments.has("--force") {
        files::read_identity(&path).map_err(text)?.public_key()
    } else {
        files::create_identity(&path, arguments.has("--force")).map_err(or_force)?
    };
    Ok(format!("{public_key}\n"))
}

fn ticket(arguments: &Arguments) -> Result<String, String> {
    let root = root(arguments)?;
    let name = arguments.required("--name")?;
    let name = NamePattern::new(name).map_err(|error| format!("--name {name:?}: {error}"))?;
    let key = arguments.required("--key")?;
    let public_key = key.parse().map_err(
        |_| "--key: a public key has 64 hex digits; `cargo xtask key identity FILE` prints it",
    )?;
    let not_before = now();
    let not_after = end(arguments, not_before)?;
    let serial = match arguments.value("--serial") {
        Some(number) => number.parse().map_err(|_| "--serial: a number from 0 to 2^64-1")?,
        None => random_serial()?,
    };
    let terms = Terms { name, public_key, not_before, not_after, serial };
    let summary = format!("ticket {serial} for {} until {not_after}", terms.name);
    let ticket = Ticket::issue(&root, terms).encode();
    write(arguments, &summary, &ticket)
}

/// When a ticket ends.
fn end(arguments: &Arguments, now: UnixMillis) -> Result<UnixMillis, String> {
    let end = match (arguments.value("--days"), arguments.value("--until")) {
        (Some(_), Some(_)) => return Err("either --days or --until, not both".into()),
        (None, None) => days_after(now, DAYS),
        (Some(days), None) => {
            let days = days.parse().ok().filter(|days| (1..=1_000_000).contains(days));
            days_after(now, days.ok_or("--days: a number from 1 to 1,000,000")?)
        }
        (None, Some(date)) => {
            let day = UnixMillis::parse_date(date);
            days_after(day.ok_or("--until: a day such as 2027-03-31")?, 1)
        }
    };
    if end > now { Ok(end) } else { Err(format!("--until: the ticket would have ended at {end}")) }
}

fn days_after(time: UnixMillis, days: u64) -> UnixMillis {
    time.plus(DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)))
}

fn revoke(arguments: &Arguments) -> Result<String, String> {
    let root = root(arguments)?;
    let path = arguments.required("--ticket")?;
    let ticket = files::read_ticket(Path::new(path)).map_err(text)?;
    if !ticket.verify(&root.public_key()) {
        return Err(format!("{path}: the ticket is not of this root"));
    }
    let Terms { name, serial, not_after, .. } = &ticket.terms;
    if *not_after <= now() {
        return Err(format!("{path}: the ticket ended at {not_after}; there is nothing to revoke"));
    }
    let summary = format!("revocation of ticket {serial} for {name}, kept until {not_after}");
    write(arguments, &summary, &Revocation::of(&root, &ticket.terms).encode())
}

/// Writes a ticket or a revocation. Returns what is in it.
fn write(arguments: &Arguments, summary: &str, bytes: &[u8]) -> Result<String, String> {
    let path = PathBuf::from(arguments.required("-o")?);
    let contents = format!("# {summary}\n{}", files::public_line(bytes));
    files::write_private(&path, &contents, arguments.has("--force")).map_err(or_force)?;
    Ok(format!("{summary}\n"))
}

fn root(arguments: &Arguments) -> Result<Identity, String> {
    files::read_identity(Path::new(arguments.required("--root")?)).map_err(text)
}

fn random_serial() -> Result<u64, String> {
    // The random bytes of a key that is used for nothing else.
    let bytes = meshage::generate_key().map_err(text)?;
    let number = bytes.first_chunk().copied().unwrap_or_default();
    Ok(u64::from_le_bytes(number))
}

#[expect(clippy::disallowed_methods, reason = "a ticket begins when it is made")]
fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(0).plus(since)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn or_force(error: impl ToString) -> String {
    let text = error.to_string();
    if text.contains("it exists") { format!("{text}; use --force to replace it") } else { text }
}

/// The arguments of a command.
struct Arguments {
    positional: Vec<String>,
    values: BTreeMap<String, String>,
    flags: BTreeSet<String>,
}

impl Arguments {
    fn parse(
        arguments: &[String],
        positional: usize,
        valued: &[&str],
        flags: &[&str],
    ) -> Result<Self, String> {
        let mut parsed =
            Self { positional: vec![], values: BTreeMap::new(), flags: BTreeSet::new() };
        let mut rest = arguments.iter().cloned();
        while let Some(argument) = rest.next() {
            if flags.contains(&argument.as_str()) {
                parsed.flags.insert(argument);
            } else if valued.contains(&argument.as_str()) {
                let value = rest.next().ok_or_else(|| format!("{argument} needs a value"))?;
                if parsed.values.insert(argument.clone(), value).is_some() {
                    return Err(format!("{argument} is given twice"));
                }
            } else if argument.starts_with('-') || parsed.positional.len() == positional {
                return Err(format!("unknown argument {argument:?}\n\n{USAGE}"));
            } else {
                parsed.positional.push(argument);
            }
        }
        if parsed.positional.len() < positional {
            return Err(format!("the file is missing\n\n{USAGE}"));
        }
        Ok(parsed)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    fn value(&self, option: &str) -> Option<&str> {
        self.values.get(option).map(String::as_str)
    }

    fn required(&self, option: &str) -> Result<&str, String> {
        self.value(option).ok_or_else(|| format!("{option} is missing\n\n{USAGE}"))
    }

    /// The one positional argument, which `parse` requires.
    fn file(&self) -> PathBuf {
        self.positional.first().map(PathBuf::from).unwrap_or_default()
    }
}
