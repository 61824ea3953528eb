//! The systems that are measured: how each is started, and its cases.

use std::ffi::OsString;
use std::process::Command;

use crate::artifact::Artifact;
use crate::cases::{Case, Driver};
use crate::machine::{first_line, locked_version};
use crate::paths::Paths;

/// One system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System {
    /// Its name in the figures.
    pub(crate) name: &'static str,
    /// Whether it is one of libmeshage's APIs.
    pub(crate) is_ours: bool,
    /// A description for the report.
    pub(crate) description: &'static str,
    /// What has to be built before it runs.
    pub(crate) artifact: Artifact,
    /// The Rust system of the same kind. Its driver sends in cases that measure the receiver.
    rust_system: &'static str,
    /// The command that starts its workers.
    command: fn(&Paths) -> Vec<OsString>,
    /// Its version and those of its dependencies.
    version: fn(&Paths) -> String,
    /// The cases that its workers support: `relay_rtt` stands for all variants, `fanout@16` for
    /// that variant.
    cases: &'static [&'static str],
    /// Set if its connections are encrypted.
    pub(crate) encryption: Option<Encryption>,
}

/// The difference between a system with encryption and the same system without it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encryption {
    /// The name of the system without encryption.
    pub(crate) open: &'static str,
    /// The argument of its workers that turns the encryption on.
    argument: fn(&Paths) -> OsString,
}

impl System {
    /// Whether its workers support a case.
    pub(crate) fn runs(&self, case: &Case) -> bool {
        self.cases.iter().any(|&known| known == case.base() || known == case.name)
    }

    /// The command that starts its workers.
    pub(crate) fn command(&self, paths: &Paths) -> Vec<OsString> {
        (self.command)(paths)
    }

    /// The arguments of all its workers, in addition to those of the case.
    pub(crate) fn arguments(&self, paths: &Paths) -> Option<OsString> {
        self.encryption.map(|encryption| (encryption.argument)(paths))
    }

    /// This system with encryption, if there is one. A system with encryption returns itself.
    pub(crate) fn encrypted(&self) -> Option<&Self> {
        let is_this =
            |system: &&Self| system.encryption.is_some_and(|other| other.open == self.name);
        if self.encryption.is_some() { Some(self) } else { ALL.iter().find(is_this) }
    }

    /// Its version and those of its dependencies.
    pub(crate) fn version(&self, paths: &Paths) -> String {
        (self.version)(paths)
    }

    /// The system whose driver this system uses in a case.
    pub(crate) fn driver(&self, case: &Case) -> &Self {
        match case.driver {
            Driver::Rust => {
                ALL.iter().find(|system| system.name == self.rust_system).unwrap_or(self)
            }
            Driver::Own => self,
        }
    }
}

/// The worker program of this package, as one of its systems.
fn worker(paths: &Paths, system: &str) -> Vec<OsString> {
    vec![paths.release("meshage-bench-worker").into(), system.into()]
}

/// A program of the workspace of the peers.
fn peer(paths: &Paths, program: &str) -> Vec<OsString> {
    vec![paths.peers().join("release").join(program).into()]
}

/// A Python worker.
fn python(paths: &Paths, script: &str) -> Vec<OsString> {
    let script = paths.root.join("bench/python").join(script);
    vec![paths.venv().join("bin/python").into(), script.into()]
}

/// A worker with this argument starts nodes of a closed mesh. The key protects nothing but the
/// messages of the bench.
fn pre_shared_key(_: &Paths) -> OsString {
    format!("key={}", "62".repeat(32)).into()
}

/// A worker with this argument uses TLS, with the certificate in this folder.
fn certificate(paths: &Paths) -> OsString {
    let mut argument = OsString::from("tls=");
    argument.push(paths.certificate());
    argument
}

const LOCK: &str = "Cargo.lock";
const PEERS_LOCK: &str = "bench/peers/Cargo.lock";

fn own_version(_: &Paths) -> String {
    format!("libmeshage {}", env!("CARGO_PKG_VERSION"))
}

fn rustc() -> String {
    first_line(Command::new("rustc").arg("--version"))
}

fn interpreter(paths: &Paths) -> String {
    first_line(Command::new(paths.venv().join("bin/python")).arg("--version"))
}

/// The version of a package in the Python environment.
fn package_version(paths: &Paths, name: &str) -> String {
    let script = format!("import importlib.metadata as m; print(m.version({name:?}))");
    first_line(Command::new(paths.venv().join("bin/python")).args(["-c", &script]))
}

const RUST: System = System {
    name: "meshage-rust",
    is_ours: true,
    description: "libmeshage, the asynchronous Rust node on the application's tokio runtime",
    artifact: Artifact::Worker,
    rust_system: "meshage-rust",
    command: |paths| worker(paths, "meshage-rust"),
    version: own_version,
    cases: &[
        "set_rtt",
        "set_64",
        "set_window",
        "large",
        "large_beside",
        "relay_rtt",
        "relay_64",
        "relay_window",
        "fanout",
        "recv_many",
        "recv_for",
        "handshake",
        "spf",
        "memory",
    ],
    encryption: None,
};

