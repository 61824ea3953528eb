//! The C library as a C program sees it: the programs in `c/`, and those in `examples-c/`, compiled
//! with warnings as errors and run against the library in `target/release`.
//!
//! Four ways: against the shared library, against the static one, under AddressSanitizer (with its
//! leak check), and under valgrind. Where a tool is missing, a test prints that it skips, and why.

mod programs;

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use programs::*;

/// Compiles and runs a program of `c/`.
fn check(name: &str, way: Way) {
    if !is_possible(way) {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(format!("{name}.c"));
    let suffix = match way {
        Way::Shared => "shared",
        Way::Static => "static",
        Way::Sanitized => "asan",
        Way::Valgrind => "valgrind",
    };
    let program = compile(&source, &format!("{name}-{suffix}"), C99, way);
    spawn(&program, "run", &[], way).finish();
}

macro_rules! programs {
    ($($test:ident: $name:literal, $($way:ident)*;)*) => {
        $(mod $test {
            use super::*;
            $(programs!(@ $name $way);)*
        })*
    };
    (@ $name:literal Shared) => {
        #[test] fn with_the_shared_library() { check($name, Way::Shared) }
    };
    (@ $name:literal Static) => {
        #[test] fn with_the_static_library() { check($name, Way::Static) }
    };
    (@ $name:literal Sanitized) => {
        #[test] fn under_address_sanitizer() { check($name, Way::Sanitized) }
    };
    (@ $name:literal Valgrind) => {
        #[test] fn under_valgrind() { check($name, Way::Valgrind) }
    };
}

programs! {
    the_header_is_the_contract: "contract", Shared Static;
    null_is_an_error_everywhere: "nulls", Shared Static Sanitized Valgrind;
    bad_names_and_numbers_are_told: "names", Shared Sanitized Valgrind;
    links_topology_and_events: "links", Shared Sanitized Valgrind;
    sends_and_their_reports: "send", Shared Static Sanitized Valgrind;
    receiving_in_every_way: "receive", Shared Sanitized Valgrind;
    a_node_may_be_freed_anywhere: "lifetime", Shared Static Sanitized Valgrind;
    a_forked_child_is_told: "fork", Shared Sanitized;
    a_killed_peer_raises_no_signal: "sigpipe", Shared Static Sanitized;
    a_program_ends_without_freeing: "exit", Shared Static Sanitized Valgrind;
    sends_under_way: "async", Shared Sanitized Valgrind;
    what_is_done_at_once_holds: "promptly", Shared Sanitized;
    a_broadcast_survives_a_change_of_its_tree: "changing", Shared;
    many_threads: "threads", Shared Sanitized Valgrind;
    snooping_and_the_log: "snoop_log", Shared Sanitized Valgrind;
}

#[test]
fn the_header_is_the_contract_for_cpp_too() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/contract.c");
    let program = compile(&source, "contract-cpp", CPP11, Way::Shared);
    spawn(&program, "run", &[], Way::Shared).finish();
}

/// A program of `examples-c/`.
fn example(name: &str, way: Way) -> PathBuf {
    let language = if name.ends_with(".cpp") { CPP11 } else { C99 };
    let suffix = match way {
        Way::Shared | Way::Valgrind => "example",
        Way::Static => "example-static",
        Way::Sanitized => "example-asan",
    };
    let program = format!("{}-{suffix}-{:?}", name.replace('.', "-"), std::thread::current().id());
    compile(&root().join("examples-c").join(name), &program, language, way)
}

/// A namespace and a UDP port that no other test has, nor another run of this one.
fn meeting_place(test: &str) -> (String, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    (format!("{test}-{}", std::process::id()), port.to_string())
}

#[test]
fn every_example_is_compiled_by_the_makefile() {
    if !has("the Makefile of the examples", Command::new("make").arg("--version")) {
        return;
    }
    for variant in ["", "STATIC=1"] {
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("make-{variant}"));
        let mut make = Command::new("make");
        make.arg("-C").arg(root().join("examples-c")).arg("-B");
        make.arg(format!("LIBDIR={}", library().display()));
        make.arg(format!("BUILD={}", build.display()))
            .args(Some(variant).filter(|v| !v.is_empty()));
        let output = make.output().expect("make runs");
        assert!(output.status.success(), "{}", text(&output));
        let sources = fs::read_dir(root().join("examples-c")).expect("the examples").flatten();
        for source in sources.map(|entry| PathBuf::from(entry.file_name())) {
            if source.extension().is_some_and(|kind| kind == "c" || kind == "cpp") {
                assert!(build.join(source.with_extension("")).exists(), "{}", source.display());
            }
        }
    }
}

