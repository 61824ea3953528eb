//! The part of the library that a C program can rely on, read from the header. Each item is one line
//! that contains everything that programs depend on.
//!
//! ```text
//!  meshage.h ─► without comments ─┬─► #define ──────────► constant
//!                                 └─► declarations by ; ─► enum · struct · opaque · callback · function
//! ```

use std::collections::BTreeMap;

/// Items by kind and name: `function meshage_set` is `meshage_status (meshage_node *, …)`.
pub(super) type Surface = BTreeMap<String, String>;

/// The prefixes of constants that change with every version.
const VERSION_CONSTANTS: [&str; 2] = ["MESHAGE_VERSION_", "MESHAGE_ABI"];
/// The include guard.
const GUARD: &str = "MESHAGE_H";

/// All items that the header declares.
pub(super) fn of_header(header: &str) -> Surface {
    let mut surface = Surface::new();
    let mut code = String::new();
    let mut for_cpp = false;
    let text = without_comments(header).replace("\\\n", " ");
    for line in text.lines() {
        let line = line.trim_end();
        // The lines for C++ alone only set the linkage, which C programs have anyway.
        match line {
            "#ifdef __cplusplus" => for_cpp = true,
            "#endif" => for_cpp = false,
            _ if for_cpp => {}
            _ if line.starts_with("#define ") => constant(line, &mut surface),
            _ if line.starts_with('#') => {}
            _ => {
                code.push_str(line);
                code.push(' ');
            }
        }
    }
    for declaration in declarations(&code) {
        declare(&spaced(&declaration), &mut surface);
    }
    surface
}

/// The functions of a surface, which the shared library exports.
#[cfg(test)]
pub(super) fn functions(surface: &Surface) -> impl Iterator<Item = &str> {
    surface.keys().filter_map(|key| key.strip_prefix("function "))
}

fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("/*").into_iter().chain(rest.find("//")).min() {
        code.push_str(&rest[..at]);
        let end = if rest[at..].starts_with("/*") { "*/" } else { "\n" };
        let after = rest[at..].find(end).map_or(rest.len(), |length| at + length);
        // Keep the newline after a line comment. Remove the end of a block comment.
        let skipped = if end == "\n" { 0 } else { end.len() };
        rest = &rest[(after + skipped).min(rest.len())..];
    }
    code + rest
}

fn constant(line: &str, surface: &mut Surface) {
    let mut words = line.split_whitespace().skip(1);
    let Some(name) = words.next() else { return };
    if name == GUARD || VERSION_CONSTANTS.iter().any(|start| name.starts_with(start)) {
        return;
    }
    surface.insert(format!("constant {name}"), words.collect::<Vec<_>>().join(" "));
}

/// The declarations. Each ends at a semicolon outside of braces.
fn declarations(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut depth = 0usize;
    for c in code.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c, depth) {
            (';', 0) => found.push(std::mem::take(&mut current)),
            (_, _) => current.push(c),
        }
    }
    found
}

fn declare(text: &str, surface: &mut Surface) {
    if let Some((name, values)) = body(text, "typedef enum ") {
        for value in values.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            let (value, number) = value.split_once('=').unwrap_or((value, "the next"));
            surface.insert(format!("value {} of {name}", value.trim()), number.trim().to_owned());
        }
    } else if let Some((name, fields)) = body(text, "typedef struct ") {
        surface.insert(format!("struct {name}"), fields.trim().to_owned());
    } else if let Some(name) = text.strip_prefix("typedef struct ") {
        let name = name.split_whitespace().next().unwrap_or_default();
        surface.insert(format!("opaque {name}"), "behind a pointer".to_owned());
    } else if let Some(rest) = text.strip_prefix("typedef ") {
        let (answer, rest) = rest.split_once("(*").unwrap_or((rest, ""));
        let (name, parameters) = rest.split_once(")(").unwrap_or((rest, ")"));
        let of = format!("{} ({})", answer.trim(), types(parameters.trim_end_matches(')')));
        surface.insert(format!("callback {name}"), of);
    } else if let Some((before, parameters)) = text.split_once('(') {
        let at = before.trim_end().rfind([' ', '*']).map_or(0, |at| at + 1);
        let (answer, name) = before.trim_end().split_at(at);
        let of = format!("{} ({})", answer.trim(), types(parameters.trim_end_matches(')')));
        surface.insert(format!("function {name}"), of);
    } else {
        surface.insert(format!("declaration {text}"), String::new());
    }
}

