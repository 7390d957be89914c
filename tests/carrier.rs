//! The contract, for every carrier and for the shapes of messages elsewhere; what `inject` and `extract` promise of any.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    str::from_utf8,
};

use ctxhop::{
    carrier::{self, Carrier, Environment, Headers, Prefixed, Reason},
    prelude::*,
    propagation::TraceContextPropagator,
    testing::{CarrierContract, carrier_contract},
};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator as SdkPropagator};
use proptest::{collection::vec, prelude::*};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// The contract, a row for each carrier.

#[test]
fn headers() {
    CarrierContract::new(Headers::new).repeats(|headers, key, value| headers.append(key.to_owned(), value)).check();
}

#[test]
fn hash_map() {
    CarrierContract::new(HashMap::<String, String>::new).unordered().check();
}

#[test]
fn b_tree_map() {
    carrier_contract(BTreeMap::new);
}

#[test]
fn pairs() {
    CarrierContract::new(Vec::<(String, String)>::new)
        .repeats(|pairs, key, value| pairs.push((key.to_owned(), value.to_owned())))
        .check();
}

#[test]
fn environment() {
    carrier_contract(Environment::default);
}

#[test]
fn command() {
    let contract = CarrierContract::new(|| Command::new("true"));
    #[cfg(unix)]
    let contract = contract.not_text(|command, key| {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        command.env(key.to_uppercase(), OsStr::from_bytes(b"\xff"));
    });
    contract.check();
}

#[test]
fn header_map() {
    use http::{HeaderMap, HeaderName, HeaderValue};
    CarrierContract::new(HeaderMap::new)
        .unordered()
        .repeats(|map, key, value| {
            map.append(HeaderName::try_from(key).unwrap(), HeaderValue::try_from(value).unwrap());
        })
        .not_text(|map, key| {
            map.append(HeaderName::try_from(key).unwrap(), HeaderValue::from_bytes(b"\xff").unwrap());
        })
        .check();
}

#[test]
fn prefixed() {
    let foreign = || Headers::from_iter([("traceparent", "not ours"), ("x", "1"), ("googclient", "2"), ("é", "3")]);
    CarrierContract::new(|| Prefixed::new("googclient_", foreign()))
        .repeats(|prefixed, key, value| prefixed.inner_mut().append(format!("GoogClient_{key}"), value))
        .check();
    carrier_contract(|| Prefixed::new("", Headers::new()));
    carrier_contract(|| Prefixed::new("a_", Prefixed::new("b_", foreign())));
}

// Shapes of messages elsewhere.

/// AMQP: a table of typed values.
#[derive(Default)]
struct FieldTable(BTreeMap<String, Field>);

enum Field {
    LongString(Vec<u8>),
    LongInt(#[expect(dead_code, reason = "passed over")] i64),
    Void,
}

impl Carrier for FieldTable {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(key));
        fields.filter_map(|(_, field)| match field {
            Field::LongString(bytes) => from_utf8(bytes).ok(),
            Field::LongInt(_) | Field::Void => None,
        })
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.remove(key);
        self.0.insert(key.to_owned(), Field::LongString(value.into_bytes()));
        true
    }

    fn remove(&mut self, key: &str) {
        self.0.retain(|name, _| !name.eq_ignore_ascii_case(key));
    }
}

#[test]
fn field_table() {
    CarrierContract::new(FieldTable::default)
        .not_text(|table, key| drop(table.0.insert(key.to_owned(), Field::LongInt(7))))
        .not_text(|table, key| drop(table.0.insert(key.to_owned(), Field::Void)))
        .not_text(|table, key| drop(table.0.insert(key.to_owned(), Field::LongString(vec![0xff]))))
        .check();
}

/// Kafka: repeated keys, values that are bytes or null, and a builder that can only be added to, by value.
#[derive(Default)]
struct Record(Vec<(String, Option<Vec<u8>>)>);

impl Record {
    fn insert(mut self, key: &str, value: Option<&[u8]>) -> Self {
        self.0.push((key.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }
}

impl Carrier for Record {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(key))
            .filter_map(|(_, value)| from_utf8(value?).ok())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.remove(key);
        *self = mem::take(self).insert(key, Some(value.as_bytes()));
        true
    }

