//! The impairing bridge: a switch between TAP devices that loses, delays, duplicates, reorders and
//! slows down frames. It needs nothing of the kernel but TAP devices, and no program but `ip`. It runs
//! in the hub's namespace, in a process of its own, and takes commands from standard input:
//!
//! ```text
//!  node-0 ─ eth0 ═ TAP ─ up ─►┐        ┌─► down ─ TAP ═ eth0 ─ node-1
//!                             ├ switch ┤                              each way of a cable is a line
//!  node-1 ─ eth0 ═ TAP ─ up ─►┘        └─► down ─ TAP ═ eth0 ─ node-0
//!
//!  set all|0,2 up|down|both loss=5 delay=200 …     impairments (`line.rs`)
//!  groups 0,1/2,3                                  frames pass only within a group; without groups, between all
//!  counters                                        frames and bytes that arrived, dropped, and did not fit
//! ```

mod line;
pub(super) mod tap;

use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::line::{Frame, Line, Passage};
use crate::random;
use crate::shell::Result;

/// The name of the hidden subcommand.
pub(super) const SUBCOMMAND: &str = "--bridge";
/// Longer than any frame: the devices have the usual limit of 1,500 bytes.
const FRAME_BYTES_MAX: usize = 2048;
/// The bytes of the two addresses at the start of a frame.
const ADDRESSES: usize = 12;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// The place of an IPv6 packet's protocol in a frame, and the number of UDP. Neighbour discovery is
/// another protocol.
const IPV6_PROTOCOL: usize = 14 + 6;
const UDP: u8 = 17;

/// Creates the devices `tap0`, `tap1`, … and passes frames until the input ends.
pub(super) fn run(devices: &str) -> Result<()> {
    let devices: usize = devices.parse().map_err(|_| "the bridge needs a number of devices")?;
    let taps: std::io::Result<Vec<File>> =
        (0..devices).map(|device| tap::create(&format!("tap{device}"))).collect();
    let taps = Arc::new(taps.map_err(|error| format!("cannot create a TAP device: {error}"))?);
    let bridge = Arc::new(Bridge {
        switch: Mutex::new(Switch::new(devices)),
        due: Condvar::new(),
        started: Instant::now(),
    });
    for port in 0..devices {
        let (taps, bridge) = (taps.clone(), bridge.clone());
        std::thread::spawn(move || bridge.read(port, &taps));
    }
    std::thread::spawn({
        let bridge = bridge.clone();
        move || bridge.deliver(&taps)
    });
    println!("ready {devices}");
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("cannot read a command: {error}"))?;
        match lock(&bridge.switch).command(&line) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}

struct Bridge {
    switch: Mutex<Switch>,
    /// Notified when a frame is due earlier than all others.
    due: Condvar,
    started: Instant,
}

impl Bridge {
    /// Reads the frames of one device until it is gone.
    fn read(&self, port: usize, taps: &[File]) {
        let mut buffer = [0; FRAME_BYTES_MAX];
        while let Ok(bytes) = (&taps[port]).read(&mut buffer) {
            let mut switch = lock(&self.switch);
            let now = self.started.elapsed();
            let before = switch.next_due();
            switch.arrive(port, &buffer[..bytes], now);
            // Without a delay the frame is written by this thread, before any later one.
            let frames = switch.take_due(now);
            for (port, frame) in &frames {
                let _ = (&taps[*port]).write(frame);
            }
            if switch.next_due().is_some_and(|next| before.is_none_or(|before| next < before)) {
                self.due.notify_one();
            }
        }
    }

