//! The histories that the nodes wrote, as records. `meshage/examples/history_node.rs` describes the
//! lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::shell::{self, Result};

/// A time in microseconds, by the clock that all processes of a machine share.
pub(super) type Micros = u64;

/// Now.
pub(super) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as Micros
}

/// One run of a node, from its start to its end: an incarnation.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// The name of the node.
    pub(super) name: String,
    /// The number of the incarnation, in hex.
    pub(super) instance: String,
    pub(super) started: Micros,
    /// When it had read its inbox to the end; `None` if it was killed.
    pub(super) stopped: Option<Micros>,
    /// The time of its last line.
    pub(super) last: Micros,
    /// Its sends, by the number of the operation.
    pub(super) sends: BTreeMap<u64, Send>,
    /// The messages that its application received, in order.
    pub(super) deliveries: Vec<Delivery>,
    /// The ends and beginnings of its links.
    pub(super) links: Vec<LinkChange>,
    /// How many messages it refused.
    pub(super) refused: u64,
}

/// A send.
#[derive(Debug, Clone)]
pub(super) struct Send {
    pub(super) at: Micros,
    pub(super) broadcast: bool,
    pub(super) bytes: usize,
    pub(super) timeout: Micros,
    pub(super) retry: bool,
    /// The recipients that were named; none for a broadcast.
    pub(super) recipients: BTreeSet<String>,
    /// When it ended, and how.
    pub(super) end: Option<(Micros, End)>,
}

/// How a send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The outcome for each recipient.
    Report(Vec<(String, String)>),
    /// Nothing was sent.
    Error(String),
}

/// A message that an application received.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) at: Micros,
    pub(super) source: String,
    pub(super) instance: String,
    pub(super) operation: u64,
    pub(super) bytes: usize,
    pub(super) broadcast: bool,
    /// Whether the body was that of the operation.
    pub(super) intact: bool,
}

/// A link that came up or went down.
#[derive(Debug, Clone)]
pub(super) struct LinkChange {
    pub(super) at: Micros,
    /// Why it went down; empty if it came up.
    pub(super) reason: String,
}

/// Reads all histories of a folder.
pub(super) fn read(folder: &Path) -> Result<Vec<Life>> {
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    shell::list_files(folder)?.iter().map(read).collect()
}

/// Parses one history.
pub(super) fn parse(text: &str) -> Result<Life> {
    let mut life = Life::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        life.read(&words).ok_or_else(|| format!("not a line of a history: {line:?}"))?;
    }
    if life.name.is_empty() { Err("the history has no start".into()) } else { Ok(life) }
}

impl Life {
    /// Reads one line. Returns `None` if it is not valid.
    fn read(&mut self, words: &[&str]) -> Option<()> {
        let at = words.get(1)?.parse().ok()?;
        self.last = at;
        match (*words.first()?, words.get(2..)?) {
            ("start", [name, instance]) => {
                self.started = at;
                self.name = (*name).into();
                self.instance = (*instance).into();
            }
            ("send", [operation, kind, bytes, timeout, retry, recipients]) => {
                let send = Send {
                    at,
                    broadcast: is_broadcast(kind)?,
                    bytes: bytes.parse().ok()?,
                    timeout: timeout.parse::<u64>().ok()? * 1000,
                    retry: *retry == "retry",
                    recipients: names(recipients),
                    end: None,
                };
                self.sends.insert(operation.parse().ok()?, send);
            }
            ("end", [operation, end]) => {
                let send = self.sends.get_mut(&operation.parse().ok()?)?;
                if send.end.is_some() {
                    return None;
                }
                send.end = Some((at, parse_end(end)?));
            }
            ("got", [source, instance, operation, bytes, kind, verdict]) => {
                self.deliveries.push(Delivery {
                    at,
                    source: (*source).into(),
                    instance: (*instance).into(),
                    operation: operation.parse().ok()?,
                    bytes: bytes.parse().ok()?,
                    broadcast: is_broadcast(kind)?,
                    intact: *verdict == "ok",
                });
            }
            ("link", ["up", _, reason] | ["down", _, reason]) => {
                self.links.push(LinkChange { at, reason: (*reason).into() });
            }
            ("mesh", [_]) => {}
            ("refused", [count]) => self.refused = count.parse().ok()?,
            ("stop", [_]) => self.stopped = Some(at),
            _ => return None,
        }
        Some(())
    }
}

fn is_broadcast(kind: &str) -> Option<bool> {
    match kind {
        "broadcast" => Some(true),
        "set" => Some(false),
        _ => None,
    }
}

fn names(list: &str) -> BTreeSet<String> {
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn parse_end(end: &str) -> Option<End> {
    if let Some(error) = end.strip_prefix('!') {
        return Some(End::Error(error.into()));
    }
    let each = end.split(',').filter(|pair| !pair.is_empty());
    let pairs = each.map(|pair| {
        let (name, outcome) = pair.split_once('=')?;
        Some((name.to_owned(), outcome.to_owned()))
    });
    pairs.collect::<Option<_>>().map(End::Report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        let life = parse(
            "start\t10\ta\t0001\nmesh\t11\ta,b\nlink\t12\tup\tb\t\n\
             send\t20\t0\tset\t16\t5000\tretry\tb,c\nend\t30\t0\tb=delivered,c=lost\n\
             send\t21\t1\tbroadcast\t16\t5000\tonce\t\nend\t31\t1\t!closed\n\
             got\t40\tb\t0002\t7\t16\tset\tok\nlink\t50\tdown\tb\tsilent for 2 s\n\
             refused\t59\t3\nstop\t60\t\n",
        );
        let life = life.expect("valid");
        assert_eq!((life.started, life.stopped, life.refused), (10, Some(60), 3));
        let report = |pairs: &[(&str, &str)]| {
            End::Report(pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect())
        };
        let lost = report(&[("b", "delivered"), ("c", "lost")]);
        assert_eq!(life.sends[&0].end, Some((30, lost)));
        assert_eq!(life.sends[&0].timeout, 5_000_000);
        assert_eq!(life.sends[&1].end, Some((31, End::Error("closed".into()))));
        assert_eq!(life.deliveries[0].operation, 7);
        assert!(life.links[0].reason.is_empty() && life.links[1].reason.starts_with("silent"));
    }

    #[test]
    fn a_line_that_is_not_valid_and_a_second_end_are_errors() {
        assert!(parse("start\t10\ta\t0001\nnonsense\t1\n").is_err());
        assert!(parse("").is_err());
        let twice = "start\t1\ta\t1\nsend\t2\t0\tset\t16\t5\tonce\tb\n\
                     end\t3\t0\tb=lost\nend\t4\t0\tb=lost\n";
        assert!(parse(twice).is_err());
    }
}
