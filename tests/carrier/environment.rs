//! The environment of this process, and of a child.

use std::{env, process::Command, str::from_utf8};

use ctxhop::carrier::{self, Carrier, Environment};

use opentelemetry::baggage::BaggageExt;

use crate::{PARENT, own_process::in_own_process, propagator, received, span};

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

#[test]
fn a_child_reads_the_context_from_its_environment() {
    if !in_own_process("environment::a_child_reads_the_context_from_its_environment", start_child) {
        return;
    }
    let environment = Environment::current();
    let cx = carrier::try_extract_with(&propagator(), &environment).unwrap();
    let sent = received([("traceparent", PARENT), ("tracestate", "a=1")]);
    assert_eq!(span(&cx), span(&sent));
    assert!(cx.baggage().iter().map(|(name, (value, _))| (name.as_str(), value.as_str())).eq([("tenant", "7 ü")]));

    let keys: Vec<_> = environment.keys().collect();
    assert!(["TRACEPARENT", "TRACESTATE", "BAGGAGE", "PATH"].iter().all(|name| keys.contains(name)), "{keys:?}");
    for name in ["path_like", "DASHED-NAME", "NOT_TEXT"] {
        assert!(!keys.contains(&name), "{name} is seen");
        assert_eq!(environment.get_all(name).next(), None, "{name} is seen");
    }
    assert!(!format!("{environment:?}").contains(PARENT), "values may be secrets");

    // What is set here is not set in the process.
    let mut copy = environment.clone();
    copy.set("TRACEPARENT", "changed".to_owned());
    assert_eq!(env::var("TRACEPARENT").as_deref(), Ok(PARENT));
    assert!(Environment::current() == environment && copy != environment);
}

fn start_child(child: &mut Command) {
    child.env("path_like", "lower case").env("DASHED-NAME", "dashed").env("BAGGAGE", "stale=1");
    #[cfg(unix)]
    {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        child.env("NOT_TEXT", OsStr::from_bytes(b"\xff")).env(OsStr::from_bytes(b"\xff"), "not text");
    }
    let headers = [("traceparent", PARENT), ("tracestate", "a=1"), ("baggage", "tenant=7%20%C3%BC")];
    assert!(carrier::inject_with(&propagator(), &received(headers), child));
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
