//! What strangers send is never sent on as another member or another line, whatever the propagator, and a message that
//! does not take all leaves an event.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    process::Command,
};

use ctxhop::{
    Snapshot,
    carrier::{Carrier, Environment, Headers, Limited, Prefixed, ReadOnly, envelope, extract_with, inject_with},
    messaging::{BaggagePolicy, Destination},
    propagation::{BaggagePropagator, TraceContextPropagator},
    testing::TraceRecorder,
};
use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt},
    propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{TraceContextExt, Tracer},
};
use opentelemetry_sdk::propagation::BaggagePropagator as SdkPropagator;

use crate::{PARENT, received};

const UNSAFE: [&str; 3] = ["a\rb", "a\nb", "a\0b"];

#[test]
fn no_carrier_takes_what_is_more_than_a_line() {
    #[track_caller]
    fn check(mut carrier: impl Carrier) {
        let before: Vec<_> = carrier.keys().map(str::to_owned).collect();
        for text in UNSAFE {
            assert!(!carrier.set("key", text.to_owned()), "{text:?} is a value");
            // An environment makes a name of any key.
            assert!(!carrier.set(text, "value".to_owned()) || carrier.spelling(text) == "A_B", "{text:?} is a key");
            carrier.remove(text);
        }
        assert!(carrier.keys().eq(before.iter().map(String::as_str)));
    }
    check(Headers::from_iter([("key", "old")]));
    check(HashMap::from([("key".to_owned(), "old".to_owned())]));
    check(BTreeMap::from([("key".to_owned(), "old".to_owned())]));
    check(vec![("key".to_owned(), "old".to_owned())]);
    check(http::HeaderMap::new());
    check(Environment::default());
    check(Command::new("true"));
    check(Prefixed::new("p-", Headers::new()));
    check(Limited::new(Headers::new()).total_bytes(1000));
    check(Some(Headers::new()));
    check(serde_json::Map::new());
}

#[test]
fn a_line_break_is_found_wherever_it_is() {
    for length in 1..40 {
        for at in 0..length {
            for unsafe_byte in ['\r', '\n', '\0'] {
                let mut text = "xyz".repeat(14)[..length].to_owned();
                assert!(Headers::new().set("key", text.clone()), "{text:?}");
                text.replace_range(at..=at, &unsafe_byte.to_string());
                assert!(!Headers::new().set("key", text.clone()), "{text:?}");
            }
        }
    }
}

/// Takes anything, as a carrier of a user may.
#[derive(Default)]
struct Anything(Vec<(String, String)>);

impl Carrier for Anything {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        Carrier::get_all(&self.0, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        Carrier::keys(&self.0)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.0.push((key.to_owned(), value));
        true
    }

    fn remove(&mut self, key: &str) {
        Carrier::remove(&mut self.0, key);
    }
}

#[test]
fn no_line_break_reaches_any_carrier() {
    let mut carrier = Anything::default();
    assert!(!inject_with(&Raw::new(), &with_baggage(&[("tenant", "x\ny", ""), ("user", "7", "")]), &mut carrier));
    assert_eq!(carrier.0, [("baggage", "user=7;"), ("raw-user", "7")].map(|(key, value)| (key.into(), value.into())));

    /// Sets a key that is more than a line.
    #[derive(Debug)]
    struct BrokenKey;

    impl TextMapPropagator for BrokenKey {
        fn inject_context(&self, _: &Context, injector: &mut dyn Injector) {
            injector.set("x\ny", "1".to_owned());
            injector.set("traceparent", "x\ny".to_owned());
        }

        fn extract_with_context(&self, cx: &Context, _: &dyn Extractor) -> Context {
            cx.clone()
        }

        fn fields(&self) -> FieldIter<'_> {
            FieldIter::new(&[])
        }
    }
    let mut carrier = Anything::default();
    assert!(!inject_with(&BrokenKey, &Context::new(), &mut carrier));
    assert!(carrier.0.is_empty(), "{:?}", carrier.0);
}

