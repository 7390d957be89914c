//! Tests that take a process of their own, for its environment, its globals or its threads.

use std::{env, process::Command};

/// Runs the calling test once more, in a process of its own. `true` in that process.
///
/// `prepare` changes how the process starts. The test is the only one there and runs on the main thread.
pub(crate) fn in_own_process(test: &str, prepare: impl FnOnce(&mut Command)) -> bool {
    const MARK: &str = "CTXHOP_TEST_IN_OWN_PROCESS";
    if env::var_os(MARK).is_some() {
        return true;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--test-threads=1"]).env(MARK, "");
    prepare(&mut command);
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("1 passed"), "the test is not called {test}");
    false
}