#[test]
fn first_programs_greet_each_other() {
    let program = example("first.c", Way::Shared);
    let names = ["x", "y"].map(|end| format!("first-{}-{end}", std::process::id()));
    let running = names.each_ref().map(|name| spawn(&program, name, &[name, "4"], Way::Shared));
    for (program, other) in running.into_iter().zip(names.iter().rev()) {
        program.await_text(&format!("{other} says \"hello\""));
        program.finish();
    }
}

fn ask_and_reply(way: Way) {
    if !is_possible(way) {
        return;
    }
    let (ns, port) = meeting_place("reply");
    let program = example("request_reply.c", way);
    let server = spawn(&program, "serve", &["serve", "server", &ns, &port, "5"], way);
    let client = ["ask", "how are you?", "server", "client", &ns, &port];
    assert!(spawn(&program, "ask", &client, way).finish().contains("HOW ARE YOU?"));
    assert!(server.finish().contains("how are you?\": ok"));
}

#[test]
fn a_request_has_its_reply() {
    ask_and_reply(Way::Shared);
}

#[test]
fn a_request_has_its_reply_under_address_sanitizer() {
    ask_and_reply(Way::Sanitized);
}

#[test]
fn a_program_in_cpp_talks_to_an_event_loop_and_the_topology_is_drawn() {
    let (ns, port) = meeting_place("loop");
    let (shared, seconds) = (Way::Shared, "10");
    let mut talker =
        spawn(&example("event_loop.c", shared), "run", &["loop", &ns, &port, seconds], shared);
    let cpp = spawn(&example("cpp_node.cpp", shared), "run", &["cpp", &ns, &port, seconds], shared);
    let watcher =
        spawn(&example("topology.c", shared), "run", &["watch", &ns, &port, seconds], shared);
    talker.await_text("cpp: hello from cpp");
    watcher.await_text("3 nodes");
    // The watcher's map is whole; the talker's own may come a moment later.
    talker.tell_until("good morning", "sent to 2 of 2: ok");
    cpp.await_text("loop says \"good morning\"");
    assert!(watcher.finish().contains("graph mesh {"));
    cpp.finish();
    talker.finish();
}

fn callbacks(way: Way) {
    if is_possible(way) {
        let said = spawn(&example("callbacks_snoop.c", way), "run", &["20"], way).finish();
        assert!(said.contains("20 sent, 20 received, 20 seen on the way"), "{said}");
    }
}

#[test]
fn callbacks_see_every_message() {
    callbacks(Way::Shared);
    callbacks(Way::Static);
}

#[test]
fn callbacks_see_every_message_under_address_sanitizer() {
    callbacks(Way::Sanitized);
}

#[test]
fn callbacks_see_every_message_under_valgrind() {
    callbacks(Way::Valgrind);
}

#[test]
fn a_large_file_reaches_everybody_whole() {
    let (ns, port) = meeting_place("file");
    let program = example("broadcast_file.c", Way::Shared);
    let file = program.with_extension("bytes");
    let bytes: Vec<u8> = (0..48 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect();
    fs::write(&file, &bytes).expect("a file to send");
    let path = file.to_str().expect("a plain path");
    let copies = ["one", "two"].map(|name| format!("{path}.{name}"));
    let receivers = copies.each_ref().map(|copy| {
        let name = copy.rsplit('.').next().expect("its end");
        spawn(&program, name, &["receive", copy, name, &ns, &port, "60"], Way::Shared)
    });
    let sender = ["send", path, "2", "sender", &ns, &port];
    let said = spawn(&program, "send", &sender, Way::Shared).finish();
    assert!(said.contains(&format!("{} bytes to 2 of 2 nodes", bytes.len())), "{said}");
    for (receiver, copy) in receivers.into_iter().zip(&copies) {
        receiver.finish();
        assert!(fs::read(copy).expect("it was written") == bytes, "{copy} differs");
        fs::remove_file(copy).expect("it can go");
    }
    fs::remove_file(file).expect("it can go");
}

#[test]
fn a_demo_node_does_as_it_is_told() {
    let (ns, port) = meeting_place("demo");
    let program = example("demo_node.c", Way::Shared);
    let mut one = spawn(&program, "one", &["one", &ns, &port, "3"], Way::Shared);
    let mut two = spawn(&program, "two", &["two", &ns, &port, "3"], Way::Shared);
    let deadline = Instant::now() + PROGRAM_TIME_MAX;
    while !one.said().contains("mesh one:two two:one") {
        assert!(Instant::now() < deadline, "{}", one.said());
        one.tell("mesh");
        std::thread::sleep(LOOK);
    }
    one.tell("set two good morning");
    two.await_text("got one good morning");
    one.await_text("sent 1 0");
    two.tell("broadcast to all");
    one.await_text("got two to all");
    two.tell("peers");
    two.await_text("peers one");
    two.tell("quit");
    assert!(two.finish().starts_with("ready "));
    one.tell("set nobody x");
    one.await_text("sent 0 1");
    one.finish();
}
