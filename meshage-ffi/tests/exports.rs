//! Tests that the shared library exports the functions of the header, and nothing else.

mod programs;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use programs::*;

/// The functions that the header declares: the names before the first bracket of a line.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(root().join("include/meshage.h")).expect("the header");
    let lines = header.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let calls = lines.filter(|line| !line.starts_with("typedef")).filter_map(|line| {
        let before = line.split_once('(')?.0;
        before.rsplit([' ', '*']).next().map(str::to_owned)
    });
    calls.collect()
}

#[test]
fn the_library_exports_the_functions_of_the_header_and_nothing_else() {
    if !has("the list of exported symbols", Command::new("nm").arg("--version")) {
        return;
    }
    let mut nm = Command::new("nm");
    let output = nm.args(["-D", "--defined-only"]).arg(library().join("libmeshage.so")).output();
    let listed = text(&output.expect("nm runs"));
    let exported: BTreeSet<String> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect();
    let declared = declared();
    assert!(declared.contains("meshage_set"), "{declared:?}");
    let missing: Vec<_> = declared.difference(&exported).collect();
    let undeclared: Vec<_> = exported.difference(&declared).collect();
    assert!(missing.is_empty() && undeclared.is_empty(), "{missing:?} {undeclared:?}");
}
