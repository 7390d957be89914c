//! `http::HeaderMap`.

use ctxhop::carrier::{self, Carrier, Reason};
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::TraceContextExt,
};

use crate::{PARENT, propagator, received, span};

#[test]
fn a_header_map_refuses_what_could_not_be_read_again() {
    let mut map = http::HeaderMap::new();
    for value in ["line\nbreak", "nul\0", "ü"] {
        assert!(!Carrier::set(&mut map, "key", value.to_owned()), "{value:?}");
    }
    assert!(!Carrier::set(&mut map, "no key", "value".to_owned()));
    assert!(map.is_empty());
}

/// The recommendation has repeated headers read as one, joined, and that is no text if a part is none.
#[test]
fn a_repeated_header_that_is_not_text_counts() {
    let not_text = || http::HeaderValue::from_bytes(b"\xff").unwrap();
    let of = |headers: &[(&'static str, &[u8])]| -> http::HeaderMap {
        let header = |(name, value): &(&'static str, &[u8])| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_bytes(value).unwrap())
        };
        headers.iter().map(header).collect()
    };
    let parent = ("traceparent", PARENT.as_bytes());

    for map in [of(&[parent, ("traceparent", b"\xff")]), of(&[("traceparent", b"\xff"), parent])] {
        let rejected = carrier::try_extract_with(&propagator(), &map).expect_err("two are none");
        assert_eq!((rejected.key(), rejected.reason()), ("traceparent", Reason::Malformed));
        assert!(!rejected.into_context().has_active_span());
    }
    let rejected = carrier::try_extract_with(&propagator(), &of(&[("traceparent", b"\xff")])).expect_err("it is none");
    assert_eq!((rejected.key(), rejected.reason()), ("traceparent", Reason::Malformed));

    for map in [
        of(&[parent, ("tracestate", b"a=1"), ("tracestate", b"\xff")]),
        of(&[parent, ("tracestate", b"\xff"), ("tracestate", b"a=1")]),
        of(&[parent, ("tracestate", b"\xff")]),
    ] {
        let cx = carrier::try_extract_with(&propagator(), &map).expect("a tracestate is dropped without a word");
        assert_eq!(span(&cx), span(&received([("traceparent", PARENT)])));
    }

    // Members of a baggage stand for themselves.
    let map = of(&[("baggage", b"\xff"), ("baggage", b"a=1"), ("baggage", b"\xff"), ("baggage", b"b=2")]);
    let cx = carrier::try_extract_with(&propagator(), &map).expect("what is text is read");
    assert_eq!(cx.baggage().len(), 2);
    assert!(carrier::try_extract_with(&propagator(), &of(&[("baggage", b"\xff")])).is_ok());

    // Nor do other propagators get to see what is not text.
    let mut map = of(&[("x-b3-traceid", b"\xff"), ("x-b3-traceid", b"7")]);
    map.insert("x-b3-spanid", not_text());
    assert_eq!(carrier::extract_with(&B3, &map).get::<Vec<Option<String>>>(), Some(&vec![Some("7".to_owned()), None]));
}

/// Reads one value of each of its keys, and says what.
#[derive(Debug)]
struct B3;

impl TextMapPropagator for B3 {
    fn inject_context(&self, _: &Context, _: &mut dyn Injector) {}

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let get = |key| {
            let value = extractor.get(key).map(str::to_owned);
            assert_eq!(extractor.get_all(key).map(|values| values.concat()), value);
            value
        };
        cx.with_value(vec![get("X-B3-TraceId"), get("X-B3-SpanId")])
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}

#[test]
fn what_is_removed_from_a_header_map_leaves_the_order_of_the_others() {
    let headers = || {
        let names = ["host", "tracestate", "accept", "via", "accept", "tracestate", "cookie", "x-last"];
        let mut map = http::HeaderMap::new();
        for (value, name) in names.into_iter().enumerate() {
            map.append(name, value.into());
        }
        map
    };
    let order = |map: &http::HeaderMap| -> Vec<(String, u8)> {
        map.iter().map(|(name, value)| (name.to_string(), value.as_bytes()[0] - b'0')).collect()
    };
    for name in ["tracestate", "TraceState", "host", "accept", "x-last", "none", "no name"] {
        let mut map = headers();
        Carrier::remove(&mut map, name);
        let mut others = order(&headers());
        others.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        assert_eq!(order(&map), others, "without {name}");
    }
}

#[test]
fn a_full_header_map_refuses_and_does_not_panic() {
    let mut map = http::HeaderMap::new();
    while map.try_insert(http::HeaderName::try_from(format!("k{}", map.len())).unwrap(), 1.into()).is_ok() {}
    assert!(!carrier::inject_with(&propagator(), &received([("traceparent", PARENT)]), &mut map));
    assert!(!map.contains_key("traceparent"));

    let full = map.len();
    for name in ["k7", "k24575"] {
        Carrier::remove(&mut map, name);
    }
    assert_eq!((full - map.len(), map.keys().nth(7).unwrap().as_str()), (2, "k8"));
    assert!(carrier::inject_with(&propagator(), &received([("traceparent", PARENT)]), &mut map));
}
