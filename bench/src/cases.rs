//! The cases: what is measured, with which processes, and in which unit.
//!
//! Cases of one group run together, in turn, since their figures are compared with each other.

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// µs
    Micros,
    /// ms
    Millis,
    /// messages/s
    Messages,
    /// MB/s, of 10⁶ bytes
    MegabytesPerSecond,
    /// MB, of 10⁶ bytes
    Megabytes,
}

impl Unit {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Messages => "messages/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::Megabytes => "MB",
        }
    }

    /// Whether less is better.
    pub(crate) fn less_is_better(self) -> bool {
        match self {
            Self::Micros | Self::Millis | Self::Megabytes => true,
            Self::Messages | Self::MegabytesPerSecond => false,
        }
    }

    /// Whether each round has percentiles.
    pub(crate) fn is_time(self) -> bool {
        match self {
            Self::Micros | Self::Millis => true,
            Self::Messages | Self::MegabytesPerSecond | Self::Megabytes => false,
        }
    }
}

/// Which processes a case has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A driver and a server, with so many relays between.
    Driven { relays: usize },
    /// A driver alone.
    Alone,
    /// A server whose size is looked at; with a driver to link to it, or without.
    Looked { driven: bool },
}

/// Whose driver drives a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Each its own.
    Own,
    /// That of its kind in Rust (`System::driver`): the receiver is what is measured.
    Rust,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name, with the variant: `set_rtt@same`.
    pub(crate) name: &'static str,
    /// Cases of one group run together.
    pub(crate) group: &'static str,
    /// What it is, in a sentence.
    pub(crate) is: &'static str,
    pub(crate) unit: Unit,
    pub(crate) shape: Shape,
    pub(crate) driver: Driver,
    /// What the workers are told besides.
    pub(crate) keys: &'static [&'static str],
}

impl Case {
    /// Its name without the variant, which the workers know it by.
    pub(crate) fn base(&self) -> &'static str {
        self.name.split('@').next().unwrap_or(self.name)
    }

    /// Whether all its processes run on one core.
    pub(crate) fn is_pinned(&self) -> bool {
        self.name.ends_with("@same")
    }

    /// The case of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|case| case.name == name)
    }
}

const PAIR: Shape = Shape::Driven { relays: 0 };
const ONE_RELAY: Shape = Shape::Driven { relays: 1 };
const THREE_RELAYS: Shape = Shape::Driven { relays: 3 };

const fn case(
    group: &'static str,
    name: &'static str,
    unit: Unit,
    shape: Shape,
    keys: &'static [&'static str],
    is: &'static str,
) -> Case {
    Case { name, group, is, unit, shape, driver: Driver::Own, keys }
}

/// The same with a driver in Rust for systems in other languages.
const fn driven_by_rust(case: Case) -> Case {
    Case { driver: Driver::Rust, ..case }
}

/// So many callers, and so many messages under way. 64 and 1,000 are the issue's.
const CALLERS: &[&str] = &["window=64"];
const WINDOW: &[&str] = &["window=1000"];
/// Large bodies, with as many under way as keep a link busy.
const MIB_1: &[&str] = &["size=1048576", "window=4"];
const MIB_64: &[&str] = &["size=67108864", "window=2"];
const NO_BODY: &[&str] = &["size=0"];

const NEIGHBOURS: &[&str] = &["neighbours=16"];
const MESH: &[&str] = &["mesh=64"];
const NO_LINKS: &[&str] = &["links=0"];
const LINKS: &[&str] = &["links=16"];