    fn remove(&mut self, key: &str) {
        let old = mem::take(self);
        let others = old.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(key));
        *self = others.fold(Record::default(), |new, (key, value)| new.insert(key, value));
    }
}

#[test]
fn record() {
    CarrierContract::new(Record::default)
        .repeats(|record, key, value| *record = mem::take(record).insert(key, Some(value.as_bytes())))
        .not_text(|record, key| *record = mem::take(record).insert(key, None))
        .not_text(|record, key| *record = mem::take(record).insert(key, Some(b"\xc3\x28")))
        .check();
}

/// A message that may have been sealed already, and a protocol with room for values of 64 KiB.
#[derive(Default)]
struct Sealable {
    headers: Headers,
    sealed: bool,
}

impl Carrier for Sealable {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let accepted = !self.sealed && value.len() <= 1 << 16;
        if accepted {
            self.headers.set(key, value);
        }
        accepted
    }

    fn remove(&mut self, key: &str) {
        if !self.sealed {
            self.headers.remove(key);
        }
    }
}

#[test]
fn sealable() {
    CarrierContract::new(Sealable::default).read_only(|message| message.sealed = true).check();
}

/// A list of pairs with something wrong.
struct Broken {
    pairs: Vec<(String, String)>,
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    HeedsCase,
    SetsBeside,
    SetsNothing,
    RemovesNothing,
    RemovesMore,
    HidesKeys,
    Reverses,
    ReadsOne,
}

impl Carrier for Broken {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let limit = if self.flaw == Flaw::ReadsOne { 1 } else { usize::MAX };
        let named = move |name: &str| match self.flaw {
            Flaw::HeedsCase => name == key,
            _ => name.eq_ignore_ascii_case(key),
        };
        self.pairs.iter().filter(move |(name, _)| named(name)).map(|(_, value)| value.as_str()).take(limit)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let limit = if self.flaw == Flaw::HidesKeys { 1 } else { usize::MAX };
        Carrier::keys(&self.pairs).take(limit)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        match self.flaw {
            Flaw::SetsNothing => return true,
            Flaw::SetsBeside => self.pairs.push((key.to_owned(), value)),
            _ => drop(self.pairs.set(key, value)),
        }
        if self.flaw == Flaw::Reverses {
            self.pairs.reverse();
        }
        true
    }

    fn remove(&mut self, key: &str) {
        match self.flaw {
            Flaw::RemovesNothing => {}
            Flaw::RemovesMore => self.pairs.retain(|(name, _)| !name.starts_with(&key[..1])),
            _ => Carrier::remove(&mut self.pairs, key),
        }
    }
}

#[test]
fn the_contract_notices_what_is_wrong() {
    use Flaw::*;
    let check = |flaw| {
        let contract = CarrierContract::new(move || Broken { pairs: Vec::new(), flaw })
            .repeats(|message, key, value| message.pairs.push((key.to_owned(), value.to_owned())));
        catch_unwind(AssertUnwindSafe(|| contract.check()))
    };
    assert!(check(None).is_ok());
    for flaw in [HeedsCase, SetsBeside, SetsNothing, RemovesNothing, RemovesMore, HidesKeys, Reverses, ReadsOne] {
        assert!(check(flaw).is_err(), "{flaw:?} is not noticed");
    }
}

#[test]
fn the_contract_notices_a_message_that_only_says_it_is_read_only() {
    let contract = CarrierContract::new(Sealable::default).read_only(|_| ());
    assert!(catch_unwind(AssertUnwindSafe(|| contract.check())).is_err());
}

// Inject, beyond the contract.

#[test]
fn a_value_that_is_refused_leaves_no_stale_one() {
    let state = format!("{}={}", "k".repeat(100), "v".repeat(100));
    let cx = received([("traceparent", PARENT), ("tracestate", &state)]);
    for (limit, left) in [(100, Headers::from_iter([("traceparent", PARENT)])), (10, Headers::new())] {
        let stale = [("traceparent", "stale"), ("tracestate", "stale=1"), ("baggage", "stale=1")];
        let mut message = Tiny { headers: Headers::from_iter(stale), limit };
        assert!(!carrier::inject_with(&propagator(), &cx, &mut message), "not all of it is carried");
        assert_eq!(message.headers, left);
    }
}

