//! 32 callers send 100,000 numbered messages each way through a relay: none is lost, none doubled,
//! each caller's arrive in order; and so they do when the receiver stops reading for 10 s.

use std::path::Path;
use std::time::Instant;

use crate::shell::{self, Result};

const CALLERS: &str = "32";
const MESSAGES: &str = "100000";
/// For how long the receiver pauses half way, in seconds.
const PAUSES: [&str; 2] = ["0", "10"];

pub(super) fn run(root: &Path) -> Result<()> {
    // The same packages as the node programs, so that nothing is built twice.
    let each = ["build", "--quiet", "--release", "-p", "meshage-ffi", "-p", "meshage"];
    shell::run(shell::cargo(root, &each).args(["--example", "soak"]))?;
    let program = shell::target(root).join("release/examples/soak");
    for pause in PAUSES {
        let began = Instant::now();
        shell::quietly(shell::command(root, &program).args([CALLERS, MESSAGES, pause]))?;
        println!(
            "   {CALLERS} callers, {MESSAGES} messages each way, a pause of {pause} s: {:.1} s",
            began.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