/// Every case, in the order in which they run.
pub(crate) const ALL: &[Case] = &{
    use Unit::{Megabytes, MegabytesPerSecond, Messages, Micros, Millis};
    [
        case("rtt", "set_rtt", Micros, PAIR, &[], "64 B, acknowledged; two cores"),
        case("rtt@same", "set_rtt@same", Micros, PAIR, &[], "64 B, acknowledged; one core"),
        case("64", "set_64", Messages, PAIR, CALLERS, "64 concurrent callers, 64 B, acknowledged"),
        case("64", "relay_64@1", Messages, ONE_RELAY, CALLERS, "the same through one relay"),
        case("64", "relay_64@3", Messages, THREE_RELAYS, CALLERS, "the same through three relays"),
        case(
            "window",
            "set_window",
            Messages,
            PAIR,
            WINDOW,
            "1,000 outstanding, 64 B, acknowledged",
        ),
        case("window", "relay_window@1", Messages, ONE_RELAY, WINDOW, "the same through one relay"),
        case("window", "relay_window@3", Messages, THREE_RELAYS, WINDOW, "the same through three"),
        case("window", "stream_unacked", Messages, PAIR, &[], "64 B, one way, never acknowledged"),
        case(
            "large",
            "large",
            MegabytesPerSecond,
            PAIR,
            MIB_1,
            "1 MiB, acknowledged, 4 outstanding",
        ),
        case(
            "large@64MiB",
            "large@64MiB",
            MegabytesPerSecond,
            PAIR,
            MIB_64,
            "64 MiB, acknowledged, 2 outstanding",
        ),
        case("beside", "large_beside@alone", Micros, PAIR, NO_BODY, "64 B, the link to itself"),
        case("beside", "large_beside@1MiB", Micros, PAIR, MIB_1, "64 B beside bodies of 1 MiB"),
        case("beside", "large_beside@64MiB", Micros, PAIR, MIB_64, "64 B beside bodies of 64 MiB"),
        case("relay", "relay_rtt@1", Micros, ONE_RELAY, &[], "64 B, one relay; two cores"),
        case("relay", "relay_rtt@3", Micros, THREE_RELAYS, &[], "64 B, three relays; two cores"),
        case("relay@same", "relay_rtt@1@same", Micros, ONE_RELAY, &[], "64 B, one relay; one core"),
        case(
            "relay@same",
            "relay_rtt@3@same",
            Micros,
            THREE_RELAYS,
            &[],
            "64 B, three relays; one core",
        ),
        case(
            "fanout",
            "fanout@16",
            Micros,
            PAIR,
            NEIGHBOURS,
            "64 B to 16 neighbours, until the last",
        ),
        case("fanout", "fanout@mesh64", Micros, PAIR, MESH, "64 B to 63 nodes, until the last"),
        driven_by_rust(case(
            "recv",
            "recv_many",
            Messages,
            PAIR,
            WINDOW,
            "64 B from a Rust sender, taken in batches",
        )),
        driven_by_rust(case(
            "recv",
            "recv_for",
            Messages,
            PAIR,
            WINDOW,
            "64 B from a Rust sender, taken one by one",
        )),
        case("spf", "spf@100", Millis, Shape::Alone, &["nodes=100"], "routes of 100 nodes"),
        case("spf", "spf@1000", Millis, Shape::Alone, &["nodes=1000"], "routes of 1,000 nodes"),
        case("spf", "spf@10000", Millis, Shape::Alone, &["nodes=10000"], "routes of 10,000 nodes"),
        case(
            "spf",
            "spf@10000-half",
            Millis,
            Shape::Alone,
            &["nodes=10000", "cut=half"],
            "routes of 10,000 nodes of which half are cut off",
        ),
        case(
            "memory",
            "memory@idle",
            Megabytes,
            Shape::Looked { driven: false },
            NO_LINKS,
            "resident after 2 s without a link",
        ),
        driven_by_rust(case(
            "memory",
            "memory@16",
            Megabytes,
            Shape::Looked { driven: true },
            LINKS,
            "resident after 2 s with 16 links",
        )),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_case_has_a_name_of_its_own_and_its_group_is_in_one_piece() {
        let names: BTreeSet<&str> = ALL.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), ALL.len());
        let groups: BTreeSet<&str> = ALL.iter().map(|case| case.group).collect();
        assert_eq!(ALL.chunk_by(|a, b| a.group == b.group).count(), groups.len());
    }
}
