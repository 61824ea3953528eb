//! Each invariant is violated once.

use super::*;
use crate::networks::record::parse;

/// The history of a sender "a" with these lines, and that of a recipient "b".
fn judged(a: &str, b: &str, disturbances: &Disturbances) -> Judgement {
    let life = |name: &str, instance: &str, lines: &str| {
        parse(&format!("start\t1\t{name}\t{instance}\n{}", lines.replace(' ', "\t")))
    };
    let lives = [life("a", "aa", a).expect("valid"), life("b", "bb", b).expect("valid")];
    judge(&lives, disturbances)
}

fn violations(a: &str, b: &str) -> Vec<String> {
    judged(a, b, &Disturbances::default()).violations
}

const SENT: &str = "send 10 0 set 16 1000 once b\nend 20 0 b=delivered\nstop 99 \n";
const GOT: &str = "got 15 a aa 0 16 set ok\n";
const STOP: &str = "stop 99 \n";

#[test]
fn a_message_that_arrived_once_and_was_reported_is_correct() {
    let judgement = judged(SENT, &format!("{GOT}{STOP}"), &Disturbances::default());
    assert_eq!(judgement.violations, [""; 0]);
    assert_eq!((judgement.operations, judgement.count("delivered")), (1, 1));
    assert_eq!(judgement.latency(0.99), 5);
}

#[test]
fn a_second_delivery_violates_s2() {
    let found = violations(SENT, &format!("{GOT}{GOT}{STOP}"));
    assert!(found.len() == 1 && found[0].starts_with("S2"), "{found:?}");
}

#[test]
fn an_altered_a_foreign_and_an_unsent_message_violate_s3() {
    for got in [
        "got 15 a aa 0 16 set altered\n",
        "got 15 a aa 0 17 set ok\n",
        "got 15 a aa 0 16 broadcast ok\n",
        "got 15 c aa 0 16 set ok\n",
        "got 9 a aa 0 16 set ok\n",
    ] {
        let found = violations(SENT, &format!("{got}{STOP}"));
        assert!(found.len() == 1 && found[0].starts_with("S3"), "{got}: {found:?}");
    }
    let found = violations(SENT, &format!("{GOT}got 16 a aa 1 16 set ok\n{STOP}"));
    assert!(found.len() == 1 && found[0].contains("not sent"), "{found:?}");
    let to_c = "send 10 0 set 16 1000 once c\nend 20 0 c=lost\nstop 99 \n";
    let found = violations(to_c, &format!("{GOT}{STOP}"));
    assert!(found.len() == 1 && found[0].contains("not sent to it"), "{found:?}");
}

#[test]
fn a_delivered_message_that_is_in_no_history_violates_s4_unless_the_recipient_was_killed() {
    let found = violations(SENT, STOP);
    assert!(found.len() == 1 && found[0].starts_with("S4"), "{found:?}");
    let killed = |at| Disturbances { kills: vec![("b".into(), at)], ..Disturbances::default() };
    assert_eq!(judged(SENT, "", &killed(21)).violations, [""; 0]);
    // A node that was dead before the send cannot have received it.
    assert_eq!(judged(SENT, "", &killed(9)).violated, 1);
}

#[test]
fn a_certain_failure_that_arrived_violates_s4() {
    for outcome in CERTAIN_FAILURES {
        let sent = SENT.replace("delivered", outcome);
        let found = violations(&sent, &format!("{GOT}{STOP}"));
        assert!(found.len() == 1 && found[0].starts_with("S4"), "{found:?}");
    }
    for outcome in ["lost", "timeout"] {
        let sent = SENT.replace("delivered", outcome);
        assert_eq!(violations(&sent, &format!("{GOT}{STOP}")), [""; 0]);
    }
    let error = SENT.replace("b=delivered", "!full");
    assert_eq!(violations(&error, &format!("{GOT}{STOP}")).len(), 1);
}

#[test]
fn a_changed_order_violates_s5() {
    let sends = |second: &str| {
        format!(
            "send 10 0 set 16 1000 once b\nsend 11 1 {second}\n\
             end 20 0 b=delivered\nend 21 1 b=delivered\nstop 99 \n"
        )
    };
    let same = sends("set 16 1000 once b");
    let late = format!("got 14 a aa 1 16 set ok\n{GOT}{STOP}");
    let found = violations(&same, &late);
    assert!(!found.is_empty() && found[0].starts_with("S5"), "{found:?}");
    // Another size class is another order.
    let large = sends("set 60000 1000 once b");
    assert_eq!(
        violations(&large, &late.replace("1\t16", "1 60000").replace("1 16", "1 60000")),
        [""; 0]
    );
    // Another kind has the same order, unless the routes changed.
    let broadcast = sends("broadcast 16 1000 once ");
    let late = late.replace("1 16 set", "1 16 broadcast");
    assert_eq!(violations(&broadcast, &late).len(), 1);
    assert_eq!(violations(&broadcast, &format!("link 12 up a \n{late}")), [""; 0]);
    assert_eq!(violations(&broadcast, &late.replace("stop", "refused 98 1\nstop")), [""; 0]);
}

#[test]
fn a_send_without_an_end_or_with_a_late_one_violates_s6() {
    let open = "send 10 0 set 16 1000 once b\n";
    assert_eq!(violations(&format!("{open}{STOP}"), STOP).len(), 1);
    // A node that was killed cannot write an end, if the deadline was not over.
    assert_eq!(violations(open, STOP), [""; 0]);
    assert_eq!(violations(&format!("{open}link 9000000 up b \n"), STOP).len(), 1);
    let late = format!("{open}end 9000000 0 b=timeout\n{STOP}");
    assert_eq!(violations(&late, STOP).len(), 1);
    let pauses = vec![("a".into(), 500, 8_000_000)];
    let paused = Disturbances { pauses, ..Disturbances::default() };
    assert_eq!(judged(&late, STOP, &paused).violations, [""; 0]);
}

#[test]
fn a_report_that_names_other_recipients_violates_s6() {
    for end in ["", "b=lost,b=lost", "b=lost,c=lost", "a=lost"] {
        let sent = SENT.replace("b=delivered", end);
        let found = violations(&sent, STOP);
        assert!(found.len() == 1 && found[0].starts_with("S6"), "{end}: {found:?}");
    }
}

#[test]
fn a_message_that_is_lost_in_the_calm_violates_l1() {
    let lost = SENT.replace("delivered", "lost");
    let calm = |from, to| Disturbances { calm: Some((from, to)), ..Disturbances::default() };
    let found = judged(&lost, STOP, &calm(5, 50)).violations;
    assert!(found.len() == 1 && found[0].starts_with("L1"), "{found:?}");
    assert_eq!(judged(&lost, STOP, &calm(11, 50)).violations, [""; 0]);
}