const C: System = System {
    name: "meshage-c",
    is_ours: true,
    description: "libmeshage from C",
    artifact: Artifact::C,
    rust_system: "meshage-rust",
    command: |paths| vec![paths.target.join("bench-c").into()],
    version: own_version,
    cases: &["set_rtt", "set_64", "set_window", "large", "memory"],
    encryption: None,
};

const ZEROMQ: System = System {
    name: "zeromq",
    is_ours: false,
    description: "ZeroMQ (libzmq)",
    artifact: Artifact::Peer("peer-zeromq"),
    rust_system: "zeromq",
    command: |paths| peer(paths, "peer-zeromq"),
    version: |paths| {
        let library = first_line(Command::new(&peer(paths, "peer-zeromq")[0]).arg("version"));
        format!("{library} (zmq {})", locked_version(paths, PEERS_LOCK, "zmq"))
    },
    cases: &[
        "set_rtt",
        "set_64",
        "set_window",
        "stream_unacked",
        "large",
        "fanout@16",
        "recv_many",
        "memory",
    ],
    encryption: None,
};

const ZENOH: System = System {
    name: "zenoh",
    is_ours: false,
    description: "Zenoh, peer to peer",
    artifact: Artifact::Peer("peer-zenoh"),
    rust_system: "zenoh",
    command: |paths| peer(paths, "peer-zenoh"),
    version: |paths| format!("zenoh {}", locked_version(paths, PEERS_LOCK, "zenoh")),
    cases: &[
        "set_rtt",
        "set_64",
        "set_window",
        "stream_unacked",
        "large",
        "relay_rtt@1",
        "relay_rtt@1@same",
        "fanout@16",
        "recv_many",
        "memory",
    ],
    encryption: None,
};

const GRPC: System = System {
    name: "grpc",
    is_ours: false,
    description: "gRPC (tonic), unary calls",
    artifact: Artifact::Peer("peer-grpc"),
    rust_system: "grpc",
    command: |paths| peer(paths, "peer-grpc"),
    version: |paths| format!("tonic {}", locked_version(paths, PEERS_LOCK, "tonic")),
    cases: &["set_rtt", "set_64", "set_window", "large", "memory"],
    encryption: None,
};

const RUST_ENCRYPTED: System = System {
    name: "meshage-rust-key",
    description: "the same in a closed mesh, with a pre-shared key",
    cases: &[
        "set_rtt@same",
        "set_64",
        "set_window",
        "large",
        "relay_64@1",
        "fanout@16",
        "handshake",
    ],
    encryption: Some(Encryption { open: "meshage-rust", argument: pre_shared_key }),
    ..RUST
};

const C_ENCRYPTED: System = System {
    name: "meshage-c-key",
    description: "the same in a closed mesh, with a pre-shared key",
    cases: &["set_rtt@same", "set_64", "set_window", "large"],
    encryption: Some(Encryption { open: "meshage-c", argument: pre_shared_key }),
    ..C
};

const ZEROMQ_ENCRYPTED: System = System {
    name: "zeromq-curve",
    description: "the same with CURVE, with libsodium",
    version: |paths| {
        let sodium = locked_version(paths, PEERS_LOCK, "libsodium-sys-stable");
        format!("libsodium-sys-stable {sodium}")
    },
    cases: &["set_rtt@same", "set_64", "set_window", "large"],
    encryption: Some(Encryption { open: "zeromq", argument: |_| "curve=1".into() }),
    ..ZEROMQ
};

const ZENOH_ENCRYPTED: System = System {
    name: "zenoh-tls",
    artifact: Artifact::PeerWithTls("peer-zenoh"),
    description: "the same with TLS",
    version: |paths| format!("rustls {}", locked_version(paths, PEERS_LOCK, "rustls")),
    cases: &["set_rtt@same", "set_64", "set_window", "large"],
    encryption: Some(Encryption { open: "zenoh", argument: certificate }),
    ..ZENOH
};

const GRPC_ENCRYPTED: System = System {
    name: "grpc-tls",
    artifact: Artifact::PeerWithTls("peer-grpc"),
    description: "the same with TLS",
    version: |paths| format!("rustls {}", locked_version(paths, PEERS_LOCK, "rustls")),
    cases: &["set_rtt@same", "set_64", "set_window", "large"],
    encryption: Some(Encryption { open: "grpc", argument: certificate }),
    ..GRPC
};

