//! Mistakes that are planted in the core are found: the simulator's checkers check.
//!
//! These are the ones that few seeds find. `cargo xtask sim --planted` plants all of them.

use meshage::sim::{Mistake, find};

/// Each of the mistakes below is found by fewer seeds.
const SEEDS_MAX: u64 = 30;

#[test]
fn mistakes_that_are_planted_in_the_core_are_found_by_the_invariants_that_they_violate() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for (mistake, invariant) in [
        (Mistake::LastDeliveryForgotten, "S2"),
        (Mistake::AcknowledgementCountsOneMore, "S4"),
        (Mistake::CanceledReportedAsCertain, "S4"),
        (Mistake::RecipientLeftOutOfReport, "S6"),
        (Mistake::SendTimerNotRearmed, "S6"),
        (Mistake::TieBrokenDifferently, "S7"),
        (Mistake::RelayNotRecorded, "S7"),
        (Mistake::SyncedTwice, "S8"),
        (Mistake::SilentLinkKept, "S9"),
        (Mistake::InboxUnbounded, "S10"),
        (Mistake::UnreachableNodeKept, "S10"),
        (Mistake::TimerInThePast, "S11"),
        (Mistake::NodeLeftUntold, "S12"),
        (Mistake::BroadcastOverEveryLink, "S13"),
        (Mistake::DegreeIgnored, "S14"),
        (Mistake::LinkUsedUnannounced, "S15"),
        (Mistake::NameForTheLowerClaim, "S16"),
        (Mistake::FormerPathsForgotten, "S17"),
        (Mistake::ReversePathUnchecked, "S17"),
        (Mistake::ReplayAccepted, "S18"),
        (Mistake::TrailingAnnouncementDropped, "C7"),
    ] {
        let finding = find(mistake, SEEDS_MAX, threads);
        assert_eq!(finding.invariant(), invariant, "{mistake}: {finding:?}");
    }
}