/// Writes keys, values and metadata as they are.
#[derive(Debug)]
struct Raw(Vec<String>);

impl Raw {
    fn new() -> Self {
        Self(vec!["baggage".to_owned()])
    }
}

impl TextMapPropagator for Raw {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let member = |(key, (value, metadata)): (&_, &(_, _))| format!("{key}={value};{metadata}");
        let members: Vec<_> = cx.baggage().iter().map(member).collect();
        injector.set("baggage", members.join(","));
        for (key, (value, _)) in cx.baggage() {
            injector.set(&format!("raw-{key}"), value.to_string());
        }
    }

    fn extract_with_context(&self, cx: &Context, _: &dyn Extractor) -> Context {
        cx.clone()
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.0)
    }
}

fn with_baggage(members: &[(&'static str, &'static str, &str)]) -> Context {
    let mut baggage = Baggage::new();
    for &(name, value, metadata) in members {
        baggage.insert_with_metadata(name, value, metadata);
    }
    Context::new().with_baggage(baggage)
}

/// The names that a receiver reads.
fn names(carrier: &impl Carrier) -> Vec<String> {
    let cx = extract_with(&BaggagePropagator::new(), carrier);
    let mut names: Vec<_> = cx.baggage().iter().map(|(name, _)| name.to_string()).collect();
    names.sort();
    names
}

#[test]
fn no_metadata_becomes_a_member_or_a_line() {
    let propagators: [&dyn TextMapPropagator; 3] = [&BaggagePropagator::new(), &SdkPropagator::new(), &Raw::new()];
    for metadata in ["p=1,admin=true", "p=x\r\nadmin: true", "\0", "p=ü", "p=1 , admin = true ;", ",admin=true,"] {
        let cx = with_baggage(&[("tenant", "acme", metadata), ("user", "7", "")]);
        for propagator in propagators {
            let mut map = http::HeaderMap::new();
            assert!(inject_with(propagator, &cx, &mut map), "{propagator:?}, {metadata:?}: all of it is carried");
            assert_eq!(names(&map), ["tenant", "user"], "{propagator:?}, {metadata:?}");

            let mut headers = Headers::new();
            inject_with(propagator, &cx, &mut headers);
            assert!(headers.iter().all(|(_, value)| !value.contains(['\r', '\n', '\0'])), "{headers:?}");
            let sealed = envelope::seal(&headers, b"").unwrap();
            let (opened, _) = envelope::open(sealed).unwrap();
            assert_eq!(names(&opened), ["tenant", "user"], "{propagator:?}, {metadata:?}");
        }
    }
}

#[test]
fn a_value_that_is_no_line_costs_its_member_alone() {
    for value in ["x\r\nadmin: true", "\0", "ü"] {
        let cx = with_baggage(&[("tenant", value, ""), ("user", "7", "")]);
        for propagator in [&BaggagePropagator::new() as &dyn TextMapPropagator, &SdkPropagator::new()] {
            let mut map = http::HeaderMap::new();
            assert!(inject_with(propagator, &cx, &mut map));
            assert_eq!(names(&map), ["tenant", "user"], "{propagator:?}: it is encoded");
        }
        let mut headers = Headers::new();
        assert!(!inject_with(&Raw::new(), &cx, &mut headers));
        assert_eq!(names(&headers), ["user"], "{headers:?}");
        assert_eq!(
            (headers.get("raw-user"), headers.get("raw-tenant")),
            (Some("7"), Some(value).filter(|it| *it == "ü"))
        );
    }
}

