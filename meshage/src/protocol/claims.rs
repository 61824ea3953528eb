//! The names of nodes that failed, with their claims.
//!
//! A node that takes over such a name claims it with a higher number. When the former holder comes
//! back, every node therefore knows which of the two took the name over, whatever their instances.
//! Owns the memory; the router decides what to record and whom to tell.

use std::collections::BTreeMap;

use crate::name::{Claim, Instance, NodeName};
use crate::wire::control::FormerHolder;

/// The most names that are remembered: those of a mesh of usual size, in about 100 KB. Of more, the
/// one that was recorded first is forgotten.
pub(super) const FORMER_HOLDERS_MAX: usize = 1024;

/// The result of recording a former holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It is new, or has a higher claim than the known one.
    New,
    /// As before, and another one was forgotten to make room.
    NewForOld,
    /// One with the same or a higher claim is known.
    Known,
}

/// The former holders of names.
#[derive(Debug, Default)]
pub(super) struct FormerHolders {
    by_name: BTreeMap<NodeName, (Instance, Claim, u64)>,
    /// The names in the order in which they were recorded.
    order: BTreeMap<u64, NodeName>,
    recorded: u64,
}

impl FormerHolders {
    /// Records a node that failed.
    pub(super) fn record(&mut self, holder: &FormerHolder) -> Recorded {
        if let Some(&(_, claim, at)) = self.by_name.get(&holder.name) {
            if claim >= holder.claim {
                return Recorded::Known;
            }
            self.order.remove(&at);
        }
        self.recorded += 1;
        let known = (holder.instance, holder.claim, self.recorded);
        self.by_name.insert(holder.name.clone(), known);
        self.order.insert(self.recorded, holder.name.clone());
        if self.by_name.len() <= FORMER_HOLDERS_MAX {
            return Recorded::New;
        }
        if let Some((_, oldest)) = self.order.pop_first() {
            self.by_name.remove(&oldest);
        }
        Recorded::NewForOld
    }

    /// Forgets those that `keeps` returns false for, and returns the others.
    pub(super) fn retain(&mut self, keeps: impl Fn(&FormerHolder) -> bool) -> Vec<FormerHolder> {
        let mut kept = Vec::new();
        self.by_name.retain(|name, &mut (instance, claim, at)| {
            let holder = FormerHolder { name: name.clone(), instance, claim };
            let keep = keeps(&holder);
            if keep {
                kept.push(holder);
            } else {
                self.order.remove(&at);
            }
            keep
        });
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str, instance: u64, claim: u32) -> FormerHolder {
        let name = NodeName::new(name).expect("valid");
        FormerHolder { name, instance: Instance(instance), claim: Claim(claim) }
    }

    #[test]
    fn the_highest_claim_to_a_name_is_remembered() {
        let mut former = FormerHolders::default();
        assert_eq!(former.record(&holder("a", 1, 1)), Recorded::New);
        assert_eq!(former.record(&holder("a", 2, 1)), Recorded::Known);
        assert_eq!(former.record(&holder("a", 2, 2)), Recorded::New);
        assert_eq!(former.retain(|_| true), [holder("a", 2, 2)]);
        assert_eq!(former.retain(|_| false), []);
        assert_eq!(former.record(&holder("a", 1, 1)), Recorded::New);
    }

    #[test]
    fn the_memory_of_former_holders_is_bounded() {
        let mut former = FormerHolders::default();
        for i in 0..FORMER_HOLDERS_MAX as u64 {
            assert_eq!(former.record(&holder(&format!("n{i}"), i, 1)), Recorded::New);
        }
        assert_eq!(former.record(&holder("one-more", 0, 1)), Recorded::NewForOld);
        let kept = former.retain(|_| true);
        assert_eq!(kept.len(), FORMER_HOLDERS_MAX);
        assert!(kept.iter().all(|holder| holder.name.as_str() != "n0"));
    }
}
