//! `cargo xtask test conformance`: one script of the API's behaviour, played through every language.
//!
//! Each group of xtask/conformance.txt is a test. It is played with all nodes in one language, for each
//! language, and with nodes of mixed languages. The drivers report what the API returned, in the same
//! words in every language.

mod play;
mod script;

use std::path::Path;
use std::time::Instant;

use crate::driver::{Drivers, Language};
use crate::shell::Result;
use crate::tally::{Counts, Tally};

/// The script.
const SCRIPT: &str = "xtask/conformance.txt";

/// Builds the drivers, and plays the script in every combination of languages.
pub(crate) fn run(root: &Path, tally: &mut Tally) {
    let mut built = None;
    tally.check("the drivers for the conformance script build", || {
        built = Some((Drivers::build(root)?, read(root)?));
        Ok(())
    });
    let Some((drivers, groups)) = built else {
        tally.skip("the conformance script", "the drivers were not built");
        return;
    };
    for (language, because) in drivers.missing() {
        tally.skip(&format!("the conformance script in {language}"), because);
    }
    for languages in casts(&drivers.languages()) {
        let names: Vec<String> = languages.iter().map(Language::to_string).collect();
        tally.suite(&format!("the conformance script in {}", names.join(", ")), || {
            Ok(play_all(&groups, &drivers, &languages))
        });
    }
}

fn read(root: &Path) -> Result<Vec<script::Group>> {
    let path = root.join(SCRIPT);
    let text = std::fs::read_to_string(&path).map_err(|why| format!("{SCRIPT}: {why}"))?;
    script::parse(&text).map_err(|why| format!("{SCRIPT}: {why}"))
}

/// The languages of the nodes in each play: one language alone, then all of them, each time with
/// another one first.
fn casts(languages: &[Language]) -> Vec<Vec<Language>> {
    let alone = languages.iter().map(|&language| vec![language]);
    let mixed = (0..languages.len()).map(|first| {
        let mut all = languages.to_vec();
        all.rotate_left(first);
        all
    });
    alone.chain(mixed.filter(|all| all.len() > 1)).collect()
}

fn play_all(groups: &[script::Group], drivers: &Drivers, languages: &[Language]) -> Counts {
    let mut counts = Counts::default();
    for group in groups {
        let start = Instant::now();
        match play::play(group, drivers, languages) {
            Ok(()) => {
                println!("   passed: {} ({:.1} s)", group.name, start.elapsed().as_secs_f64());
                counts.passed += 1;
            }
            Err(why) => {
                println!("   FAILED: {}: {why}", group.name);
                counts.failed += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    #[test]
    fn the_script_can_be_read_and_its_groups_have_different_names() {
        let groups = read(&shell::root()).expect("the script is valid");
        let names: std::collections::BTreeSet<&str> =
            groups.iter().map(|group| group.name.as_str()).collect();
        assert!(!groups.is_empty() && names.len() == groups.len());
    }

    #[test]
    fn every_language_plays_alone_and_is_the_first_of_a_mixed_cast() {
        let all = Language::ALL;
        let casts = casts(&all);
        assert_eq!(casts.len(), 2 * all.len());
        assert!(all.iter().all(|&language| casts.contains(&vec![language])));
        assert!(all.iter().all(|language| casts[all.len()..].iter().any(|c| c[0] == *language)));
        assert_eq!(super::casts(&[Language::C]), [[Language::C]]);
    }
}
