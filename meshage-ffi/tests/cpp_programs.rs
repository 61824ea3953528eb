//! Tests the C++ wrapper with C++ programs: those in `cpp/` and `examples-cpp/`, in C++17 and C++20,
//! with warnings as errors, with each installed compiler, and in the modes of the C programs.
//!
//! Also tests that the wrapper is complete: it covers everything in `meshage.h`.

mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use programs::*;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpp").join(name).with_extension("cpp")
}

/// Compiles and runs a program of `cpp/`.
fn check(name: &str, language: &[&str], mode: Mode) {
    if !is_possible(mode) {
        return;
    }
    let standard = language.last().expect("a standard").trim_start_matches("-std=");
    let label = format!("{name}-{standard}-{}", mode.suffix());
    let program = compile(&source(name), &label, language, mode);
    spawn(&program, "run", &[], mode).finish();
}

#[test]
fn values_are_checked() {
    check("values", CPP17, Mode::Shared);
    check("values", CPP20, Mode::Static);
    check("values", CPP17, Mode::Sanitized);
    check("values", CPP17, Mode::Valgrind);
}

#[test]
fn nodes_exchange_messages_in_cpp17() {
    check("mesh", CPP17, Mode::Shared);
}

#[test]
fn nodes_exchange_messages_in_cpp20() {
    check("mesh", CPP20, Mode::Static);
}

#[test]
fn nodes_exchange_messages_under_address_sanitizer() {
    check("mesh", CPP17, Mode::Sanitized);
}

#[test]
fn nodes_exchange_messages_under_valgrind() {
    check("mesh", CPP17, Mode::Valgrind);
}

#[test]
fn keys_close_a_mesh() {
    check("keys", CPP17, Mode::Shared);
    check("keys", CPP20, Mode::Static);
    check("keys", CPP17, Mode::Sanitized);
    // Not under valgrind: see the C program.
}

#[test]
fn every_call_works_in_the_destructors_of_globals_and_thread_locals() {
    check("ending", CPP17, Mode::Shared);
    check("ending", CPP20, Mode::Static);
}

#[test]
fn callables_are_called_and_destroyed_in_cpp17() {
    check("callbacks", CPP17, Mode::Shared);
}

#[test]
fn callables_are_called_and_destroyed_in_cpp20() {
    check("callbacks", CPP20, Mode::Static);
}

#[test]
fn callables_are_called_and_destroyed_under_address_sanitizer() {
    check("callbacks", CPP17, Mode::Sanitized);
}

#[test]
fn callables_are_called_and_destroyed_under_valgrind() {
    check("callbacks", CPP17, Mode::Valgrind);
}

#[test]
fn clang_compiles_the_programs() {
    if !has("the C++ programs with clang++", Command::new("clang++").arg("--version")) {
        return;
    }
    for (standard, language) in [("17", CPP17), ("20", CPP20)] {
        for name in ["values", "mesh", "callbacks", "keys"] {
            let label = format!("{name}-clang-{standard}");
            let program =
                compile_with("clang++".into(), &source(name), &label, language, Mode::Shared);
            spawn(&program, "run", &[], Mode::Shared).finish();
        }
    }
}

#[test]
fn two_files_of_one_program_can_include_the_wrapper() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("two-files");
    fs::create_dir_all(&folder).expect("a folder");
    for file in ["one", "two"] {
        let text = format!("#include <meshage.hpp>\nint {file}() {{ return 0; }}\n");
        fs::write(folder.join(file).with_extension("cpp"), text).expect("a file");
    }
    let mut compile = Command::new(compiler("CXX", "c++"));
    compile.current_dir(&folder).arg("-I").arg(root().join("include"));
    compile.args(["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion"]);
    compile.args(["-Werror", "-shared", "-fPIC", "one.cpp", "two.cpp", "-o", "both.so"]);
    let output = compile.output().expect("a C++ compiler");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn the_first_programs_in_c_and_cpp_greet_each_other() {
    let c = compile(&root().join("examples-c/first.c"), "first-beside-cpp", C99, Mode::Shared);
    let cpp = compile(&root().join("examples-cpp/first.cpp"), "first-cpp", CPP17, Mode::Shared);
    let names = ["c", "cpp"].map(|end| format!("both-{}-{end}", std::process::id()));
    let running = [(c, &names[0]), (cpp, &names[1])]
        .map(|(program, name)| spawn(&program, name, &[name, "4"], Mode::Shared));
    for (program, other) in running.into_iter().zip(names.iter().rev()) {
        program.await_text(&format!("{other} says \"hello\""));
        program.finish();
    }
}

#[test]
fn a_closed_mesh_turns_a_stranger_away() {
    let example = root().join("examples-cpp/closed.cpp");
    let program = compile(&example, "closed-cpp", CPP17, Mode::Shared);
    let output = spawn(&program, "run", &[], Mode::Shared).finish();
    assert!(output.contains("bob: hello\nmallory: the other end has no key"), "{output}");
}

/// The identifiers in a text.
fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn the_wrapper_covers_the_c_header() {
    let read = |name: &str| fs::read_to_string(root().join("include").join(name)).expect(name);
    let (c, cpp) = (read("meshage.h"), read("meshage.hpp"));
    let declared = c.lines().filter(|line| !line.starts_with("//") && !line.starts_with(" *"));
    let declared = declared.filter(|line| !line.contains("VERSION") && !line.contains("MESHAGE_H"));
    let names = declared.flat_map(identifiers).filter(|word| {
        // The wrapper has its own types for callbacks. It calls the function that is named for the
        // version by the macro MESHAGE_ABI.
        let is_callback = word.ends_with("_cb") || word.starts_with("meshage_abi_");
        (word.starts_with("meshage_") || word.starts_with("MESHAGE_")) && !is_callback
    });
    let mut missing: Vec<&str> =
        names.filter(|name| !identifiers(&cpp).any(|word| word == *name)).collect();
    missing.sort_unstable();
    missing.dedup();
    // The types of enumerations whose values are passed as int32_t.
    missing.retain(|name| {
        !["meshage_departure", "meshage_encoding", "meshage_event_kind"].contains(name)
    });
    assert!(missing.is_empty(), "meshage.hpp lacks {missing:?}");
}
