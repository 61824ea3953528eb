//! The usage of every command, and the refusal of arguments that a command does not know.

use crate::shell::Result;

/// The list of commands. Each starts at a line with two spaces in front.
pub(crate) const HELP: &str = "\
cargo xtask <command>

  demo      starts nodes in Rust, C, Python and Go that send each other messages:
            [--closed] with a key, so that the mesh is encrypted
  test      runs every test, or the named parts: rust, c, install, python, go, packages,
            readme, conformance, scenarios; the last line is `N passed, N failed`
  verify    checks format, lints, documentation, generated files, purity and the code map;
            changes nothing
  fix       formats, applies clippy's suggestions, and regenerates the C header, the programs
            in the documents and the test vectors
  sim       runs the simulator: --seeds 300 --nodes 3..32 --chaos, or --seed N --nodes N; --closed, --mixed;
            --planted [--only NAME] [--report]: plants mistakes in the core, and counts the
            seeds that find them; writes docs/planted.md
  attack    attacks real nodes and measures what honest members notice: [--seconds N]
            [--only NAME] [--mesh open|closed|allowed|signed] [--report] writes
            docs/attack.md, [--free] does not pin the processes
  networks  runs nodes over impaired networks and judges the histories of all messages:
            [--only NAME] [--seconds N] [--report] writes docs/networks.md
  fuzz      alters inputs of the decoders, the planes and the C library, and looks for faults:
            [--seconds N] in all, [--seed N], [--only TARGET], [--list] lists the targets,
            [--only TARGET --replay HEX] runs one input, [--save] writes a small corpus
  soak      runs processes in every language for a long time, with faults, and checks every message
            and the growth of each process: [--minutes N] (default: 30) [--processes N]
            [--seed N] [--report FILE]
  bench     measures libmeshage beside raw TCP and the peers: [--json FILE] [--quick]
            [--only CASE] [--report]; a full run writes docs/bench/ (see bench/README.md)
  key       makes keys, identities and tickets of a closed mesh: new, id, identity, root,
            ticket, revoke; `key --help` explains them
  header    regenerates include/meshage.h
  install   installs the library for programs outside this tree: [--prefix DIR]
            [--libdir DIR] [--destdir DIR] [--uninstall]
  wheel     builds the Python wheel and its source distribution: [--out DIR] (default: dist),
            [--manylinux 2_17] for systems older than this one
  readme    runs every command of the README in a temporary home folder
  abi       lists differences from the recorded C API, and checks that the version allows
            them: [--accept] [--unpublished]
  help      prints this text
";

/// The lines of one command in [`HELP`].
pub(crate) fn of(command: &str) -> Option<String> {
    let mut lines = HELP.lines().skip_while(|line| line.split_whitespace().next() != Some(command));
    let first = lines.next().filter(|line| line.starts_with("  "))?;
    let rest = lines.take_while(|line| line.starts_with("   "));
    Some(std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n"))
}

/// An error about the arguments of a command, with the usage of the command.
pub(crate) fn error(command: &str, why: &str) -> String {
    format!("{command}: {why}\n\n{}", of(command).unwrap_or_default())
}

/// Checks that a command that has no arguments was given none.
pub(crate) fn no_arguments(command: &str, arguments: &[String]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(first) => Err(error(command, &format!("unknown argument {first:?}; it takes none"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_a_command_has_all_its_lines_and_no_others() {
        let test = of("test").expect("a command");
        assert!(test.starts_with("  test  ") && test.ends_with("N failed`"), "{test}");
        assert_eq!(of("header").expect("a command").lines().count(), 1);
        assert_eq!(of("cargo"), None);
        assert_eq!(of("unknown"), None);
    }

    #[test]
    fn a_command_without_arguments_refuses_any_with_its_usage() {
        assert_eq!(no_arguments("verify", &[]), Ok(()));
        let refused = no_arguments("verify", &["--nodes".into(), "3".into()]).expect_err("refused");
        assert!(refused.contains("unknown argument \"--nodes\""), "{refused}");
        assert!(refused.contains("  verify  "), "{refused}");
    }
}