/// Refuses values that are longer than its limit.
struct Tiny {
    headers: Headers,
    limit: usize,
}

impl Carrier for Tiny {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        value.len() <= self.limit && self.headers.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        self.headers.remove(key);
    }
}

#[test]
fn a_header_map_refuses_what_could_not_be_read_again() {
    let mut map = http::HeaderMap::new();
    for value in ["line\nbreak", "nul\0", "ü"] {
        assert!(!Carrier::set(&mut map, "key", value.to_owned()), "{value:?}");
    }
    assert!(!Carrier::set(&mut map, "no key", "value".to_owned()));
    assert!(map.is_empty());
}

#[test]
fn a_full_header_map_refuses_and_does_not_panic() {
    let mut map = http::HeaderMap::new();
    while map.try_insert(http::HeaderName::try_from(format!("k{}", map.len())).unwrap(), 1.into()).is_ok() {}
    assert!(!carrier::inject_with(&propagator(), &received([("traceparent", PARENT)]), &mut map));
    assert!(!map.contains_key("traceparent"));
}

#[test]
fn baggage_alone_is_carried() {
    let cx = Context::new().with_baggage([KeyValue::new("user", "7")]);
    let mut message = Headers::new();
    assert!(carrier::inject_with(&propagator(), &cx, &mut message));
    assert_eq!(message, Headers::from_iter([("baggage", "user=7")]));
}

// Extract, beyond the contract.

#[test]
fn a_bare_message_does_not_inherit_what_is_current() {
    let current = received([("traceparent", PARENT), ("baggage", "user=7")]).with_value("current");
    current.run(|| {
        let cx = carrier::extract_with(&propagator(), &Headers::new());
        assert!(!cx.has_active_span() && cx.baggage().is_empty() && cx.get::<&str>().is_none());
        let cx = carrier::extract_with(&propagator(), &Headers::from_iter([("traceparent", "broken")]));
        assert!(!cx.has_active_span() && cx.baggage().is_empty() && cx.get::<&str>().is_none());
    });
}

#[test]
fn lists_are_joined_for_propagators_that_read_one_header() {
    let message =
        Headers::from_iter([("traceparent", PARENT), ("tracestate", "a=1"), ("TraceState", ""), ("tracestate", "b=2")]);
    let cx = carrier::extract_with(&SdkPropagator::new(), &message);
    assert_eq!(cx.span().span_context().trace_state().header(), "a=1,b=2");
}

#[test]
fn what_is_rejected_has_a_name() {
    let long = "x".repeat(16_448);
    let many = Headers::from_iter((0..65).map(|_| ("tracestate", "")).chain([("traceparent", PARENT)]));
    for (message, key, reason, text) in [
        (
            Headers::from_iter([("traceparent", "00-0-0-00")]),
            "traceparent",
            Reason::Malformed,
            "the traceparent of the message is malformed",
        ),
        (
            Headers::from_iter([("traceparent", "")]),
            "traceparent",
            Reason::Malformed,
            "the traceparent of the message is malformed",
        ),
        (
            Headers::from_iter([("traceparent", PARENT), ("baggage", "nothing")]),
            "baggage",
            Reason::Malformed,
            "the baggage of the message is malformed",
        ),
        (
            Headers::from_iter([("traceparent", PARENT), ("tracestate", &long)]),
            "tracestate",
            Reason::TooLong,
            "the tracestate of the message is too long",
        ),
        (many, "tracestate", Reason::TooLong, "the tracestate of the message is too long"),
    ] {
        let rejected = carrier::try_extract_with(&propagator(), &message).expect_err(key);
        assert_eq!((rejected.key(), rejected.reason(), &*rejected.to_string()), (key, reason, text));
        let context = carrier::extract_with(&propagator(), &message);
        assert_eq!(span(&rejected.into_context()), span(&context), "`extract` keeps what `try_extract` does");
    }
}

#[test]
fn what_is_of_no_use_by_right_is_not_rejected() {
    for message in [
        Headers::from_iter([("tracestate", "a=1")]),
        Headers::from_iter([("traceparent", PARENT), ("tracestate", ""), ("baggage", " ")]),
        Headers::from_iter([("traceparent", PARENT), ("tracestate", "not a list")]),
        Headers::from_iter([("b3", "0")]),
    ] {
        assert!(carrier::try_extract_with(&propagator(), &message).is_ok(), "{message:?}");
    }
}