/// The name and the body of a definition with braces.
fn body<'a>(text: &'a str, start: &str) -> Option<(&'a str, &'a str)> {
    let (name, rest) = text.strip_prefix(start)?.split_once('{')?;
    Some((name.trim(), rest.rsplit_once('}')?.0))
}

/// The types of parameters, without their names, which may change.
fn types(parameters: &str) -> String {
    let of = |parameter: &str| {
        let parameter = parameter.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let unnamed = parameter.trim_end_matches(is_name).trim_end();
        if unnamed.is_empty() { parameter.to_owned() } else { unnamed.to_owned() }
    };
    parameters.split(',').map(of).collect::<Vec<_>>().join(", ")
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The declarations and values that have no comment before them.
pub(super) fn undocumented(header: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = String::new();
    let mut inside = false;
    for line in header.replace("\\\n", " ").lines() {
        let code = line.trim_start();
        let is_comment = ["//", "/*", "*/", "*"].iter().any(|start| code.starts_with(start));
        let is_declaration = line.starts_with("#define MESHAGE_")
            || code.starts_with("MESHAGE_")
            || (!inside && line.starts_with(|c: char| c.is_ascii_lowercase()));
        // A group of constants has one comment. So do the lines for C++ alone.
        let is_documented = before.starts_with("//")
            || before.ends_with("*/")
            || before.starts_with("#define")
            || before.starts_with("#ifdef");
        let is_guard = line == format!("#define {GUARD}");
        if is_declaration && !is_documented && !is_comment && !is_guard {
            found.push(line.to_owned());
        }
        // A declaration continues to its semicolon.
        if !is_comment && !code.starts_with('#') && !code.is_empty() {
            inside = !line.ends_with(';') && !line.ends_with('{') && !line.ends_with('}');
        }
        before = code.to_owned();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\
/* A header. */
#ifndef MESHAGE_H
#define MESHAGE_H
// As a time.
#define MESHAGE_INFINITE (-1)

/* The version. */
#define MESHAGE_VERSION_MAJOR 0
#define MESHAGE_ABI meshage_abi_0_1

// The outcome; and more.
typedef enum meshage_status {
    // Done.
    MESHAGE_OK = 0,
} meshage_status;
// Opaque.
typedef struct meshage_node meshage_node;
// Open.
typedef struct meshage_point {
    int32_t x;
} meshage_point;
// Called.
typedef void (*meshage_drop_cb)(void *user_data);
#ifdef __cplusplus
extern \"C\" {
#endif
// Sends.
meshage_status meshage_set(meshage_node *node,
                           const char *const *recipients,
                           size_t count);
// The version.
const char *meshage_version(void);
#ifdef __cplusplus
}
#endif
#endif
";

    #[test]
    fn every_item_that_programs_rely_on_is_one_line() {
        let surface = of_header(HEADER);
        let lines: Vec<String> = surface.iter().map(|(key, of)| format!("{key}: {of}")).collect();
        assert_eq!(
            lines,
            [
                "callback meshage_drop_cb: void (void *)",
                "constant MESHAGE_INFINITE: (-1)",
                "function meshage_set: meshage_status (meshage_node *, const char *const *, size_t)",
                "function meshage_version: const char * (void)",
                "opaque meshage_node: behind a pointer",
                "struct meshage_point: int32_t x;",
                "value MESHAGE_OK of meshage_status: 0",
            ]
        );
        assert!(functions(&surface).eq(["meshage_set", "meshage_version"]));
    }

    #[test]
    fn the_name_of_a_parameter_may_change() {
        let renamed = HEADER.replace("*recipients,", "*to,");
        assert_eq!(of_header(&renamed), of_header(HEADER));
    }

    #[test]
    fn a_declaration_without_a_comment_is_found() {
        assert_eq!(undocumented(HEADER), [""; 0]);
        let bare = undocumented(&HEADER.replace("// Sends.\n", "").replace("    // Done.\n", ""));
        assert_eq!(bare.len(), 2, "{bare:?}");
    }
}
