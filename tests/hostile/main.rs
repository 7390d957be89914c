//! Messages that are nearly right, and such as are not at all. `fuzz/` has the same checks meet more of them.

mod checks;

use ctxhop::carrier::{Headers, envelope};
use proptest::{collection::vec, prelude::*};

/// Lines of `name: value`, some of them broken.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let parent =
        || "(00|00|cc|ff|0)-4bf92f3577b34da6a3ce929d0e0e473[0-9a-f]-(00f067aa0ba902b7|0{16})-(01|03|ff|0)(|-|-x|.)";
    let state = "([a-c]|tenant@vendor|a@b@c|A|_)(|=|==)[ a~]{0,3}";
    let member = "[a-c][0-9]?(|=| = )(1|%20|%ff|%|;p=1|\u{fffd}){0,3}";
    let list = |member: &'static str, separator: &'static str| {
        let members = prop_oneof![vec(member, 0..5), vec(member, 30..34), vec(member, 60..70)];
        members.prop_map(move |members| members.join(separator))
    };
    let header = prop_oneof![
        4 => parent().prop_map(|value| format!("traceparent: {value}").into_bytes()),
        3 => (list(state, ","), list(state, " ,\t,")).prop_map(|(a, b)| format!("tracestate: {a}\nTraceState: {b}").into_bytes()),
        3 => (list(member, ","), list(member, ", ,")).prop_map(|(a, b)| format!("baggage: {a}\nBaggage: {b}").into_bytes()),
        1 => Just(b"tracestate: a=\xff".to_vec()),
        1 => Just(b"traceparent: \xff".to_vec()),
        1 => (0..20_000_usize).prop_map(|length| format!("baggage: a=1,b={}", "x".repeat(length)).into_bytes()),
        2 => vec(any::<u8>(), 0..20),
    ];
    vec(header, 0..5).prop_map(|lines| lines.join(&b'\n'))
}

/// A message in an envelope, of which a byte has changed, or some are missing.
fn sealed() -> impl Strategy<Value = Vec<u8>> {
    let headers = vec(("[a-z]{0,3}", ".{0,3}"), 0..4);
    let seal = (headers, vec(any::<u8>(), 0..9))
        .prop_map(|(headers, payload)| envelope::seal(&Headers::from_iter(headers), &payload).expect("it is short"));
    (seal, any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>()).prop_map(
        |(mut sealed, at, byte, end)| {
            let at = at.index(sealed.len());
            sealed[at] = byte;
            sealed.truncate(sealed.len() - end.index(sealed.len()) / 2);
            sealed
        },
    )
}

proptest! {
    #[test]
    fn propagator(input in message()) {
        checks::propagator(&input);
    }

    #[test]
    fn extract(input in message()) {
        checks::extract(&input);
    }

    #[test]
    fn envelopes(input in prop_oneof![message(), sealed()]) {
        checks::envelope(&input);
    }
}
