mod reading;

use std::fmt;

use crate::{
    carrier::{self, Carrier, NOT_TEXT, Reason},
    propagation::{BAGGAGE, BaggagePropagator, TRACEPARENT, TRACESTATE, TraceContextPropagator},
};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    propagation::TextMapCompositePropagator,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};

/// Checks what every [`Carrier`] promises. `make` makes an empty one.
///
/// Use it in a test of a carrier of your own. [`CarrierContract`] checks more, if it is told how: keys that repeat, values
/// that are not text, messages that cannot be written to, carriers that are only read.
///
/// # Panics
///
/// If the carrier breaks a promise.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::carrier_contract;
///
/// carrier_contract(Vec::<(String, String)>::new);
/// ```
#[track_caller]
pub fn carrier_contract<C: Carrier>(make: impl Fn() -> C) {
    CarrierContract::new(make).check();
}

/// What every [`Carrier`] promises, for a carrier that can do more than its trait tells.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::CarrierContract;
///
/// CarrierContract::new(http::HeaderMap::new)
///     .unordered()
///     .repeats(|map, key, value| {
///         map.append(http::HeaderName::try_from(key).unwrap(), http::HeaderValue::try_from(value).unwrap());
///     })
///     .not_text(|map, key| {
///         let value = http::HeaderValue::from_bytes(b"\xff").unwrap();
///         map.append(http::HeaderName::try_from(key).unwrap(), value);
///     })
///     .check();
/// ```
#[must_use = "nothing is checked without `check`"]
pub struct CarrierContract<'a, C> {
    make: Make<'a, C>,
    unordered: bool,
    repeats: Option<Repeat<'a, C>>,
    not_text: Vec<Spoil<'a, C>>,
    read_only: Option<Freeze<'a, C>>,
}

