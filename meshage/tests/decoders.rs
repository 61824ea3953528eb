//! Every decoder takes what is valid and refuses what is not, and a handshake or a record that was
//! altered on the way leads to nothing. `fuzzing.rs` tests the same decoders with bytes of any kind.
#![allow(
    clippy::disallowed_methods,
    reason = "the targets of the fuzzer have a start in real time"
)]

#[path = "../examples/fuzz/targets/mod.rs"]
#[allow(dead_code, reason = "the program uses more of it")]
mod targets;

use meshage::secure::seal::Opener;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use targets::Behaviour;
use targets::corpus::hex;
use targets::decoders::{DECODERS, handshake, ring};
use targets::mutate::mutate;

/// The altered copies of a handshake.
const COPIES: usize = 2000;
/// The seed of what is altered.
const SEED: u64 = 20_261_128;
/// The most bytes of an altered copy.
const BYTES_MAX: usize = 64 << 10;

fn corpus(decoder: &str) -> Vec<(bool, Vec<u8>)> {
    targets::corpus::read(decoder).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_input_of_the_corpus_is_valid_or_not_as_it_says() {
    for (name, decode) in DECODERS {
        let corpus = corpus(name);
        assert!(corpus.iter().any(|(valid, _)| *valid), "{name}: no valid input");
        assert!(corpus.iter().any(|(valid, _)| !*valid), "{name}: no invalid input");
        for (valid, input) in corpus {
            let decoded = decode(&input, &mut Behaviour::default());
            assert_eq!(decoded, valid, "{name}: {}", hex(&input));
        }
    }
}

#[test]
fn the_corpus_holds_the_handshake_of_this_version() {
    let ([from_dialler, from_listener], _) = handshake();
    let missing = [("listener", from_dialler), ("dialler", from_listener)]
        .into_iter()
        .filter(|(name, bytes)| !corpus(name).contains(&(true, bytes.clone())))
        .map(|(name, bytes)| {
            format!("tests/corpus/{name}.hex needs the line\nvalid {}\n", hex(&bytes))
        });
    assert_eq!(missing.collect::<String>(), "");
}

#[test]
fn no_altered_handshake_leads_to_a_link() {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let ([from_dialler, from_listener], _) = handshake();
    for (name, decode) in DECODERS {
        let original = match name {
            "listener" => &from_dialler,
            "dialler" => &from_listener,
            _ => continue,
        };
        let decode = |bytes: &[u8]| decode(bytes, &mut Behaviour::default());
        assert!(decode(original), "{name}: the recorded handshake leads to a link");
        for _ in 0..COPIES {
            let altered = mutate(original, &[], BYTES_MAX, &mut random);
            // What follows a complete handshake is a part of the link.
            if !altered.starts_with(original) {
                assert!(!decode(&altered), "{name}: {}", hex(&altered));
            }
        }
    }
}

#[test]
fn no_altered_record_opens() {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let (_, [mut dialler, _]) = handshake();
    let mut record = Vec::new();
    let frames = [std::io::IoSlice::new(&[7; 300])];
    dialler.sealer.seal_frames(&frames, usize::MAX, &mut record);
    let opens = |bytes: &[u8]| {
        // The records of a link are numbered, so each try has a link of its own.
        let (_, [_, mut listener]) = handshake();
        let mut bytes = bytes.to_vec();
        matches!(listener.opener.open(&mut bytes, &ring()), Ok(Some(_)))
    };
    assert!(opens(&record));
    for _ in 0..COPIES / 10 {
        let altered = mutate(&record, &[], BYTES_MAX, &mut random);
        if !altered.starts_with(&record) {
            assert!(!opens(&altered), "{}", hex(&altered));
            // No length is beyond what two bytes can claim.
            assert!(Opener::record_bytes(&altered).is_none_or(|bytes| bytes <= 2 + 0xffff));
        }
    }
}
