//! W3C Trace Context, level 2: the recommendation's text, row by row, and the SDK's propagator where both agree.

use std::collections::HashMap;

use ctxhop::{
    carrier::{self, Headers},
    propagation::TraceContextPropagator,
};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator as SdkPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use proptest::{collection::vec, prelude::*};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// traceparent

#[test]
fn a_valid_traceparent_is_accepted() {
    for (what, traceparent, flags) in [
        ("sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0b01),
        ("not sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", 0b00),
        ("random", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02", 0b10),
        ("sampled and random", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", 0b11),
        ("unknown flags are not taken over", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", 0b11),
        ("unknown flags alone", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fc", 0b00),
        ("higher version", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0b01),
        ("highest version", "fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 0b01),
        (
            "higher version, of whose flags one is known",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
            0b01,
        ),
        (
            "higher version, more fields",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-is",
            0b01,
        ),
        ("higher version, an empty field", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", 0b01),
        ("higher version, unlike fields", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-\u{0}ü", 0b01),
    ] {
        let cx = extract([("traceparent", traceparent)]);
        let span = span(&cx);
        assert_eq!((span.trace_id(), span.span_id()), ids(), "{what}");
        assert_eq!(span.trace_flags().to_u8(), flags, "{what}");
        assert!(span.is_remote(), "{what}");

        let sent = format!("00-{TRACE_ID}-{PARENT_ID}-{flags:02x}");
        assert_eq!(inject(&cx), [("traceparent".to_owned(), sent)], "{what}: sent on as version 00");
    }
}

#[test]
fn an_invalid_traceparent_is_ignored_and_tracestate_with_it() {
    for (what, traceparent) in [
        ("empty", ""),
        ("version ff", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("version of one digit", "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("version of three digits", "000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("version with a dot", ".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("version with a sign", "+0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("version in upper case", "CC-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("no version", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("trace id all zero", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        ("trace id too short", "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01"),
        ("trace id very short", "00-abc-00f067aa0ba902b7-01"),
        ("trace id too long", "00-4bf92f3577b34da6a3ce929d0e0e47361-00f067aa0ba902b7-01"),
        ("trace id in upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        ("trace id with a sign", "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("trace id with a letter", "00-gbf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("trace id with an umlaut", "00-übf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01"),
        ("parent id all zero", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
        ("parent id too short", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01"),
        ("parent id too long", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b71-01"),
        ("parent id in upper case", "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01"),
        ("parent id with a sign", "00-4bf92f3577b34da6a3ce929d0e0e4736-+0f067aa0ba902b7-01"),
        ("flags of one digit", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"),
        ("flags of three digits", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-001"),
        ("flags with a sign", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1"),
        ("flags in upper case", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A"),
        ("no flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
        ("empty flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"),
        ("version 00, a dash behind it", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"),
        ("version 00, more fields", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"),
        ("version 00, a dot behind it", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01."),
        ("higher version, a dot behind it", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more"),
        ("higher version, digits behind it", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0101"),
        ("higher version, too short", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01-more"),
        ("other delimiters", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"),
        ("delimiter after the version", "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("delimiter after the trace id", "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01"),
        ("delimiter after the parent id", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01"),
        ("space before it", " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("space behind it", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 "),
    ] {
        let before = Context::new().with_value("kept");
        let headers = headers([("traceparent", traceparent), ("tracestate", "a=1")]);
        let cx = TraceContextPropagator::new().extract_with_context(&before, &Multi(&headers));
        assert!(!cx.has_active_span(), "{what}");
        assert_eq!(cx.get(), Some(&"kept"), "{what}: the context is as it was");
        assert_eq!(inject(&cx), [], "{what}");
    }
}

#[test]
fn two_traceparents_are_none_also_if_they_agree() {
    for other in [PARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""] {
        assert!(!extract([("traceparent", PARENT), ("TraceParent", other)]).has_active_span());
        assert!(!extract([("traceparent", other), ("traceparent", PARENT)]).has_active_span());
    }
}

#[test]
fn header_names_are_read_in_any_case_and_written_in_lower_case() {
    let cx = extract([("TraceParent", PARENT), ("TRACESTATE", "a=1")]);
    assert_eq!(inject(&cx), headers([("traceparent", PARENT), ("tracestate", "a=1")]));
}

#[test]
fn a_broken_header_leaves_the_span_that_was_there() {
    let before = extract([("traceparent", PARENT)]);
    let cx = TraceContextPropagator::new()
        .extract_with_context(&before, &Multi(&headers([("traceparent", "broken"), ("tracestate", "a=1")])));
    assert_eq!(span(&cx), span(&before));
}

// tracestate

#[test]
fn a_valid_tracestate_is_sent_on() {
    let long_key = "z".repeat(256);
    let long_value = "v".repeat(256);
    let longest = format!("{long_key}={long_value}");
    let graphic: String = (' '..='~').filter(|character| !",=".contains(*character)).collect();
    let all_characters = format!("abcdefghijklmnopqrstuvwxyz0123456789_-*/={graphic}");
    let all_members = members(32).join(",");
    let long_tenant = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
    let longer_tenant = format!("{}@v=1", "t".repeat(242));
    for (what, values, sent) in [
        ("one member", &["a=1"][..], "a=1"),
        ("two members", &["a=1,b=2"], "a=1,b=2"),
        ("a key that begins with a digit", &["0a=1"], "0a=1"),
        ("whitespace around members", &[" a=1 \t , \t b=2\t"], "a=1,b=2"),
        ("whitespace before a value is its own", &["a=  1 2  "], "a=  1 2"),
        ("empty members", &[",a=1,, ,\t,b=2,"], "a=1,b=2"),
        ("empty members beyond the limit", &[",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,a=1"], "a=1"),
        ("several headers", &["a=1,b=2", "c=3", "d=4"], "a=1,b=2,c=3,d=4"),
        ("an empty header before", &["", "a=1"], "a=1"),
        ("an empty header behind", &["a=1", ""], "a=1"),
        ("equal members", &["a=1,a=1"], "a=1"),
        ("two values of one key: the first is the latest", &["a=1", "b=3,a=2"], "a=1,b=3"),
        ("the longest", &[&longest], &longest),
        ("all characters", &[&all_characters], &all_characters),
        ("32 members", &[&all_members], &all_members),
        // What the API's `TraceState` refuses.
        ("a tenant", &["tenant@vendor=1"], "tenant@vendor=1"),
        ("a tenant that is a number", &["0@v=1"], "0@v=1"),
        ("a tenant of a vendor with a long name", &["t@vvvvvvvvvvvvvvvvvvvv=1"], "t@vvvvvvvvvvvvvvvvvvvv=1"),
        ("nothing behind the at sign", &["a@=1,b=2"], "a@=1,b=2"),
        ("two at signs", &["a=1,b@@c=2,d=3"], "a=1,b@@c=2,d=3"),
        ("two at signs, apart", &["a@b@c=1"], "a@b@c=1"),
        ("a long tenant", &["foo=1", &long_tenant], &format!("foo=1,{long_tenant}")),
        ("a longer tenant", &["foo=1", &longer_tenant], &format!("foo=1,{longer_tenant}")),
    ] {
        let cx = extract_state(values);
        assert_eq!(sent_state(&cx).as_deref(), Some(sent), "{what}");
        // And again, from what has been sent.
        assert_eq!(sent_state(&extract_state(&[sent])).as_deref(), Some(sent), "{what}");
    }
}

#[test]
fn an_invalid_tracestate_is_dropped_and_the_traceparent_stays() {
    let long_key = format!("a=1,{}=1", "z".repeat(257));
    let long_value = format!("a=1,b={}", "v".repeat(257));
    let all_and_one = members(33).join(",");
    for (what, values) in [
        ("no member", &["a"][..]),
        ("no key", &["a=1,=1"]),
        ("no value", &["a=1,b="]),
        ("a value of spaces", &["a=1,b=  "]),
        ("no value, in the middle", &["a=,b=3"]),
        ("an equals sign in a value", &["a=b=c"]),
        ("a space behind a key", &["a =1"]),
        ("upper case", &["a=1,FOO=1"]),
        ("a dot", &["a.b=1"]),
        ("an umlaut in a key", &["ü=1"]),
        ("an umlaut in a value", &["a=ü"]),
        ("a tab in a value", &["a=1\t2"]),
        ("a line break in a value", &["a=1\r\nx=2"]),
        ("an underscore first", &["_a=1,b=2"]),
        ("an at sign first", &["@a=1,b=2"]),
        ("a semicolon", &["a=1;b=2"]),
        ("a key that is too long", &[&long_key]),
        ("a value that is too long", &[&long_value]),
        ("33 members", &[&all_and_one]),
        ("33 members in two headers", &[&all_and_one[..9], &all_and_one[9..]]),
        ("one broken header of two", &["a=1", "B=2"]),
    ] {
        let cx = extract_state(values);
        assert_eq!((span(&cx).trace_id(), span(&cx).span_id()), ids(), "{what}");
        assert_eq!(inject(&cx), headers([("traceparent", PARENT)]), "{what}: and no empty tracestate is sent");
    }
}

#[test]
fn an_empty_tracestate_is_accepted_and_not_sent() {
    for values in [&[][..], &[""], &["", ""], &[" , ,\t"]] {
        assert_eq!(inject(&extract_state(values)), headers([("traceparent", PARENT)]));
    }
}

#[test]
fn what_the_api_can_hold_is_in_the_span_context() {
    let cx = extract_state(&["a@@=1,b=2,c@d@e=3,f@g=4"]);
    assert_eq!(span(&cx).trace_state().header(), "b=2,f@g=4");
}

#[test]
fn a_child_span_keeps_what_the_api_cannot_hold() {
    let provider = SdkTracerProvider::default();
    let cx = extract([("traceparent", PARENT), ("tracestate", "a@@=1,b=2,c@d@e=3")]);
    let child = cx.with_span(provider.tracer("test").start_with_context("child", &cx));
    assert_ne!(span(&child).span_id(), span(&cx).span_id());
    assert_eq!(sent_state(&child).as_deref(), Some("a@@=1,b=2,c@d@e=3"));
}

#[test]
fn what_is_done_to_the_state_is_honoured() {
    // To set again what is first of what the API holds is no change that could be seen.
    const SAME: &str = "a@@=1,b=2,c@d@e=3,f=4";
    let cx = extract_state(&[SAME]);
    let state = span(&cx).trace_state().clone();
    for (what, state, sent) in [
        ("added", state.insert("new", "5").unwrap(), Some("new=5,a@@=1,b=2,c@d@e=3,f=4")),
        ("changed", state.insert("f", "5").unwrap(), Some("f=5,a@@=1,b=2,c@d@e=3")),
        ("deleted", state.delete("b").unwrap(), Some("a@@=1,c@d@e=3,f=4")),
        ("cleared", TraceState::default(), None),
        ("deleted, all of it", state.delete("b").unwrap().delete("f").unwrap(), Some("a@@=1,c@d@e=3")),
        ("set to what it was", state.insert("f", "4").unwrap(), Some("f=4,a@@=1,b=2,c@d@e=3")),
        ("set to what it was, each", state.insert("f", "4").unwrap().insert("b", "2").unwrap(), Some(SAME)),
        ("set in turn", state.insert("b", "5").unwrap().insert("f", "4").unwrap(), Some("f=4,b=5,a@@=1,c@d@e=3")),
        ("deleted and added", state.delete("b").unwrap().insert("b", "2").unwrap(), Some(SAME)),
        ("cleared and set", TraceState::from_key_value([("new", "5")]).unwrap(), Some("new=5,a@@=1,c@d@e=3")),
    ] {
        assert_eq!(sent_state(&with_state(&cx, state)).as_deref(), sent, "{what}");
    }
}

#[test]
fn what_is_done_beside_nothing_that_the_api_holds_is_honoured() {
    let cx = extract_state(&["a@@=1,c@d@e=3"]);
    let state = span(&cx).trace_state().clone();
    for (what, state, sent) in [
        ("nothing", state.clone(), "a@@=1,c@d@e=3"),
        ("added", state.insert("new", "5").unwrap(), "new=5,a@@=1,c@d@e=3"),
        ("added and deleted", state.insert("new", "5").unwrap().delete("new").unwrap(), "a@@=1,c@d@e=3"),
        ("cleared, which is what it was", TraceState::default(), "a@@=1,c@d@e=3"),
    ] {
        assert_eq!(sent_state(&with_state(&cx, state)).as_deref(), Some(sent), "{what}");
    }
}

#[test]
fn adding_to_a_full_state_drops_the_last_member() {
    let mut all = members(32);
    all[3] = "a@@=1".to_owned();
    let cx = extract_state(&[&all.join(",")]);
    let state = span(&cx).trace_state().insert("new", "1").unwrap();
    all.insert(0, "new=1".to_owned());
    all.truncate(32);
    assert_eq!(sent_state(&with_state(&cx, state)), Some(all.join(",")));
}

#[test]
fn another_trace_does_not_get_the_state_nor_the_random_flag() {
    let random = PARENT.replace("-01", "-03");
    let cx = extract([("traceparent", &*random), ("tracestate", "a@@=1")]);
    let other = SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, false, TraceState::default());
    let sent = "00-00000000000000000000000000000001-0000000000000001-01";
    assert_eq!(inject(&cx.with_remote_span_context(other)), headers([("traceparent", sent)]));

    // Nor does the same trace, extracted again without them.
    let headers = headers([("traceparent", PARENT)]);
    let again = TraceContextPropagator::new().extract_with_context(&cx, &Multi(&headers));
    assert_eq!(inject(&again), headers);
}

#[test]
fn members_that_would_have_the_whole_list_dropped_are_not_sent() {
    let state =
        TraceState::from_key_value([("a", "1"), ("b", ""), ("c", "ü"), ("d", "1\r\nx: y"), ("", "4"), ("e", "5")]);
    let cx = with_state(&extract([("traceparent", PARENT)]), state.unwrap());
    assert_eq!(sent_state(&cx).as_deref(), Some("a=1,e=5"));
    let state = TraceState::from_key_value([("b", "")]).unwrap();
    assert_eq!(inject(&with_state(&cx, state)), headers([("traceparent", PARENT)]));
}

// Flags

#[test]
fn a_trace_with_nothing_to_remember_takes_no_value_in_the_context() {
    let extract = |flags: &str| {
        let received = Headers::from_iter([("traceparent", PARENT.replace("-01", flags))]);
        allocation_counter::measure(|| drop(carrier::extract_with(&TraceContextPropagator::new(), &received)))
            .bytes_total
    };
    assert!(extract("-01") < extract("-03"), "the random flag is to be remembered");
}

#[test]
fn the_random_flag_goes_on_whatever_the_sampler_does() {
    for (sampler, sampled) in [(Sampler::AlwaysOn, 1), (Sampler::AlwaysOff, 0)] {
        let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
        for (flags, random) in [("02", 2), ("03", 2), ("00", 0), ("01", 0)] {
            let traceparent = PARENT.replace("-01", &format!("-{flags}"));
            let cx = extract([("traceparent", &*traceparent)]);
            let child = cx.with_span(provider.tracer("test").start_with_context("child", &cx));
            let grandchild = child.with_span(provider.tracer("test").start_with_context("grandchild", &child));
            let (_, sent) = inject(&grandchild).swap_remove(0);
            assert!(sent.ends_with(&format!("-{:02x}", random | sampled)), "received {flags}, sent {sent}");
        }
    }
}

#[test]
fn unknown_flags_are_sent_as_zero() {
    let (trace_id, span_id) = ids();
    let span = SpanContext::new(trace_id, span_id, TraceFlags::new(0xff), false, TraceState::default());
    let (_, sent) = inject(&Context::new().with_remote_span_context(span)).swap_remove(0);
    assert_eq!(sent, PARENT.replace("-01", "-03"));
}

#[test]
fn no_span_and_an_invalid_span_are_not_sent() {
    assert_eq!(inject(&Context::new()), []);
    assert_eq!(inject(&Context::new().with_remote_span_context(SpanContext::NONE)), []);
    let (trace_id, span_id) = ids();
    for (trace_id, span_id) in [(trace_id, SpanId::INVALID), (TraceId::INVALID, span_id)] {
        let span = SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, TraceState::default());
        assert_eq!(inject(&Context::new().with_remote_span_context(span)), []);
    }
}

#[test]
fn the_fields_are_the_two_headers() {
    assert!(TraceContextPropagator::new().fields().eq(["traceparent", "tracestate"]));
}

// The SDK's propagator

#[test]
fn both_agree_where_the_sdk_is_right() {
    for (traceparent, tracestate) in [
        (PARENT, "a=1"),
        (PARENT, " a=1 ,\tb=2"),
        (PARENT, "a@b=1"),
        (PARENT, "a"),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "a=1"),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "a=1"),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1"),
        ("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1"),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", "a=1"),
        ("broken", "a=1"),
    ] {
        let received = HashMap::from([
            ("traceparent".to_owned(), traceparent.to_owned()),
            ("tracestate".to_owned(), tracestate.to_owned()),
        ]);
        let ours = TraceContextPropagator::new().extract_with_context(&Context::new(), &received);
        let theirs = SdkPropagator::new().extract_with_context(&Context::new(), &received);
        assert_eq!(span(&ours), span(&theirs), "{received:?}");

        let mut sent = HashMap::new();
        SdkPropagator::new().inject_context(&ours, &mut sent);
        sent.retain(|_, value| !value.is_empty());
        assert_eq!(inject(&ours).into_iter().collect::<HashMap<_, _>>(), sent, "{received:?}");
    }
}

// Anything

fn any_state() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[a-z0-9][a-z0-9_*/@-]{0,20}", "[ -+\\--<>-~]{0,20}[!-+\\--<>-~]"), 0..40)
}

proptest! {
    #[test]
    fn what_is_sent_is_received(
        trace_id in 1..=u128::MAX,
        span_id in 1..=u64::MAX,
        flags in any::<u8>(),
        members in any_state(),
    ) {
        let (trace_id, span_id) = (TraceId::from(trace_id), SpanId::from(span_id));
        let accepted = members.into_iter().filter(|member| TraceState::from_key_value([member.clone()]).is_ok());
        // One key may have only one value.
        let accepted: HashMap<String, String> = accepted.collect();
        let state = TraceState::from_key_value(accepted).unwrap();
        let sent = SpanContext::new(trace_id, span_id, TraceFlags::new(flags & 3), true, state);
        let received = extract_from(&inject(&Context::new().with_remote_span_context(sent.clone())));
        prop_assert_eq!(span(&received), sent);
    }

    #[test]
    fn what_is_received_is_sent(members in any_state(), cuts in vec(any::<bool>(), 40)) {
        let mut seen = std::collections::HashSet::new();
        let members: Vec<_> = members.into_iter().filter(|(key, _)| seen.insert(key.clone())).collect();
        let texts: Vec<_> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut values = vec![String::new()];
        for (text, cut) in texts.iter().zip(cuts) {
            if cut {
                values.push(String::new());
            }
            let value = values.last_mut().unwrap();
            value.push_str(", ");
            value.push_str(text);
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let expected = (1..=32).contains(&texts.len()).then(|| texts.join(","));
        prop_assert_eq!(sent_state(&extract_state(&values)), expected);
    }

    #[test]
    fn anything_is_survived(parent in any::<Vec<u8>>(), states in vec(any::<String>(), 0..4)) {
        let parent = String::from_utf8_lossy(&parent);
        prop_assert!(!extract([("traceparent", &*parent)]).has_active_span());
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        prop_assert_eq!(span(&extract_state(&states)).trace_id(), ids().0);
    }

    /// A valid header with something changed is either invalid or says what it says.
    #[test]
    fn close_misses_are_survived(at in 0..55_usize, with in "[ -~]", version in 0..=255_u8, rest in "[ -~]{0,3}") {
        let mut traceparent = format!("{version:02x}-{TRACE_ID}-{PARENT_ID}-01{rest}");
        traceparent.replace_range(at..=at, &with);
        let cx = extract([("traceparent", &*traceparent)]);
        if cx.has_active_span() {
            let (_, sent) = inject(&cx).swap_remove(0);
            prop_assert_eq!(&sent[2..53], &traceparent[2..53]);
        }
    }

    #[test]
    fn close_misses_of_a_list_are_survived(state in "[a-c@]{0,3}[=, \t]{0,2}[a-cA-C@=,. ]{0,30}") {
        if let Some(sent) = sent_state(&extract_state(&[&state])) {
            let again = sent_state(&extract_state(&[&sent]));
            prop_assert_eq!(again, Some(sent));
        }
    }
}

#[test]
fn hostile_lists_come_to_nothing() {
    let spaces = " ".repeat(8192);
    let commas = ",".repeat(8192);
    let keys = "a=1,".repeat(2048);
    for list in [spaces, commas, keys] {
        // One is parsed, and a thousand are not.
        for times in [1, 1000] {
            let lists = (0..times).map(|_| ("tracestate", list.clone()));
            let message = Headers::from_iter(lists.chain([("traceparent", PARENT.into())]));
            let cx = carrier::extract_with(&TraceContextPropagator::new(), &message);
            assert_eq!(inject(&cx), headers([("traceparent", PARENT)]));
        }
    }
}

type Pairs = Vec<(String, String)>;

/// Headers as HTTP has them, read by the API's own interface.
struct Multi<'a>(&'a Pairs);

impl Extractor for Multi<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.get_all(key)?.first().copied()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| &**name).collect()
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        let values: Vec<_> =
            self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| &**value).collect();
        (!values.is_empty()).then_some(values)
    }
}

struct Sent(Pairs);

impl Injector for Sent {
    fn set(&mut self, key: &str, value: String) {
        self.0.push((key.to_owned(), value));
    }
}

fn headers<const N: usize>(headers: [(&str, &str); N]) -> Pairs {
    headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn extract<const N: usize>(pairs: [(&str, &str); N]) -> Context {
    extract_from(&headers(pairs))
}

fn extract_from(headers: &Pairs) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Multi(headers))
}

fn extract_state(values: &[&str]) -> Context {
    let mut all = headers([("traceparent", PARENT)]);
    all.extend(values.iter().map(|value| ("tracestate".to_owned(), (*value).to_owned())));
    extract_from(&all)
}

fn inject(cx: &Context) -> Pairs {
    let mut sent = Sent(Vec::new());
    TraceContextPropagator::new().inject_context(cx, &mut sent);
    sent.0
}

fn sent_state(cx: &Context) -> Option<String> {
    inject(cx).into_iter().find(|(name, _)| name == "tracestate").map(|(_, value)| value)
}

fn with_state(cx: &Context, state: TraceState) -> Context {
    let span = span(cx);
    cx.with_remote_span_context(SpanContext::new(span.trace_id(), span.span_id(), span.trace_flags(), true, state))
}

fn members(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("bar{n:02}={n:02}")).collect()
}

fn ids() -> (TraceId, SpanId) {
    (TraceId::from_hex(TRACE_ID).unwrap(), SpanId::from_hex(PARENT_ID).unwrap())
}

fn span(cx: &Context) -> SpanContext {
    cx.span().span_context().clone()
}
