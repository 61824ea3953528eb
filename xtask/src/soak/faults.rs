//! The faults that the soak causes.

use std::time::Duration;

use crate::random::Generator;

/// What is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// kill -9, and a restart under the same name after this time.
    Kill(Duration),
    /// The node leaves in order and exits. It is restarted some time after that.
    Close,
    /// SIGSTOP, and SIGCONT after this time.
    Stop(Duration),
}

impl Fault {
    /// The next fault. A steady node is only stopped.
    pub(super) fn choose(random: &mut Generator, is_steady: bool) -> Self {
        let after = |random: &mut Generator, range| Duration::from_millis(random.in_range(range));
        match random.in_range(0..10) {
            _ if is_steady => Self::Stop(after(random, 200..5000)),
            0..3 => Self::Kill(after(random, 500..6000)),
            3 => Self::Kill(Duration::ZERO),
            4..7 => Self::Close,
            _ => Self::Stop(after(random, 200..8000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_node_is_never_killed_or_closed_and_another_one_is() {
        let mut random = Generator::new(1);
        let mut faults = |is_steady| -> Vec<Fault> {
            (0..100).map(|_| Fault::choose(&mut random, is_steady)).collect()
        };
        assert!(faults(true).iter().all(|fault| matches!(fault, Fault::Stop(_))));
        assert!(faults(false).contains(&Fault::Kill(Duration::ZERO)));
    }
}