#[test]
fn no_value_becomes_a_member() {
    for value in ["acme,admin=true", ",admin=true", "acme,user=evil", "acme,,user=evil,user=evil"] {
        let cx = with_baggage(&[("tenant", value, ""), ("user", "7", ""), ("rate", "100%20", "")]);
        for propagator in [&BaggagePropagator::new() as &dyn TextMapPropagator, &SdkPropagator::new()] {
            let mut headers = Headers::new();
            assert!(inject_with(propagator, &cx, &mut headers));
            assert_eq!(names(&headers), ["rate", "tenant", "user"], "{propagator:?}");
            let received = extract_with(&BaggagePropagator::new(), &headers);
            assert_eq!(received.baggage().get("tenant").map(|it| it.as_str()), Some(value));
        }
        let mut headers = Headers::new();
        assert!(!inject_with(&Raw::new(), &cx, &mut headers), "not all of it is carried");
        let received = extract_with(&BaggagePropagator::new(), &headers);
        assert_eq!(names(&headers), ["rate", "user"], "{headers:?}");
        assert_eq!(received.baggage().get("user").map(|it| it.as_str()), Some("7"));
    }
}

#[test]
fn no_value_changes_the_properties_of_another_member() {
    for tenant in ["acme,user=7;role=admin", "acme,user=7,x"] {
        for user in ["", "unit=a/b; x"] {
            let cx = with_baggage(&[("tenant", tenant, ""), ("user", "7", user)]);
            let mut headers = Headers::new();
            assert!(!inject_with(&Raw::new(), &cx, &mut headers), "not all of it is carried");
            let list = headers.get("baggage").unwrap().trim_end_matches(';');
            assert_eq!(list, if user.is_empty() { "user=7" } else { "user=7;unit=a/b;x" });
        }
    }
    let mut headers = Headers::new();
    let cx = with_baggage(&[("tenant", "acme,inc", ""), ("user", "7", "internal")]);
    inject_with(&Verbatim("baggage", "tenant=acme%2Cinc,user=7".to_owned()), &cx, &mut headers);
    assert_eq!(headers.get("baggage"), Some("tenant=acme%2Cinc,user=7"), "this propagator writes no properties");
    // What the member says itself stays, in whatever way it is written.
    let cx = with_baggage(&[("tenant", "acme,inc", "unit=a/b; x=1,2")]);
    for propagator in [&BaggagePropagator::new() as &dyn TextMapPropagator, &SdkPropagator::new()] {
        let mut headers = Headers::new();
        assert!(inject_with(propagator, &cx, &mut headers), "{propagator:?}");
        assert_eq!(headers.get("baggage"), Some("tenant=acme%2Cinc;unit=a/b;x=1%2C2"), "{propagator:?}");
    }
}

/// Adds a member of its own to the header, as some vendors do.
#[derive(Debug)]
struct Additive(BaggagePropagator);

impl TextMapPropagator for Additive {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let mut own = HashMap::new();
        self.0.inject_context(cx, &mut own);
        injector.set("baggage", format!("vendor=1,{}", own["baggage"]));
    }

    fn extract_with_context(&self, cx: &Context, _: &dyn Extractor) -> Context {
        cx.clone()
    }

    fn fields(&self) -> FieldIter<'_> {
        self.0.fields()
    }
}

#[test]
fn a_member_that_the_propagator_adds_is_sent() {
    let mut headers = Headers::new();
    let cx = with_baggage(&[("tenant", "acme", "p=1,x")]);
    assert!(inject_with(&Additive(BaggagePropagator::new()), &cx, &mut headers));
    assert_eq!(names(&headers), ["tenant", "vendor"]);
}

#[test]
fn a_policy_holds_for_what_is_sent_on() {
    let smuggled = "tenant=acme;p=1%2Cadmin=true,tenant2=x%2Cadmin=true,other=1;q=%0D%0Aadmin:true";
    let propagators: [fn() -> Box<dyn TextMapPropagator + Send + Sync>; 2] =
        [|| Box::new(BaggagePropagator::new()), || Box::new(SdkPropagator::new())];
    for reads in propagators {
        for writes in propagators {
            let recorder = TraceRecorder::new();
            let connect = |name, baggage| {
                Destination::new("rabbitmq", name).with_tracer_provider(recorder.provider()).with_propagator(
                    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), baggage]),
                )
            };
            let orders = connect("orders", reads()).baggage(BaggagePolicy::allow(["tenant"]));
            let invoices = connect("invoices", writes());

            let message = Headers::from_iter([("traceparent", PARENT), ("baggage", smuggled)]);
            let (mut sent, mut directly) = (Headers::new(), HashMap::new());
            orders.process(&message).run(|| {
                invoices.send(&mut sent).run(|| ());
                // By a client library that knows nothing of this crate.
                writes().inject_context(&Context::current(), &mut directly);
            });
            for list in [sent.get("baggage").unwrap(), &directly["baggage"]] {
                assert!(!list.contains(['\r', '\n', ',']) && list.starts_with("tenant=acme;"), "{list}");
                for receives in propagators {
                    let cx = extract_with(&*receives(), &Headers::from_iter([("baggage", list)]));
                    assert_eq!(cx.baggage().len(), 1, "{list}");
                }
            }
        }
    }
}

