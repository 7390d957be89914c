//! [`ReadOnly`].

use ctxhop::carrier::{Carrier, Headers, Prefixed, ReadOnly, extract_with, inject_with};

use static_assertions::assert_not_impl_any;

use crate::{PARENT, propagator, received, span};

// Else a context could be injected into what cannot be written to, and nobody would know.
assert_not_impl_any!(&Headers: Carrier);
assert_not_impl_any!(&http::HeaderMap: Carrier);

#[test]
fn what_is_lent_is_read_and_stays_as_it_is() {
    let message = Headers::from_iter([("p-traceparent", PARENT), ("p-tracestate", "a=1"), ("x", "y")]);
    let mut lent = Prefixed::new("p-", ReadOnly(&message));
    let cx = received([("traceparent", PARENT), ("tracestate", "a=1")]);
    assert_eq!(span(&extract_with(&propagator(), &lent)), span(&cx));
    assert!(lent.keys().eq(["traceparent", "tracestate"]));

    assert_eq!(lent.room("baggage"), 0);
    let before = message.clone();
    assert!(!inject_with(&propagator(), &received([("traceparent", PARENT)]), &mut lent));
    lent.remove("traceparent");
    assert_eq!(message, before);
}
