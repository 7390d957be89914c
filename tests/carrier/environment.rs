//! The environment of this process, and of a child.

use std::{process::Command, str::from_utf8};

use ctxhop::carrier::{self, Carrier, Environment};

use crate::{PARENT, propagator, received};

#[test]
fn environment_variables_have_normal_names() {
    let mut environment = Environment::default();
    for (key, name) in [("x-b3-traceid", "X_B3_TRACEID"), ("9lives", "_9LIVES"), ("", "_"), ("ä.b", "__B")] {
        environment.set(key, name.to_owned());
        assert_eq!(environment.get_all(name).collect::<Vec<_>>(), [name]);
        assert_eq!(environment.get_all(key).collect::<Vec<_>>(), [name]);
        let mut command = Command::new("true");
        command.set(key, String::new());
        assert_eq!(command.keys().collect::<Vec<_>>(), [name]);
    }
    assert_eq!(environment.keys().collect::<Vec<_>>(), ["X_B3_TRACEID", "_", "_9LIVES", "__B"]);
    assert!(!environment.set("key", "nul\0".to_owned()));

    let process = [("TRACEPARENT", PARENT), ("TraceState", "a=1"), ("Path", "/")];
    let environment = Environment::from_iter(process.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(environment.keys().collect::<Vec<_>>(), ["TRACEPARENT"]);
}

#[cfg(unix)]
#[test]
fn a_child_process_gets_the_context_and_nothing_stale() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo $TRACEPARENT,$TRACESTATE,$BAGGAGE,$KEPT"]);
    shell.envs([("TRACESTATE", "stale=1"), ("BAGGAGE", "stale=1"), ("KEPT", "kept")]);
    assert!(carrier::inject_with(&propagator(), &received([("traceparent", PARENT)]), &mut shell));
    assert_eq!(from_utf8(&shell.output().unwrap().stdout), Ok(&*format!("{PARENT},,,kept\n")));

    // What would be inherited is taken away too.
    let removed: Vec<_> = shell.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
    assert_eq!(removed, ["BAGGAGE", "TRACESTATE"]);
}
