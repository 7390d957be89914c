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
fn a_full_header_map_refuses_and_does_not_panic() {
    let mut map = http::HeaderMap::new();
    while map.try_insert(http::HeaderName::try_from(format!("k{}", map.len())).unwrap(), 1.into()).is_ok() {}
    assert!(!carrier::inject_with(&propagator(), &received([("traceparent", PARENT)]), &mut map));
    assert!(!map.contains_key("traceparent"));
}
