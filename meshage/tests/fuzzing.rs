//! Every target of the fuzzer, in short: each input of the corpus, and altered copies of it from a
//! fixed seed. `cargo xtask fuzz` runs them for as long as wanted.
#![allow(
    clippy::disallowed_methods,
    reason = "the targets of the fuzzer have a start in real time"
)]

#[path = "../examples/fuzz/targets/mod.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod targets;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use targets::corpus::hex;
use targets::mutate::mutate;
use targets::{Behaviour, Target};

/// The seed of what is altered.
const SEED: u64 = 20_261_128;

/// How many altered copies a target gets in all: as many as take about a second.
fn copies(target: &Target) -> usize {
    match target.name {
        "router" | "plane" => 1000,
        "listener" | "dialler" => 1000,
        _ => 2000,
    }
}

/// Runs the corpus of a target, and altered copies.
fn replay(name: &str) {
    let target = Target::all().find(|target| target.name == name).expect("a target of this name");
    let corpus = targets::corpus::read(name).unwrap_or_else(|error| panic!("{error}"));
    let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let copies: Vec<Vec<u8>> = inputs
        .iter()
        .cycle()
        .take(copies(&target))
        .map(|input| mutate(input, &inputs, target.input_bytes_max, &mut random))
        .collect();
    for input in inputs.iter().chain(&copies) {
        let run = || target.run(input, &mut Behaviour::default());
        let outcome = std::panic::catch_unwind(run);
        assert!(outcome.is_ok(), "{name} panics: add it to its corpus: {}", hex(input));
    }
}

#[test]
fn no_altered_input_makes_a_decoder_panic() {
    targets::decoders::DECODERS.into_iter().for_each(|(name, _)| replay(name));
}

#[test]
fn the_frames_that_are_found_do_not_depend_on_how_the_bytes_are_split() {
    replay("deframer");
}

#[test]
fn no_order_of_inputs_breaks_the_control_plane() {
    replay("router");
}

#[test]
fn no_order_of_frames_and_calls_breaks_the_data_plane() {
    replay("plane");
}

#[test]
fn an_altered_copy_is_within_its_limit_and_most_copies_differ() {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let input = vec![7; 100];
    let copies: Vec<Vec<u8>> =
        (0..1000).map(|_| mutate(&input, &[vec![9; 300]], 200, &mut random)).collect();
    assert!(copies.iter().all(|copy| copy.len() <= 200));
    assert!(copies.iter().filter(|copy| **copy != input).count() > 900);
}

#[test]
fn the_same_shape_is_the_same_behaviour_and_another_one_is_not() {
    let observe = |value: &dyn std::fmt::Debug| {
        let mut behaviour = Behaviour::default();
        behaviour.note("value", value);
        behaviour.observed().to_vec()
    };
    assert_eq!(observe(&Some(12)), observe(&Some(7)));
    assert_eq!(observe(&Ok::<_, ()>("one \" text")), observe(&Ok::<_, ()>("another")));
    assert_ne!(observe(&Some(12)), observe(&None::<u8>));
    assert_ne!(observe(&Ok::<_, u8>(1)), observe(&Err::<u8, _>(1)));
}
