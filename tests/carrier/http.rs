//! `http::HeaderMap`.

use ctxhop::carrier::{self, Carrier};

use crate::{PARENT, propagator, received};

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
