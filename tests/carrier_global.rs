//! `inject` and `extract` go by the global propagator. In a binary of its own, as there is one for the whole process.

use ctxhop::{
    carrier::{self, Headers},
    propagation::TraceContextPropagator,
};
use opentelemetry::{global, trace::TraceContextExt};

#[test]
fn the_global_propagator_does_the_encoding() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let message = Headers::from_iter([("traceparent", PARENT)]);

    // None is set: nothing is read, nothing is written, nothing is wrong.
    assert!(!carrier::try_extract(&message).unwrap().has_active_span());

    global::set_text_map_propagator(TraceContextPropagator::new());
    let cx = carrier::extract(&message);
    let mut forwarded = Headers::new();
    assert!(carrier::inject(&cx, &mut forwarded));
    assert_eq!(forwarded, message);
    assert!(carrier::try_extract(&Headers::from_iter([("traceparent", "broken")])).is_err());
}
