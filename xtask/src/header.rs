//! `include/meshage.h`, generated from meshage-ffi: the documentation of its functions is what a C
//! programmer reads.
//!
//! cbindgen reads the source; what it cannot know, the preamble and the version, is added here.

use std::fmt::Write as _;
use std::path::Path;

use cbindgen::{Builder, Config};

use crate::install::compatibility;
use crate::shell::{self, Result};

/// What the header begins with: the conventions that every function keeps.
const PREAMBLE: &str = include_str!("../../meshage-ffi/preamble.h");

/// The path of the header, relative to the root of the workspace.
const HEADER: &str = "include/meshage.h";

/// Generates the header from the source.
pub(crate) fn generate() -> Result<String> {
    let folder = shell::root().join("meshage-ffi");
    let mut config = Config::from_file(folder.join("cbindgen.toml"))?;
    config.header = Some(PREAMBLE.trim_end().to_owned());
    config.after_includes = Some(version(env!("CARGO_PKG_VERSION"))?);
    let bindings = Builder::new().with_crate(folder).with_config(config).generate();
    let mut text = Vec::new();
    bindings.map_err(|error| format!("cbindgen: {error}"))?.write(&mut text);
    let text = String::from_utf8(text).map_err(|error| format!("the header: {error}"))?;
    Ok(tag_enums(&text.lines().map(polish).collect::<String>()))
}

/// Removes white space at the end of a line, and encloses a negative constant in brackets.
fn polish(line: &str) -> String {
    let line = line.trim_end();
    match line.rsplit_once(' ') {
        Some((define, value)) if define.starts_with("#define ") && value.starts_with('-') => {
            format!("{define} ({value})\n")
        }
        _ => format!("{line}\n"),
    }
}

/// Gives each enumeration its name as a tag too, so that `enum meshage_status` is a type as well.
fn tag_enums(text: &str) -> String {
    let mut parts = text.split("typedef enum {");
    let mut tagged = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = part.split("} ").nth(1).and_then(|rest| rest.split(';').next());
        let _ = write!(tagged, "typedef enum {} {{{part}", name.unwrap_or_default());
    }
    tagged
}

/// Writes the header anew.
pub(crate) fn write(root: &Path) -> Result<()> {
    let path = root.join(HEADER);
    std::fs::write(&path, generate()?).map_err(|error| format!("{}: {error}", path.display()))
}

/// Checks that the header matches the source.
pub(crate) fn check(root: &Path) -> Result<()> {
    let path = root.join(HEADER);
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    match there == generate()? {
        true => Ok(()),
        false => Err(format!("{HEADER} does not match the source: run cargo xtask header")),
    }
}

/// The version of the header, for the preprocessor.
fn version(version: &str) -> Result<String> {
    let core = version.split(['-', '+']).next().unwrap_or(version);
    let parts: Vec<u32> = core.split('.').flat_map(str::parse).collect();
    let [major, minor, patch] = parts[..] else {
        return Err(format!("{version} is no version of three numbers"));
    };
    let mut text = String::from("\n/* The version of this header. */\n");
    for (name, value) in [("MAJOR", major), ("MINOR", minor), ("PATCH", patch)] {
        let _ = writeln!(text, "#define MESHAGE_VERSION_{name} {value}");
    }
    text.push_str(
        "#define MESHAGE_VERSION_NUMBER \\\n    \
         (MESHAGE_VERSION_MAJOR << 16 | MESHAGE_VERSION_MINOR << 8 | MESHAGE_VERSION_PATCH)\n",
    );
    let _ = writeln!(text, "#define MESHAGE_VERSION_STRING \"{version}\"");
    text.push_str(
        "\n/* The function that a library exports if it is compatible with this header. */\n",
    );
    let _ = write!(text, "#define MESHAGE_ABI {}", abi_function(version));
    Ok(text)
}

/// The function that is named for the versions that a library can stand in for.
fn abi_function(version: &str) -> String {
    format!("meshage_abi_{}", compatibility(version).replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_header_is_what_the_source_says() {
        check(&shell::root()).expect("cargo xtask header");
    }

    #[test]
    fn the_library_has_the_function_that_is_named_for_its_version() {
        let function = format!("\nuint32_t {}(void);\n", abi_function(env!("CARGO_PKG_VERSION")));
        assert!(generate().expect("a header").contains(&function), "no {function}");
        assert_eq!(abi_function("0.1.7"), "meshage_abi_0_1");
    }

    #[test]
    fn an_enumeration_has_its_name_twice() {
        let text = "typedef enum {\n    A = 1,\n} letter;\n";
        assert_eq!(tag_enums(text), "typedef enum letter {\n    A = 1,\n} letter;\n");
    }

    #[test]
    fn a_version_becomes_three_numbers_and_a_text() {
        let text = version("1.22.3-rc.1").expect("a version");
        assert!(text.contains("MESHAGE_VERSION_MINOR 22\n"));
        assert!(text.contains("\"1.22.3-rc.1\""));
        assert!(version("1.2").is_err());
    }
}