/// Every system: libmeshage's APIs, raw TCP, the peers. A system with encryption follows the same
/// system without it, so that their rounds are adjacent.
pub(crate) const ALL: &[System] = &[
    RUST,
    RUST_ENCRYPTED,
    System {
        name: "meshage-blocking",
        is_ours: true,
        description: "libmeshage, the blocking Rust node",
        artifact: Artifact::Worker,
        rust_system: "meshage-rust",
        command: |paths| worker(paths, "meshage-blocking"),
        version: own_version,
        cases: &["set_rtt", "set_64", "set_window", "memory"],
        encryption: None,
    },
    C,
    C_ENCRYPTED,
    System {
        name: "meshage-python",
        is_ours: true,
        description: "libmeshage from Python, blocking",
        artifact: Artifact::Wheel,
        rust_system: "meshage-rust",
        command: |paths| python(paths, "meshage_worker.py"),
        version: |paths| format!("{}, {}", own_version(paths), interpreter(paths)),
        cases: &["set_rtt", "set_window", "recv_many", "memory"],
        encryption: None,
    },
    System {
        name: "meshage-asyncio",
        is_ours: true,
        description: "libmeshage from Python, asyncio",
        artifact: Artifact::Wheel,
        rust_system: "meshage-rust",
        command: |paths| python(paths, "asyncio_worker.py"),
        version: |paths| format!("{}, {}", own_version(paths), interpreter(paths)),
        cases: &["set_rtt", "set_64", "set_window", "recv_for"],
        encryption: None,
    },
    System {
        name: "meshage-go",
        is_ours: true,
        description: "libmeshage from Go",
        artifact: Artifact::Go,
        rust_system: "meshage-rust",
        command: |paths| vec![paths.target.join("bench-go").into()],
        version: |paths| {
            format!("{}, {}", own_version(paths), first_line(Command::new("go").arg("version")))
        },
        cases: &["set_rtt", "set_64", "memory"],
        encryption: None,
    },
    System {
        name: "raw-tokio",
        is_ours: false,
        description: "bytes over TCP with tokio, one worker thread",
        artifact: Artifact::Worker,
        rust_system: "raw-tokio",
        command: |paths| worker(paths, "raw-tokio"),
        version: |paths| format!("tokio {}", locked_version(paths, LOCK, "tokio")),
        cases: &["set_rtt", "set_64", "set_window", "large", "relay_rtt"],
        encryption: None,
    },
    System {
        name: "raw-std",
        is_ours: false,
        description: "bytes over TCP with the standard library, a thread for each connection",
        artifact: Artifact::Worker,
        rust_system: "raw-std",
        command: |paths| worker(paths, "raw-std"),
        version: |_| rustc(),
        cases: &["set_rtt", "set_64", "set_window", "large", "relay_rtt", "fanout@16"],
        encryption: None,
    },
    ZEROMQ,
    ZEROMQ_ENCRYPTED,
    ZENOH,
    ZENOH_ENCRYPTED,
    GRPC,
    GRPC_ENCRYPTED,
    System {
        name: "pyzmq",
        is_ours: false,
        description: "ZeroMQ from Python",
        artifact: Artifact::Package("pyzmq", "27.3.0"),
        rust_system: "zeromq",
        command: |paths| python(paths, "pyzmq_worker.py"),
        version: |paths| {
            format!("pyzmq {}, {}", package_version(paths, "pyzmq"), interpreter(paths))
        },
        cases: &["set_rtt", "set_window", "recv_many", "memory"],
        encryption: None,
    },
    System {
        name: "zenoh-python",
        is_ours: false,
        description: "Zenoh from Python",
        artifact: Artifact::Package("eclipse-zenoh", "1.10.2"),
        rust_system: "zenoh",
        command: |paths| python(paths, "zenoh_worker.py"),
        version: |paths| {
            format!(
                "eclipse-zenoh {}, {}",
                package_version(paths, "eclipse-zenoh"),
                interpreter(paths)
            )
        },
        cases: &["set_rtt", "recv_many", "memory"],
        encryption: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn every_case_that_a_system_names_exists() {
        for system in ALL {
            for known in system.cases {
                let exists = cases::ALL.iter().any(|c| c.name == *known || c.base() == *known);
                assert!(exists, "{}: {known}", system.name);
            }
        }
    }

    #[test]
    fn the_driver_of_a_system_supports_the_case() {
        for case in cases::ALL.iter().filter(|case| case.driver == Driver::Rust) {
            for system in ALL.iter().filter(|system| system.runs(case)) {
                let driver = system.driver(case);
                assert!(driver.name == system.rust_system && driver.runs(case), "{}", system.name);
            }
        }
    }

    #[test]
    fn a_system_with_encryption_follows_the_system_without_it_and_runs_no_other_cases() {
        for (at, system) in ALL.iter().enumerate() {
            let Some(encryption) = system.encryption else { continue };
            let open = &ALL[at - 1];
            assert_eq!(open.name, encryption.open);
            for case in cases::ALL.iter().filter(|case| system.runs(case)) {
                assert!(open.runs(case), "{} of {}", case.name, open.name);
                assert_eq!(system.driver(case).name, system.name, "an open driver");
            }
        }
    }

    #[test]
    fn every_case_has_a_system() {
        for case in cases::ALL {
            assert!(ALL.iter().any(|system| system.runs(case)), "{}", case.name);
        }
    }
}