#[test]
fn properties_that_have_no_room_when_encoded_cost_no_allowed_member() {
    let recorder = TraceRecorder::new();
    let orders = Destination::new("rabbitmq", "orders")
        .with_tracer_provider(recorder.provider())
        .with_propagator(SdkPropagator::new())
        .baggage(BaggagePolicy::allow(["tenant", "locale", "user"]));
    // The SDK's propagator reads quotes as they are, and each of them takes three bytes when it is encoded.
    let list = format!("tenant=acme;p={},locale=en;q={},user=7;r", "\"".repeat(4000), "\"".repeat(2700));
    let message = Headers::from_iter([("baggage", list)]);
    let seen = orders.process(&message).run(|| Some(Context::current())).unwrap();
    for (name, value, metadata) in [("tenant", "acme", 0), ("locale", "en", 8102), ("user", "7", 1)] {
        let (seen, properties) = seen.baggage().get_with_metadata(name).unwrap_or_else(|| panic!("{name} is allowed"));
        assert_eq!((seen.as_str(), properties.as_str().len()), (value, metadata), "{name}");
    }
}

#[test]
fn what_is_read_here_is_safe_to_write_elsewhere() {
    // No policy, and a client library that injects by the SDK's propagator.
    let smuggled = Headers::from_iter([("baggage", "tenant=acme;p=1%2Cadmin=true;q=%0D%0Aadmin:true")]);
    let mut sent = HashMap::new();
    SdkPropagator::new().inject_context(&extract_with(&BaggagePropagator::new(), &smuggled), &mut sent);
    assert_eq!(sent["baggage"], "tenant=acme;p=1%2Cadmin=true;q=%0D%0Aadmin:true");
}

