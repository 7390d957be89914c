//! The contract of a carrier that is only read.

use super::{
    OTHER_PARENT, PARENT, baggage, bare_context, extract, full_context, inject, is_empty, keys, trace, values,
};
use crate::carrier::{Carrier, Reason};

#[track_caller]
pub(super) fn check<C: Carrier>(make: impl Fn(&[(&str, &str)]) -> C, unordered: bool) {
    values_are_found(&make, unordered);
    context_is_extracted(&make);
    nothing_is_written(&make);
    too_much_is_bounded(&make);
}

#[track_caller]
fn values_are_found<C: Carrier>(make: impl Fn(&[(&str, &str)]) -> C, unordered: bool) {
    let pairs = [("User-Key", "1"), ("other_key", "a=b, c;d \"e\" %20 ~"), ("empty", "")];
    let carrier = make(&pairs);
    let mut found = keys(&carrier);
    let mut expected: Vec<_> = pairs.iter().map(|(key, _)| carrier.spelling(key)).collect();
    if unordered {
        found.sort_unstable();
        expected.sort();
    }
    assert_eq!(found, expected, "the keys are those of the message");
    for key in found {
        assert_eq!(values(&carrier, key).len(), 1, "a key of `keys`, {key}, can be looked up");
    }
    for (key, value) in pairs {
        for key in [key, &key.to_uppercase(), &key.to_lowercase()] {
            assert_eq!(values(&carrier, key), [value], "{key} is found, in whatever case");
        }
    }
    assert_eq!(values(&carrier, "user"), [""; 0], "a part of a key is not the key");
}

#[track_caller]
fn context_is_extracted<C: Carrier>(make: impl Fn(&[(&str, &str)]) -> C) {
    let list = "user=7,tenant=a%20b%3Bc%2Cd%3D%C3%BC";
    let cx = extract(&make(&[("x", "y"), ("TraceParent", PARENT), ("tracestate", "a=1,b= 2"), ("BAGGAGE", list)]));
    let cx = cx.expect("the headers are right");
    assert_eq!(trace(&cx), trace(&full_context()), "the trace is extracted");
    assert_eq!(baggage(&cx), baggage(&full_context()), "the baggage is extracted");
}

#[track_caller]
fn nothing_is_written<C: Carrier>(make: impl Fn(&[(&str, &str)]) -> C) {
    let mut carrier = make(&[("traceparent", OTHER_PARENT), ("tracestate", "a=1")]);
    assert!(!carrier.set("traceparent", PARENT.to_owned()), "nothing is set");
    carrier.remove("traceparent");
    assert!(!inject(&bare_context(), &mut carrier), "a message that is only read carries nothing");
    assert_eq!(values(&carrier, "traceparent"), [OTHER_PARENT], "the message stays as it is");
    assert_eq!(values(&carrier, "tracestate"), ["a=1"], "the message stays as it is");
}

#[track_caller]
fn too_much_is_bounded<C: Carrier>(make: impl Fn(&[(&str, &str)]) -> C) {
    let rejected = extract(&make(&[("traceparent", &"0".repeat(1 << 20))])).expect_err("it is rejected");
    assert_eq!((rejected.key(), rejected.reason()), ("traceparent", Reason::TooLong));
    assert!(is_empty(&rejected.into_context()), "nothing comes of a long traceparent");

    let member = |n: usize| format!("k{n}={}", "x".repeat(250));
    let list = (0..60).map(member).collect::<Vec<_>>().join(",");
    let rejected = extract(&make(&[("baggage", &list)])).expect_err("a long baggage is rejected");
    assert_eq!((rejected.key(), rejected.reason()), ("baggage", Reason::TooLong));
    let kept = baggage(&rejected.into_context());
    assert!((30..60).contains(&kept.len()), "{} members of a long baggage are kept", kept.len());
    assert!(kept.iter().all(|(_, value)| value.len() == 250), "of a long baggage, whole members are kept");
}