enum Make<'a, C> {
    Empty(Box<dyn Fn() -> C + 'a>),
    Holding(Hold<'a, C>),
}

type Hold<'a, C> = Box<dyn Fn(&[(&str, &str)]) -> C + 'a>;

type Repeat<'a, C> = Box<dyn Fn(&mut C, &str, &str) + 'a>;
type Spoil<'a, C> = Box<dyn Fn(&mut C, &str) + 'a>;
type Freeze<'a, C> = Box<dyn Fn(&mut C) + 'a>;

const KEYS: [&str; 3] = [TRACEPARENT, TRACESTATE, BAGGAGE];
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

impl<'a, C: Carrier> CarrierContract<'a, C> {
    /// The contract of a carrier that is written to. `make` makes an empty one.
    pub fn new(make: impl Fn() -> C + 'a) -> Self {
        Self::with(Make::Empty(Box::new(make)))
    }

    /// The contract of a carrier that is only read. `make` makes one that holds these keys and values.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::{Headers, ReadOnly}, testing::CarrierContract};
    ///
    /// CarrierContract::reading(|headers| {
    ///     let headers = headers.iter().map(|(key, value)| (key.to_string(), *value));
    ///     ReadOnly(Box::leak(Box::new(Headers::from_iter(headers))))
    /// })
    /// .check();
    /// ```
    pub fn reading(make: impl Fn(&[(&str, &str)]) -> C + 'a) -> Self {
        Self::with(Make::Holding(Box::new(make)))
    }

    fn with(make: Make<'a, C>) -> Self {
        Self { make, unordered: false, repeats: None, not_text: Vec::new(), read_only: None }
    }

    /// Says that keys, and the values of a key, have no order, or one of their own.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    /// Says how a key gets another value, beside those that it has. Where no key repeats, but a key may be there in more
    /// than one case, it chooses another case.
    pub fn repeats(mut self, append: impl Fn(&mut C, &str, &str) + 'a) -> Self {
        self.repeats = Some(Box::new(append));
        self
    }

    /// Says how a key gets a value that is not text, beside those that it has if keys may repeat. Call it for each kind:
    /// null, a number, bytes that are not UTF-8.
    pub fn not_text(mut self, put: impl Fn(&mut C, &str) + 'a) -> Self {
        self.not_text.push(Box::new(put));
        self
    }

    /// Says how a message becomes one that cannot be written to.
    pub fn read_only(mut self, freeze: impl Fn(&mut C) + 'a) -> Self {
        self.read_only = Some(Box::new(freeze));
        self
    }

    /// Checks it all.
    ///
    /// # Panics
    ///
    /// If the carrier breaks a promise.
    #[track_caller]
    pub fn check(&self) {
        self.empty_says_nothing();
        if let Make::Holding(make) = &self.make {
            return reading::check(make, self.unordered);
        }
        self.values_come_back();
        self.case_is_ignored();
        self.keys_are_kept();
        self.context_comes_back();
        self.own_keys_are_replaced_and_no_others();
        self.too_much_is_bounded();
        self.lists_are_cut_between_members();
        self.room_is_kept();
        if let Some(append) = &self.repeats {
            self.repeated_values_keep_their_order(append);
            self.repeated_headers_are_joined(append);
            self.repeated_headers_are_replaced(append);
        }
        for put in &self.not_text {
            self.not_text_says_nothing(put);
            if let Some(append) = &self.repeats {
                self.not_text_counts(append, put);
            }
        }
        if let Some(freeze) = &self.read_only {
            self.frozen_is_read_only(freeze);
        }
    }

    #[track_caller]
    fn empty_says_nothing(&self) {
        let carrier = self.made();
        assert_eq!(keys(&carrier), [""; 0], "a new carrier has no keys");
        for key in KEYS {
            assert_eq!(values(&carrier, key), [""; 0], "a new carrier has no {key}");
        }
        assert!(is_empty(&extract(&carrier).expect("a new carrier is nothing to reject")), "nothing comes of nothing");
    }

    #[track_caller]
    fn values_come_back(&self) {
        let mut carrier = self.made();
        for value in ["one", "", "a=b, c;d \"e\" %20 ~", "two"] {
            if carrier.set("user_key", value.to_owned()) {
                assert_eq!(values(&carrier, "user_key"), [value], "what is set is the only value");
            }
        }
        assert!(carrier.set("user_key", "kept".to_owned()), "a short text is accepted");
        assert!(carrier.set("other_key", "gone".to_owned()), "a short text is accepted");
        assert_eq!(keys(&carrier).len(), 2, "what is set shows in the keys: {:?}", keys(&carrier));
        for key in keys(&carrier) {
            assert_eq!(values(&carrier, key).len(), 1, "a key of `keys`, {key}, can be looked up");
        }
        carrier.remove("other_key");
        carrier.remove("never_there");
        assert_eq!(values(&carrier, "other_key"), [""; 0], "what is removed is gone");
        assert_eq!(values(&carrier, "user_key"), ["kept"], "what is not removed stays");
        assert_eq!(keys(&carrier).len(), 1, "what is removed is not in the keys: {:?}", keys(&carrier));
    }

    #[track_caller]
    fn case_is_ignored(&self) {
        for key in ["traceparent", "TraceParent", "TRACEPARENT"] {
            let mut carrier = self.made();
            carrier.set(key, PARENT.to_owned());
            for other in ["traceparent", "tRaCePaReNt", "TRACEPARENT"] {
                assert_eq!(values(&carrier, other), [PARENT], "set as {key}, looked up as {other}");
            }
            assert!(extract(&carrier).is_ok_and(|cx| cx.has_active_span()), "{key} is extracted");
            carrier.set("traceParent", OTHER_PARENT.to_owned());
            assert_eq!(values(&carrier, "traceparent"), [OTHER_PARENT], "set as {key}, replaced as traceParent");
            carrier.remove("TRACEparent");
            assert_eq!(values(&carrier, "traceparent"), [""; 0], "set as {key}, removed as TRACEparent");
        }
    }

    #[track_caller]
    fn keys_are_kept(&self) {
        for key in ["User-Key", "user_key", "TRACEPARENT"] {
            let mut carrier = self.made();
            if carrier.set(key, "1".to_owned()) {
                let spelled = carrier.spelling(key);
                assert_eq!(keys(&carrier), [&*spelled], "{key} is kept as it came, or as `spelling` says");
            }
        }
    }

    #[track_caller]
    fn context_comes_back(&self) {
        let mut carrier = self.made();
        let sent = full_context();
        // A retried message is sent several times.
        for _ in 0..3 {
            assert!(inject(&sent, &mut carrier), "the context is carried");
        }
        assert_eq!(keys(&carrier).len(), KEYS.len(), "nothing but the propagator's keys: {:?}", keys(&carrier));
        let received = extract(&carrier).expect("what is injected can be extracted");
        assert_eq!(trace(&received), trace(&sent), "the trace comes back");
        assert_eq!(baggage(&received), baggage(&sent), "the baggage comes back");
    }

    #[track_caller]
    fn own_keys_are_replaced_and_no_others(&self) {
        let mut carrier = self.with_user_keys(|carrier| {
            for (key, value) in KEYS.into_iter().zip([OTHER_PARENT, "stale=1", "stale=1"]) {
                carrier.set(key, value.to_owned());
            }
        });
        let before = self.user_values(&carrier);
        assert!(inject(&bare_context(), &mut carrier), "the context is carried");
        assert_eq!(values(&carrier, "traceparent"), [PARENT], "the current context wins");
        assert_eq!(values(&carrier, "tracestate"), [""; 0], "no stale tracestate stays");
        assert_eq!(values(&carrier, "baggage"), [""; 0], "no stale baggage stays");
        assert_eq!(self.user_values(&carrier), before, "the user's keys are as they were");
    }

    #[track_caller]
    fn too_much_is_bounded(&self) {
        let mut carrier = self.made();
        carrier.set("traceparent", PARENT.to_owned());
        if carrier.set("tracestate", format!("a={}", "x".repeat(16_447))) {
            let rejected = extract(&carrier).expect_err("a long tracestate is rejected");
            assert_eq!((rejected.key(), rejected.reason()), ("tracestate", Reason::TooLong));
            assert_eq!(trace(&rejected.into_context()), trace(&bare_context()), "and the traceparent stays");
        }

        let mut carrier = self.made();
        let member = |n: usize| format!("k{n}={}", "x".repeat(250));
        if carrier.set("baggage", (0..60).map(member).collect::<Vec<_>>().join(",")) {
            let rejected = extract(&carrier).expect_err("a long baggage is rejected");
            assert_eq!((rejected.key(), rejected.reason()), ("baggage", Reason::TooLong));
            let kept = baggage(&rejected.into_context());
            assert!((30..60).contains(&kept.len()), "{} members of a long baggage are kept", kept.len());
            assert!(kept.iter().all(|(_, value)| value.len() == 250), "of a long baggage, whole members are kept");
        }

        let mut carrier = self.made();
        if carrier.set("traceparent", "0".repeat(1 << 20)) {
            let rejected = extract(&carrier).expect_err("a long traceparent is rejected");
            assert_eq!((rejected.key(), rejected.reason()), ("traceparent", Reason::TooLong));
            assert!(is_empty(&rejected.into_context()), "nothing comes of a long traceparent");
        }
    }

    #[track_caller]
    fn lists_are_cut_between_members(&self) {
        let members = |value: &'static str| (0..30).map(move |n| (format!("k{n}"), value.repeat(50)));
        let state = TraceState::from_key_value(members("s")).expect("a valid tracestate");
        let baggage = members("b").map(|(name, value)| KeyValue::new(name, value));
        let mut carrier = self.made();
        inject(&with_span(&Context::new().with_baggage(baggage), state), &mut carrier);
        for (key, value) in [(TRACESTATE, "s".repeat(50)), (BAGGAGE, "b".repeat(50))] {
            for list in values(&carrier, key) {
                let whole = |member: &str| member.split_once('=').is_some_and(|member| member.1 == value);
                assert!(list.split(',').all(whole), "of a long {key}, whole members are kept: {list}");
            }
        }
    }

    #[track_caller]
    fn room_is_kept(&self) {
        for key in KEYS {
            let mut carrier = self.made();
            let room = carrier.room(key);
            if room < 1 << 20 {
                assert!(!carrier.set(key, "x".repeat(room + 1)), "{key}: the carrier has more room than it tells");
                assert!(carrier.set(key, "x".repeat(room)), "{key}: the carrier has less room than it tells");
            }
        }
    }

    #[track_caller]
    fn repeated_values_keep_their_order(&self, append: &Repeat<'_, C>) {
        let mut carrier = self.with_user_keys(|carrier| append(carrier, "user_two", "another"));
        assert_eq!(self.in_order(&carrier, "user_two"), ["2", "another"], "both values are there, in order");
        let before = self.user_values(&carrier);
        inject(&full_context(), &mut carrier);
        assert_eq!(self.user_values(&carrier), before, "the user's repeated keys are as they were");
        carrier.set("user_two", "one".to_owned());
        assert_eq!(values(&carrier, "user_two"), ["one"], "set replaces all values");
        append(&mut carrier, "user_two", "another");
        carrier.remove("user_two");
        assert_eq!(values(&carrier, "user_two"), [""; 0], "remove removes all values");
    }

    #[track_caller]
    fn repeated_headers_are_joined(&self, append: &Repeat<'_, C>) {
        let mut carrier = self.made();
        for (key, value) in [
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("tracestate", "b=2,c=3"),
            ("baggage", "user=7"),
            ("baggage", "tenant=8,plan=9"),
        ] {
            append(&mut carrier, key, value);
        }
        let cx = extract(&carrier).expect("repeated lists are nothing to reject");
        let state = cx.span().span_context().trace_state().header();
        let mut members: Vec<_> = state.split(',').collect();
        if self.unordered {
            members.sort_unstable();
        }
        assert_eq!(members, ["a=1", "b=2", "c=3"], "several tracestate are joined");
        assert_eq!(baggage(&cx).len(), 3, "several baggage are joined: {:?}", baggage(&cx));

        append(&mut carrier, "traceparent", OTHER_PARENT);
        let rejected = extract(&carrier).expect_err("two traceparent are rejected");
        assert_eq!((rejected.key(), rejected.reason()), ("traceparent", Reason::Malformed));
        assert_eq!(baggage(&rejected.into_context()).len(), 3, "two traceparent leave the baggage");
    }

    #[track_caller]
    fn repeated_headers_are_replaced(&self, append: &Repeat<'_, C>) {
        let mut carrier = self.made();
        for key in ["traceparent", "TraceParent", "tracestate", "TRACESTATE", "baggage", "Baggage"] {
            append(&mut carrier, key, "stale=1");
        }
        assert!(inject(&bare_context(), &mut carrier), "the context is carried");
        assert_eq!(keys(&carrier).len(), 1, "one traceparent is left: {:?}", keys(&carrier));
        assert_eq!(values(&carrier, "traceparent"), [PARENT], "one traceparent is left");
    }

    #[track_caller]
    fn not_text_says_nothing(&self, put: &Spoil<'_, C>) {
        let mut carrier = self.with_user_keys(|carrier| put(carrier, "user_null"));
        let before = self.user_values(&carrier);
        for key in KEYS {
            put(&mut carrier, key);
            let values = values(&carrier, key);
            assert!(values.is_empty() || values == [NOT_TEXT], "a {key} that is not text is none: {values:?}");
        }
        let extracted = extract(&carrier).unwrap_or_else(carrier::Rejected::into_context);
        assert!(is_empty(&extracted), "nothing comes of what is no text");
        assert!(inject(&full_context(), &mut carrier), "the context is carried");
        assert_eq!(trace(&extract(&carrier).expect("all is replaced")), trace(&full_context()), "all is replaced");
        assert_eq!(self.user_values(&carrier), before, "the user's keys are as they were");
    }

    #[track_caller]
    fn not_text_counts(&self, append: &Repeat<'_, C>, put: &Spoil<'_, C>) {
        let mut carrier = self.made();
        append(&mut carrier, "traceparent", PARENT);
        put(&mut carrier, "traceparent");
        let extracted = extract(&carrier).unwrap_or_else(carrier::Rejected::into_context);
        assert!(is_empty(&extracted), "a second traceparent counts, also one that is not text");
    }

    #[track_caller]
    fn frozen_is_read_only(&self, freeze: &Freeze<'_, C>) {
        let mut carrier = self.with_user_keys(|carrier| {
            carrier.set("traceparent", OTHER_PARENT.to_owned());
            carrier.set("tracestate", "a=1".to_owned());
            freeze(carrier);
        });
        let before = self.user_values(&carrier);
        assert!(!inject(&bare_context(), &mut carrier), "a read-only message carries nothing");
        assert_eq!(values(&carrier, "traceparent"), [OTHER_PARENT], "a read-only message stays as it is");
        assert_eq!(values(&carrier, "tracestate"), ["a=1"], "a read-only message stays as it is");
        assert_eq!(self.user_values(&carrier), before, "the user's keys are as they were");
    }

    fn made(&self) -> C {
        match &self.make {
            Make::Empty(make) => make(),
            Make::Holding(make) => make(&[]),
        }
    }

    /// The values of a key, sorted if they have no order.
    fn in_order<'c>(&self, carrier: &'c C, key: &str) -> Vec<&'c str> {
        let mut values = values(carrier, key);
        if self.unordered {
            values.sort_unstable();
        }
        values
    }

    /// Keys of the user before, after and between what `fill` puts there.
    fn with_user_keys(&self, fill: impl FnOnce(&mut C)) -> C {
        let mut carrier = self.made();
        carrier.set("user_one", "1".to_owned());
        carrier.set("user_two", "2".to_owned());
        fill(&mut carrier);
        // Three, because two would be in order again after two removals by swapping.
        for (key, value) in [("user_after", "3"), ("user_next", "4"), ("user_last", "5")] {
            carrier.set(key, value.to_owned());
        }
        carrier
    }

    fn user_values(&self, carrier: &C) -> Vec<(String, Vec<String>)> {
        let mut all: Vec<_> = keys(carrier)
            .into_iter()
            .filter(|key| !KEYS.iter().any(|own| own.eq_ignore_ascii_case(key)))
            .map(|key| (key.to_owned(), self.in_order(carrier, key).into_iter().map(str::to_owned).collect()))
            .collect();
        if self.unordered {
            all.sort();
        }
        all
    }
}

