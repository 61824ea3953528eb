//! 32 callers send 100,000 numbered messages in each direction through a relay. No message is lost or
//! delivered twice, and those of each caller arrive in order, even if the receiver pauses for 10 s.

use std::path::Path;
use std::time::Instant;

use crate::shell::{self, Result};

const CALLERS: &str = "32";
const MESSAGES: &str = "100000";
/// How long the receiver pauses halfway, in seconds.
const PAUSES: [&str; 2] = ["0", "10"];

pub(super) fn run(root: &Path) -> Result<()> {
    // Use the same packages as the node programs, so that nothing is built twice.
    let build = ["build", "--quiet", "--release", "-p", "meshage-ffi", "-p", "meshage"];
    shell::run(shell::cargo(root, &build).args(["--example", "soak"]))?;
    let program = shell::target(root).join("release/examples/soak");
    for pause in PAUSES {
        let start = Instant::now();
        shell::run_quietly(shell::command(root, &program).args([CALLERS, MESSAGES, pause]))?;
        println!(
            "   {CALLERS} callers, {MESSAGES} messages in each direction, a pause of {pause} s: {:.1} s",
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