#[test]
fn values_of_just_the_limit_are_read() {
    let state = format!("a=1{}", " ".repeat(16_447 - 3));
    let message = Headers::from_iter([("traceparent", PARENT), ("tracestate", &state)]);
    let cx = carrier::try_extract_with(&propagator(), &message).unwrap();
    assert_eq!(span(&cx).trace_state().header(), "a=1");
}

#[test]
fn of_baggage_the_leading_members_that_fit_are_kept() {
    let member = |n: usize| format!("k{n}=v");
    let list = |range: std::ops::Range<usize>| range.map(member).collect::<Vec<_>>().join(",");
    // The number of members, and what they fill, from one header and from many.
    for message in [
        Headers::from_iter([("baggage", list(0..100))]),
        Headers::from_iter((0..100).map(|n| ("baggage", member(n)))),
        Headers::from_iter([("baggage", list(0..60)), ("baggage", list(60..100))]),
    ] {
        let rejected = carrier::try_extract_with(&propagator(), &message).expect_err("too many");
        assert_eq!((rejected.key(), rejected.reason()), ("baggage", Reason::TooLong));
        let cx = rejected.into_context();
        assert_eq!(cx.baggage().len(), 64);
        assert!(cx.baggage().get("k63").is_some() && cx.baggage().get("k64").is_none());
    }
    let long = |n: usize, length: usize| format!("k{n}={}", "v".repeat(length));
    for (message, kept) in [
        (Headers::from_iter([("baggage", long(0, 8189)), ("baggage", long(1, 1))]), 1),
        (Headers::from_iter([("baggage", long(0, 1)), ("baggage", long(1, 9000)), ("baggage", long(2, 1))]), 1),
        (Headers::from_iter([("baggage", long(0, 4000)), ("baggage", long(1, 4000)), ("baggage", long(2, 4000))]), 2),
        (Headers::from_iter([("baggage", "é".repeat(1 << 20))]), 0),
    ] {
        let rejected = carrier::try_extract_with(&propagator(), &message).expect_err("too long");
        assert_eq!(rejected.into_context().baggage().len(), kept);
    }
}

#[test]
fn what_a_message_repeats_without_end_ends() {
    for value in ["", "a=1", PARENT] {
        for (key, propagator) in [
            ("traceparent", &TraceContextPropagator::new() as &dyn TextMapPropagator),
            ("baggage", &BaggagePropagator::new()),
        ] {
            let rejected = carrier::try_extract_with(propagator, &Endless { key, value }).expect_err(key);
            assert_eq!((rejected.key(), rejected.reason()), (key, Reason::TooLong));
        }
    }
}

struct Endless {
    key: &'static str,
    value: &'static str,
}

impl Carrier for Endless {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        std::iter::repeat(self.value).take_while(move |_| key == self.key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        [self.key].into_iter()
    }

    fn set(&mut self, _: &str, _: String) -> bool {
        false
    }

    fn remove(&mut self, _: &str) {}
}

#[test]
fn a_long_value_is_kept_from_any_propagator() {
    let long = format!("cc{}-{}", &PARENT[2..], "x".repeat(8192));
    let rejected = carrier::try_extract_with(&SdkPropagator::new(), &Headers::from_iter([("traceparent", long)]));
    assert_eq!(rejected.unwrap_err().reason(), Reason::TooLong);
}

#[test]
fn other_propagators_see_all_keys_and_values() {
    let message = Headers::from_iter([("uber-a", "1"), ("UBER-b", "2"), ("uber-b", "3")]);
    let cx = carrier::try_extract_with(&Uber, &message).unwrap();
    assert_eq!(cx.get::<Vec<String>>().unwrap(), &["uber-a=1", "UBER-b=2,3", "uber-b=2,3"]);
}

/// Like Jaeger's, goes by the keys that it finds.
#[derive(Debug)]
struct Uber;

impl TextMapPropagator for Uber {
    fn inject_context(&self, _: &Context, _: &mut dyn Injector) {}

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let values = |key: &&str| extractor.get_all(key).unwrap().join(",");
        cx.with_value(extractor.keys().iter().map(|key| format!("{key}={}", values(key))).collect::<Vec<_>>())
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}

