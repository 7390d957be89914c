//! Messages that are nearly right, and messages that are all wrong. `fuzz/` runs the same checks with more of them.

mod checks;

use ctxhop::carrier::{Headers, envelope};
use proptest::{collection::vec, prelude::*};

/// Lines of `name: value`, most of them right.
fn message() -> impl Strategy<Value = Vec<u8>> {
    const PARENT: &str = "(00|cc)-4bf92f3577b34da6a3ce929d0e0e473[0-9a-f]-00f067aa0ba902b7-(01|03|ff)";
    const ODD_PARENT: &str = "(00|cc|ff|0)-[0a-c]{31,33}-(00f067aa0ba902b7|0{16})-(01|0)(|-|-x|.)";
    const STATES: &str = "([a-z][a-z0-9]?|tenant@vendor|a@b@c)=[ -+!]{0,2}[a~]";
    const ODD_STATES: &str = "([a-c]|A|_|a@@)(|=|==)[ a~]{0,3}";
    const MEMBERS: &str = "[a-z][a-z0-9]?=(1|%20|%C3%BC|;p=1|%2C[a-c]=|;q=%2C[a-c]=|==){0,3}";
    const ODD_MEMBERS: &str = "[a-c](|=| = )(1|%ff|%|;|%0D%0A|;p=%0D%0A|;%2Cd=| |\"|\u{fffd}){0,3}";
    let line = |name: &'static str, values: BoxedStrategy<String>| {
        values.prop_map(move |value| format!("{name}: {value}").into_bytes())
    };
    let list = |member: &'static str| {
        let members = prop_oneof![3 => vec(member, 0..5), 1 => vec(member, 30..35), 1 => vec(member, 63..67)];
        (members, "(,| ,\t|, ,)").prop_map(|(members, separator)| members.join(&separator)).boxed()
    };
    let parent = line("traceparent", prop_oneof![4 => PARENT, 1 => ODD_PARENT].boxed());
    let header = prop_oneof![
        1 => line("TraceParent", PARENT.boxed()),
        6 => line("tracestate", list(STATES)),
        2 => line("TraceState", list(ODD_STATES)),
        6 => line("baggage", list(MEMBERS)),
        2 => line("Baggage", list(ODD_MEMBERS)),
        1 => line("baggage", (0..20_000_usize).prop_map(|length| format!("a=1,b={}", "x".repeat(length))).boxed()),
        1 => prop_oneof![Just("traceparent"), Just("tracestate"), Just("baggage")]
            .prop_map(|name| [name.as_bytes(), b": \xff"].concat()),
        2 => vec(any::<u8>(), 0..20),
    ];
    (parent, vec(header, 0..4)).prop_map(|(parent, headers)| [Vec::from([parent]), headers].concat().join(&b'\n'))
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
    fn baggage(input in message()) {
        checks::baggage(&input);
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
