//! `inject` and `extract` go by the global propagator. In a binary of its own, as there is one for the whole process.

use ctxhop::{
    Snapshot,
    carrier::{self, Headers},
    propagation::TraceContextPropagator,
};
use opentelemetry::{Context, global, trace::TraceContextExt};

#[test]
fn the_global_propagator_does_the_encoding() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let message = Headers::from_iter([("traceparent", PARENT)]);

    // None is set: nothing is read, not even what is current here; nothing is written, nothing is wrong.
    let current = Context::new().with_value("current");
    let cx = current.clone().run(|| carrier::try_extract(&message)).unwrap();
    assert!(!cx.has_active_span());
    assert_eq!(cx.get::<&str>(), None);

    // Nor is anything attached, which would panic where the current context is borrowed.
    current.clone().run(|| {
        Context::map_current(|_| {
            assert_eq!(carrier::extract(&message).get::<&str>(), None);
            assert!(carrier::try_extract(&message).is_ok());
            assert!(!carrier::inject(&current, &mut Headers::new()));
        });
        opentelemetry::trace::get_active_span(|_| assert!(!carrier::extract(&message).has_active_span()));
    });

    global::set_text_map_propagator(TraceContextPropagator::new());
    let cx = carrier::extract(&message);
    let mut forwarded = Headers::new();
    assert!(carrier::inject(&cx, &mut forwarded));
    assert_eq!(forwarded, message);
    assert!(carrier::try_extract(&Headers::from_iter([("traceparent", "broken")])).is_err());
    Context::map_current(|cx| {
        assert!(carrier::extract(&message).has_active_span());
        assert!(!carrier::inject(cx, &mut Headers::new()));
    });
}