// Carriers of their own.

#[test]
fn headers_are_an_ordered_list() {
    let mut headers = Headers::from_iter([("A", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("a", "5")]);
    assert_eq!(headers.get("a"), Some("1"));
    assert_eq!(headers.get_all("a").collect::<Vec<_>>(), ["1", "3", "5"]);
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["A", "b", "a", "c", "a"]);
    assert_eq!((headers.len(), headers.iter().len(), headers.is_empty()), (5, 5, false));
    assert_eq!(headers.iter().next_back(), Some(("a", "5")));
    assert_eq!(format!("{headers:?}"), r#"{"A": "1", "b": "2", "a": "3", "c": "4", "a": "5"}"#);

    headers.insert("C", "0");
    headers.insert("a", "6");
    assert_eq!(headers, Headers::from_iter([("a", "6"), ("b", "2"), ("C", "0")]));
    assert_ne!(headers, Headers::from_iter([("a", "6"), ("b", "2"), ("c", "0")]));

    headers.extend([("A", "7")]);
    assert_eq!(headers.remove("A"), Some("6".to_owned()));
    assert_eq!(headers.remove("A"), None);
    let rest: Vec<_> = headers.clone().into_iter().collect();
    assert_eq!(rest, [("b".into(), "2".to_owned()), ("C".into(), "0".to_owned())]);
}

#[test]
fn w3c_keys_are_not_copied() {
    let mut headers = Headers::new();
    for key in ["traceparent", "tracestate", "baggage"] {
        headers.set(key, String::new());
    }
    assert!(headers.into_iter().all(|(name, _)| matches!(name, std::borrow::Cow::Borrowed(_))));
}

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

#[derive(Clone, Debug)]
enum Change {
    Append(String, String),
    Insert(String, String),
    Remove(String),
}

fn change() -> impl Strategy<Value = Change> {
    let (key, value) = ("[aAbB]{1,2}", "[x-z]");
    prop_oneof![
        (key, value).prop_map(|(key, value)| Change::Append(key, value)),
        (key, value).prop_map(|(key, value)| Change::Insert(key, value)),
        key.prop_map(Change::Remove),
    ]
}

proptest! {
    #[test]
    fn headers_are_like_a_plain_list(changes in vec(change(), 0..20)) {
        let mut headers = Headers::new();
        let mut list: Vec<(String, String)> = Vec::new();
        for change in changes {
            match change {
                Change::Append(key, value) => {
                    headers.append(key.clone(), value.clone());
                    list.push((key, value));
                }
                Change::Insert(key, value) => {
                    headers.insert(key.clone(), value.clone());
                    let at = list.iter().position(|(other, _)| other.eq_ignore_ascii_case(&key)).unwrap_or(list.len());
                    list.retain(|(other, _)| !other.eq_ignore_ascii_case(&key));
                    list.insert(at, (key, value));
                }
                Change::Remove(key) => {
                    let first = list.iter().find(|(other, _)| other.eq_ignore_ascii_case(&key));
                    prop_assert_eq!(headers.remove(&key), first.map(|(_, value)| value.clone()));
                    list.retain(|(other, _)| !other.eq_ignore_ascii_case(&key));
                }
            }
            prop_assert_eq!(&headers, &Headers::from_iter(list.clone()));
        }
    }

    #[test]
    fn any_message_is_survived(message in vec(("traceparent|tracestate|baggage|.{0,3}", "[a,;=% -]{0,40}|.{0,40}"), 0..9)) {
        let mut message = Headers::from_iter(message);
        let cx = carrier::extract_with(&propagator(), &message);
        prop_assert!(!cx.has_active_span() && cx.baggage().len() <= 64);
        message.insert("traceparent", PARENT);
        prop_assert!(carrier::extract_with(&propagator(), &message).has_active_span());
    }
}

fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}

fn received<const N: usize>(headers: [(&'static str, &str); N]) -> Context {
    carrier::try_extract_with(&propagator(), &Headers::from_iter(headers)).unwrap()
}

fn span(cx: &Context) -> SpanContext {
    cx.span().span_context().clone()
}