impl<C> fmt::Debug for CarrierContract<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarrierContract")
            .field("unordered", &self.unordered)
            .field("repeats", &self.repeats.is_some())
            .field("not_text", &self.not_text.len())
            .field("read_only", &self.read_only.is_some())
            .finish_non_exhaustive()
    }
}

fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}

fn inject(cx: &Context, carrier: &mut impl Carrier) -> bool {
    carrier::inject_with(&propagator(), cx, carrier)
}

fn extract(carrier: &impl Carrier) -> Result<Context, carrier::Rejected> {
    carrier::try_extract_with(&propagator(), carrier)
}

/// The span of [`PARENT`], and nothing else.
fn bare_context() -> Context {
    with_span(&Context::new(), TraceState::default())
}

fn full_context() -> Context {
    let state = TraceState::from_key_value([("a", "1"), ("b", " 2")]).expect("a valid tracestate");
    let baggage = [KeyValue::new("user", "7"), KeyValue::new("tenant", "a b;c,d=ü")];
    with_span(&Context::new().with_baggage(baggage), state)
}

fn with_span(cx: &Context, state: TraceState) -> Context {
    let trace_id = TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    let span_id = SpanId::from(0x00f0_67aa_0ba9_02b7);
    cx.with_remote_span_context(SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, state))
}

fn trace(cx: &Context) -> SpanContext {
    cx.span().span_context().clone()
}

fn baggage(cx: &Context) -> Vec<(String, String)> {
    let mut all: Vec<_> = cx.baggage().iter().map(|(key, (value, _))| (key.to_string(), value.to_string())).collect();
    all.sort();
    all
}

fn is_empty(cx: &Context) -> bool {
    !cx.has_active_span() && cx.baggage().is_empty()
}

fn keys(carrier: &impl Carrier) -> Vec<&str> {
    carrier.keys().collect()
}

fn values<'a>(carrier: &'a impl Carrier, key: &str) -> Vec<&'a str> {
    carrier.get_all(key).collect()
}