    /// Writes delayed frames when they are due.
    fn deliver(&self, taps: &[File]) {
        let mut switch = lock(&self.switch);
        loop {
            let now = self.started.elapsed();
            for (port, frame) in switch.take_due(now) {
                let _ = (&taps[port]).write(&frame);
            }
            switch = match switch.next_due() {
                None => self.due.wait(switch).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let wait = next.saturating_sub(self.started.elapsed());
                    let waited = self.due.wait_timeout(switch, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// A frame on its way.
struct Transit {
    due: Duration,
    /// The order of frames that are due at one time.
    number: u64,
    place: Place,
    frame: Vec<u8>,
}

/// What a frame does when it is due.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It enters the switch from this port.
    Switch(usize),
    /// It arrives at the node of this port.
    Node(usize),
}

impl Ord for Transit {
    /// The heap has the greatest element first: the frame that is due next.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Transit {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Transit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Transit {}

/// The ports with their lines, and the frames on their way.
struct Switch {
    up: Vec<Line>,
    down: Vec<Line>,
    /// The group of each port.
    groups: Vec<usize>,
    /// The port at which each address was last seen.
    ports: HashMap<[u8; 6], usize>,
    transit: BinaryHeap<Transit>,
    number: u64,
    random: u64,
    passed: [u64; 2],
    dropped: u64,
    queue_full: u64,
}

impl Switch {
    fn new(devices: usize) -> Self {
        let lines = || (0..devices).map(|_| Line::default()).collect();
        Self {
            up: lines(),
            down: lines(),
            groups: vec![0; devices],
            ports: HashMap::new(),
            transit: BinaryHeap::new(),
            number: 0,
            random: random::number() | 1,
            passed: [0; 2],
            dropped: 0,
            queue_full: 0,
        }
    }

    /// Takes a frame from a node.
    fn arrive(&mut self, port: usize, frame: &[u8], now: Duration) {
        if frame.len() < ADDRESSES + 2 {
            return;
        }
        let random = || next_random(&mut self.random);
        let passage = self.up[port].pass(now, described(frame), random);
        self.schedule(passage, Place::Switch(port), frame);
    }

    /// Every frame that arrives at a node by this time, with the port.
    fn take_due(&mut self, now: Duration) -> Vec<(usize, Vec<u8>)> {
        let mut arrived = Vec::new();
        while self.transit.peek().is_some_and(|next| next.due <= now) {
            let Some(Transit { due, place, frame, .. }) = self.transit.pop() else { break };
            match place {
                Place::Switch(from) => {
                    for to in self.destinations(from, &frame) {
                        let random = || next_random(&mut self.random);
                        let passage = self.down[to].pass(due, described(&frame), random);
                        self.schedule(passage, Place::Node(to), &frame);
                    }
                }
                Place::Node(to) => {
                    self.passed[0] += 1;
                    self.passed[1] += frame.len() as u64;
                    arrived.push((to, frame));
                }
            }
        }
        arrived
    }

    fn next_due(&self) -> Option<Duration> {
        self.transit.peek().map(|next| next.due)
    }

    fn schedule(&mut self, passage: Passage, place: Place, frame: &[u8]) {
        let (first, second) = match passage {
            Passage::At(first, second) => (first, second),
            Passage::Dropped => return self.dropped += 1,
            Passage::QueueFull => return self.queue_full += 1,
        };
        for due in std::iter::once(first).chain(second) {
            self.number += 1;
            let frame = frame.to_vec();
            self.transit.push(Transit { due, number: self.number, place, frame });
        }
    }

    /// The ports that a frame goes to, and notes where its source is.
    fn destinations(&mut self, from: usize, frame: &[u8]) -> Vec<usize> {
        let address = |at: usize| frame[at..].first_chunk::<6>().copied().unwrap_or_default();
        let (to, source) = (address(0), address(6));
        self.ports.insert(source, from);
        let in_group = |port: &usize| *port != from && self.groups[*port] == self.groups[from];
        let known = self.ports.get(&to).filter(|_| to[0] & 1 == 0);
        match known {
            Some(port) => Some(*port).filter(in_group).into_iter().collect(),
            None => (0..self.groups.len()).filter(in_group).collect(),
        }
    }

    /// Runs a command and returns the answer.
    fn command(&mut self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["set", ports, direction, ref settings @ ..] => {
                for port in self.ports_named(ports)? {
                    let ways: &mut [&mut Line] = match direction {
                        "up" => &mut [&mut self.up[port]],
                        "down" => &mut [&mut self.down[port]],
                        "both" => &mut [&mut self.up[port], &mut self.down[port]],
                        other => return Err(format!("not a direction: {other:?}")),
                    };
                    for line in ways {
                        settings.iter().try_for_each(|setting| line.impairment.set(setting))?;
                    }
                }
                Ok("ok".into())
            }
            ["groups"] => {
                self.groups.fill(0);
                Ok("ok".into())
            }
            ["groups", groups] => {
                for (group, ports) in groups.split('/').enumerate() {
                    for port in self.ports_named(ports)? {
                        self.groups[port] = group;
                    }
                }
                Ok("ok".into())
            }
            ["counters"] => {
                let [frames, bytes] = self.passed;
                Ok(format!("counters {frames} {bytes} {} {}", self.dropped, self.queue_full))
            }
            _ => Err(format!("unknown command {line:?}")),
        }
    }

    fn ports_named(&self, ports: &str) -> Result<Vec<usize>> {
        if ports == "all" {
            return Ok((0..self.groups.len()).collect());
        }
        let port = |port: &str| {
            let number = port.parse().ok().filter(|number| *number < self.groups.len());
            number.ok_or_else(|| format!("not a port: {port:?}"))
        };
        ports.split(',').map(port).collect()
    }
}

/// What a frame is.
fn described(frame: &[u8]) -> Frame {
    let kind = frame.get(ADDRESSES..ADDRESSES + 2);
    let is_ip =
        kind == Some(&IPV4) || (kind == Some(&IPV6) && frame.get(IPV6_PROTOCOL) == Some(&UDP));
    Frame { bytes: frame.len(), to_all: is_ip && frame[0] & 1 == 1 }
}

/// A number from 0 to 1 (xorshift).
fn next_random(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// An IPv4 frame from the node of one number to another, or to all.
    fn frame(from: u8, to: Option<u8>) -> Vec<u8> {
        let mut frame = to.map_or(vec![0xff; 6], |to| vec![2, 0, 0, 0, 0, to]);
        frame.extend([2, 0, 0, 0, 0, from]);
        frame.extend(IPV4);
        frame.resize(100, 0);
        frame
    }

    /// The ports at which a frame arrives at once.
    fn arrivals(switch: &mut Switch, from: u8, to: Option<u8>) -> Vec<usize> {
        switch.arrive(from.into(), &frame(from, to), SECOND);
        switch.take_due(SECOND).into_iter().map(|(port, _)| port).collect()
    }

    #[test]
    fn a_frame_goes_to_its_address_once_that_was_seen_and_a_broadcast_to_all() {
        let mut switch = Switch::new(3);
        assert_eq!(arrivals(&mut switch, 0, Some(1)), [1, 2]);
        assert_eq!(arrivals(&mut switch, 1, Some(0)), [0]);
        assert_eq!(arrivals(&mut switch, 0, Some(1)), [1]);
        assert_eq!(arrivals(&mut switch, 0, None), [1, 2]);
    }

    #[test]
    fn frames_pass_within_a_group_only() {
        let mut switch = Switch::new(4);
        assert_eq!(switch.command("groups 0,1/2,3").as_deref(), Ok("ok"));
        assert_eq!(arrivals(&mut switch, 0, None), [1]);
        assert_eq!(arrivals(&mut switch, 2, Some(0)), [0; 0]);
        assert_eq!(switch.command("groups").as_deref(), Ok("ok"));
        assert_eq!(arrivals(&mut switch, 0, None), [1, 2, 3]);
    }

    #[test]
    fn each_direction_of_a_cable_is_impaired_alone() {
        let mut switch = Switch::new(2);
        switch.command("set 0 up cut=1").expect("a command");
        assert_eq!(arrivals(&mut switch, 0, None), [0; 0]);
        assert_eq!(arrivals(&mut switch, 1, None), [0]);
        switch.command("set all both cut=0 delay=10").expect("a command");
        assert_eq!(arrivals(&mut switch, 0, None), [0; 0]);
        assert_eq!(switch.take_due(SECOND + Duration::from_millis(19)).len(), 0);
        assert_eq!(switch.take_due(SECOND + Duration::from_millis(20)).len(), 1);
        assert_eq!(switch.command("counters").as_deref(), Ok("counters 2 200 1 0"));
    }

    #[test]
    fn a_command_that_is_not_known_is_an_error() {
        let mut switch = Switch::new(2);
        for command in ["", "set", "set 2 up loss=1", "set 0 left loss=1", "groups 0/5"] {
            assert!(switch.command(command).is_err(), "{command}");
        }
    }
}