/// Sets one header, whatever the context says.
#[derive(Debug)]
struct Verbatim(&'static str, String);

impl TextMapPropagator for Verbatim {
    fn inject_context(&self, _: &Context, injector: &mut dyn Injector) {
        injector.set(self.0, self.1.clone());
    }

    fn extract_with_context(&self, cx: &Context, _: &dyn Extractor) -> Context {
        cx.clone()
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}

#[test]
fn a_member_that_is_left_out_is_missed_whoever_has_added_it() {
    for (list, sent) in [("a=x\ny", None), ("a=1,b=x\ny", Some("a=1")), ("a=1,, b=2", Some("a=1,, b=2"))] {
        let mut headers = Headers::new();
        let whole = inject_with(&Verbatim("baggage", list.to_owned()), &Context::new(), &mut headers);
        assert_eq!((whole, headers.get("baggage")), (sent == Some(list), sent), "{list:?}");
    }
}

#[test]
fn no_list_has_more_members_than_a_receiver_reads() {
    for (key, most) in [("tracestate", 32), ("TraceState", 32), ("baggage", 64), ("Baggage", 64)] {
        for count in [1, most - 1, most, most + 1, most + 2, 3 * most] {
            // What is empty is no member.
            for comma in [",", ",,", " , , "] {
                let members: Vec<_> = (0..count).map(|n| format!("k{n}=v")).collect();
                let mut headers = Headers::new();
                let whole = inject_with(&Verbatim(key, members.join(comma)), &Context::new(), &mut headers);
                let sent = headers.get(key).unwrap().split(',').map(str::trim).filter(|member| !member.is_empty());
                assert!(sent.eq(members.iter().take(most)), "{count} of {key}: {headers:?}");
                assert_eq!(whole, count <= most, "{count} of {key}");
            }
        }
    }
}

/// Keys are told apart by more than their length.
#[test]
fn no_other_header_is_taken_for_a_list() {
    let list = vec!["k=v"; 100].join(",");
    for key in ["x-cloud", "x-trace-id", "x-parent-id"] {
        let mut headers = Headers::from_iter([("tracestate", "a=1")]);
        assert!(inject_with(&Verbatim(key, list.clone()), &Context::new(), &mut headers));
        assert_eq!((headers.get(key), headers.get("tracestate")), (Some(&*list), Some("a=1")), "{key}");
    }
    let mut headers = Headers::from_iter([("tracestate", "stale=1")]);
    assert!(inject_with(&Verbatim("TraceParent", PARENT.to_owned()), &Context::new(), &mut headers));
    assert_eq!(headers.get("tracestate"), None, "a trace replaces a trace, in whatever case");
}

/// The events of the span in whose context this is injected.
#[track_caller]
fn events(propagator: &dyn TextMapPropagator, baggage: &Context, carrier: &mut impl Carrier) -> Vec<String> {
    let recorder = TraceRecorder::new();
    let span = recorder.tracer("test").start("span");
    let cx = baggage.with_span(span);
    inject_with(propagator, &cx, carrier);
    cx.span().end();
    let spans = recorder.spans();
    let reason = |event: &opentelemetry::trace::Event| {
        assert_eq!(event.name, "ctxhop.context_refused");
        event.attributes.iter().map(|attribute| format!("{}: {}", attribute.key, attribute.value)).collect()
    };
    spans[0].events.events.iter().map(reason).collect()
}

#[test]
fn what_is_refused_is_an_event_on_the_span() {
    let (baggage, cx) = (BaggagePropagator::new(), with_baggage(&[("a", "1", ""), ("b", "2", "")]));
    assert!(events(&baggage, &cx, &mut Headers::new()).is_empty());
    assert!(events(&baggage, &Context::new(), &mut None::<Headers>).is_empty(), "nothing to say is not refused");

    let nothing = ["ctxhop.reason: the message does not take the baggage"];
    assert_eq!(events(&baggage, &cx, &mut None::<Headers>), nothing);
    assert_eq!(events(&baggage, &cx, &mut ReadOnly(&Headers::new())), nothing);
    assert_eq!(events(&baggage, &cx, &mut Limited::new(Headers::new()).value_bytes(2)), nothing);
    let part = ["ctxhop.reason: the message takes only a part of the baggage"];
    assert_eq!(events(&baggage, &cx, &mut Limited::new(Headers::new()).value_bytes(3)), part);

    let cx = with_baggage(&[("a", "ü", ""), ("b", "2", "")]);
    assert_eq!(events(&Raw::new(), &cx, &mut Headers::new()), part);
    let cx = with_baggage(&[("a", "\n", "")]);
    assert_eq!(
        events(&Raw::new(), &cx, &mut Headers::new()),
        [nothing[0], "ctxhop.reason: the message does not take the raw-a"]
    );

    // What the propagator itself leaves out is missing, too.
    let long = "=".repeat(1500).leak();
    let cx = with_baggage(&[("a", long, ""), ("b", long, "")]);
    assert_eq!(events(&baggage, &cx, &mut Headers::new()), part);

    let trace = TraceContextPropagator::new();
    assert_eq!(
        events(&trace, &Context::new(), &mut None::<Headers>),
        ["ctxhop.reason: the message does not take the traceparent"]
    );
}

#[test]
fn a_span_that_does_not_record_is_left_alone() {
    let cx = received([("traceparent", PARENT)]);
    cx.clone().run(|| assert!(!inject_with(&TraceContextPropagator::new(), &cx, &mut None::<Headers>)));
}
