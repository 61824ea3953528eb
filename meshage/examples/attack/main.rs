//! Attacks a node over real sockets, and measures what honest members notice.
//!
//! ```text
//!  a ──── b ──── c      a sends to c through b, the attacked node
//!         │
//!      attacker         in a process of its own, pinned to another processor
//! ```
//!
//! `cargo xtask attack` runs every attack on open and closed meshes, and writes a table. The other
//! commands are the parts of a run, each in its own process: `victim MESH`, `honest MESH ADDRESS
//! SECONDS` and `attacker NAME MESH ADDRESS DATAGRAM-ADDRESS CONNECTIONS SECONDS`. `list` lists the
//! attacks.

#![expect(clippy::disallowed_methods, reason = "it measures real time")]

mod attacks;
mod datagrams;
mod floods;
mod mesh;
mod parts;
mod peer;
mod strangers;
mod suite;

use std::process::ExitCode;

use attacks::Attack;
use mesh::Mode;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["victim", mode] => mode_named(mode).and_then(parts::victim),
        ["honest", mode, address, seconds] => {
            mode_named(mode).and_then(|mode| parts::honest(mode, address, seconds))
        }
        ["attacker", name, mode, address, datagrams, connections, seconds] => mode_named(mode)
            .and_then(|mode| {
                let attack = Attack::named(name).ok_or("there is no attack of this name")?;
                parts::attacker(attack, mode, [address, datagrams, connections, seconds])
            }),
        ["list"] => {
            for attack in Attack::all() {
                let modes = Mode::ALL.into_iter().filter(|mode| attack.counted(*mode).is_some());
                let modes: Vec<&str> = modes.map(Mode::name).collect();
                println!("{:24} {}", attack.name(), modes.join(", "));
            }
            Ok(())
        }
        ["run", ..] => suite::run(&words[1..]),
        _ => Err("see the head of meshage/examples/attack/main.rs for the commands".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn mode_named(name: &str) -> Result<Mode, Error> {
    Mode::named(name).ok_or_else(|| "the mesh is one of open, closed, allowed, signed".into())
}
