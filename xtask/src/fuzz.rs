//! `cargo xtask fuzz`: alters inputs of the decoders, the deframer, the two planes and the C library,
//! and looks for panics, crashes, slow inputs and inputs that take too much memory.
//!
//! ```text
//!  meshage/examples/fuzz/      the targets of the core, in one program
//!  meshage-ffi/tests/c/fuzz.c  the target `ffi`: calls of the C library in any order, under
//!                              AddressSanitizer if the C compiler has it
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result};
use crate::{build, usage};

/// The target that is a C program.
const FFI: &str = "ffi";
/// The targets of the core, for which the time is shared. The program lists them.
const CORE_TARGETS: u64 = 15;
/// How long a run takes by default.
const SECONDS: u64 = 60;
/// Where findings are written.
const FINDINGS: &str = "fuzz-findings";

#[derive(Debug, Default)]
struct Options {
    seconds: Option<u64>,
    seed: u64,
    only: Option<String>,
    replay: Option<String>,
    list: bool,
    save: bool,
}

/// Builds the programs and runs them.
pub(crate) fn run(root: &Path, flags: &[String]) -> Result<()> {
    let options = parse(flags)?;
    let runs_ffi = options.only.as_deref().is_none_or(|only| only == FFI);
    let runs_core = options.only.as_deref() != Some(FFI);
    let seconds = options.seconds.unwrap_or(SECONDS);
    let ffi_seconds = if runs_core { (seconds / (CORE_TARGETS + 1)).max(1) } else { seconds };
    let core = if runs_core {
        run_core(root, &options, seconds.saturating_sub(if runs_ffi { ffi_seconds } else { 0 }))
    } else {
        Ok(())
    };
    if options.list {
        println!("{FFI}");
        return core;
    }
    let ffi = if runs_ffi { run_ffi(root, &options, ffi_seconds) } else { Ok(()) };
    core.and(ffi)
}

fn parse(flags: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let mut value = || {
            let missing = || usage::error("fuzz", &format!("{flag} needs a value"));
            flags.next().cloned().ok_or_else(missing)
        };
        match flag.as_str() {
            "--seconds" => options.seconds = Some(number(flag, &value()?)?),
            "--seed" => options.seed = number(flag, &value()?)?,
            "--only" => options.only = Some(value()?),
            "--replay" => options.replay = Some(value()?),
            "--list" => options.list = true,
            "--save" => options.save = true,
            other => return Err(usage::error("fuzz", &format!("unknown argument {other:?}"))),
        }
    }
    if options.replay.is_some() && options.only.is_none() {
        return Err(usage::error("fuzz", "--replay needs --only TARGET"));
    }
    Ok(options)
}

fn number(flag: &str, text: &str) -> Result<u64> {
    text.parse().map_err(|_| usage::error("fuzz", &format!("{flag}: {text:?} is no number")))
}

fn run_core(root: &Path, options: &Options, seconds: u64) -> Result<()> {
    let example = ["run", "--quiet", "--profile", "fuzz", "-p", "meshage", "--example", "fuzz"];
    let mut command = shell::cargo(root, &example);
    command.args(["--", "--seconds", &seconds.to_string(), "--seed", &options.seed.to_string()]);
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    if let Some(replay) = &options.replay {
        command.args(["--replay", replay]);
    }
    command.args(options.list.then_some("--list"));
    command.args(options.save.then_some("--save"));
    shell::run(&mut command)
}

/// Runs calls of the C library. What it prints about a fault ends with the input.
fn run_ffi(root: &Path, options: &Options, seconds: u64) -> Result<()> {
    let program = build_ffi(root)?;
    let mut command = shell::command(root, &program);
    // cargo's library search path would find the library of another profile first.
    command.env_remove("LD_LIBRARY_PATH");
    match &options.replay {
        Some(replay) => command.args(["replay", replay]),
        None => {
            let (seconds, seed) = (seconds.to_string(), options.seed.to_string());
            command.args(["seconds", &seconds, "seed", &seed])
        }
    };
    let (succeeded, output) = shell::follow(&mut command, |line| println!("{line}"))?;
    if succeeded {
        return Ok(());
    }
    let input = output.lines().rev().find_map(|line| line.strip_prefix("input: "));
    let replay =
        input.map(|input| format!("replay: cargo xtask fuzz --only {FFI} --replay {input}\n"));
    let report = format!("target: {FFI}\n{output}{}", replay.unwrap_or_default());
    let folder = shell::target(root).join(FINDINGS);
    let file = folder.join(format!("{FFI}-{}.txt", std::process::id()));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&file, &report))
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Err(format!("a fault in the C library, written to {}", file.display()))
}

/// Builds the library and the C program.
fn build_ffi(root: &Path) -> Result<PathBuf> {
    let library = ["build", "--quiet", "--release", "-p", "meshage-ffi"];
    shell::run(&mut shell::cargo(root, &library))?;
    let target = shell::target(root);
    let release = target.join("release");
    let program = target.join("fuzz_ffi");
    let compile = |flags: &[&str]| {
        let mut command = build::compiler(root, "CC", "cc");
        let path = format!("-Wl,-rpath,{}", release.display());
        command.args(["-std=c99", "-g", "-O1", "-Iinclude", "-o"]).arg(&program).args(flags);
        command.arg(root.join("meshage-ffi/tests/c/fuzz.c")).arg("-L").arg(&release);
        command.args([&path, "-lmeshage", "-lpthread"]);
        command
    };
    let sanitized: &mut Command = &mut compile(&["-fsanitize=address", "-fno-omit-frame-pointer"]);
    if shell::capture(sanitized)?.0 {
        return Ok(program);
    }
    println!("skipped: AddressSanitizer for the target {FFI}, because the C compiler has none");
    shell::run_quietly(&mut compile(&[])).map(|_| program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &[&str]) -> Result<Options> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        parse(&flags)
    }

    #[test]
    fn a_replay_names_its_target() {
        assert!(parsed(&["--only", "ack", "--replay", "00"]).is_ok());
        let refused = parsed(&["--replay", "00"]).expect_err("refused");
        assert!(refused.contains("--only TARGET"), "{refused}");
    }

    #[test]
    fn a_time_is_a_number() {
        assert_eq!(parsed(&["--seconds", "7"]).expect("valid").seconds, Some(7));
        assert!(parsed(&["--seconds", "soon"]).is_err());
        assert!(parsed(&["--seconds"]).is_err());
    }
}
