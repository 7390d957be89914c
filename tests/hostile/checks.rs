//! What holds for any message. The tests beside this file call these checks with messages that are likely to go wrong, and
//! the fuzz targets, in `fuzz/`, with any bytes.

use std::{cell::Cell, str::from_utf8};

use ctxhop::{
    carrier::{
        Carrier, Headers, NOT_TEXT, Rejected,
        envelope::{self, Flaw},
        extract_with, inject_with, try_extract_with,
    },
    propagation::{BaggagePropagator, TraceContextPropagator},
};
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    propagation::{TextMapCompositePropagator, TextMapPropagator},
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::propagation::BaggagePropagator as SdkBaggagePropagator;

/// A message, from lines of `name: value`. Values are any bytes.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    headers: Vec<(String, Vec<u8>)>,
    /// How many headers have been looked at.
    work: Cell<usize>,
}

impl Message {
    fn new(input: &[u8]) -> Self {
        let header = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]);
            Some((String::from_utf8_lossy(&line[..colon]).into_owned(), value.to_vec()))
        };
        let headers = input.split(|byte| *byte == b'\n').filter_map(header).collect();
        Self { headers, work: Cell::new(0) }
    }

    fn values(&self, key: &str) -> Vec<&str> {
        self.get_all(key).collect()
    }

    /// What is not the propagators'.
    fn others(&self) -> Vec<(String, Vec<u8>)> {
        let own = |name: &str| KEYS.iter().any(|key| key.eq_ignore_ascii_case(name));
        self.headers.iter().filter(|(name, _)| !own(name)).cloned().collect()
    }
}

impl Carrier for Message {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let look = |_: &&_| self.work.set(self.work.get() + 1);
        let named = self.headers.iter().inspect(look).filter(move |(name, _)| name.eq_ignore_ascii_case(key));
        named.map(|(_, value)| from_utf8(value).unwrap_or(NOT_TEXT))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.remove(key);
        self.headers.push((key.to_owned(), value.into_bytes()));
        true
    }

    fn remove(&mut self, key: &str) {
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
    }
}

const KEYS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// A trace is read exactly if the recommendation allows it, and what is read can be sent and read again.
pub(crate) fn propagator(input: &[u8]) {
    let propagator = TraceContextPropagator::new();
    let message = Message::new(input);
    let cx = extract_with(&propagator, &message);

    let parents = message.values("traceparent");
    let valid = matches!(*parents, [parent] if is_traceparent(parent));
    assert_eq!(cx.has_active_span(), valid, "{parents:?}");

    let mut sent = Headers::new();
    assert_eq!(inject_with(&propagator, &cx, &mut sent), valid);
    if !valid {
        assert!(sent.is_empty(), "{sent:?}");
        return;
    }
    let parent = sent.get("traceparent").expect("there is a trace");
    assert!(is_traceparent(parent) && parent.len() == 55 && parent.starts_with("00-"), "{parent}");
    assert_eq!(parent[3..53], parents[0][3..53], "the ids go on");

    let states = message.values("tracestate").join(",");
    let members = members(&states).filter(|_| states.len() <= 16_447 && message.values("tracestate").len() <= 64);
    let expected = members.filter(|members| !members.is_empty()).map(|members| members.join(","));
    assert_eq!(sent.get("tracestate"), expected.as_deref(), "of {states:?}");

    let received = extract_with(&propagator, &sent);
    assert_eq!(span(&received), span(&cx), "what is sent is received");
    let mut again = Headers::new();
    inject_with(&propagator, &received, &mut again);
    assert_eq!(again, sent, "and sent again");
}

/// The grammar, byte by byte.
fn is_traceparent(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(|byte| b"0123456789abcdef".contains(byte));
    let zero = |range: std::ops::Range<usize>| bytes[range].iter().all(|byte| *byte == b'0');
    (55..=8192).contains(&bytes.len())
        && [0..2, 3..35, 36..52, 53..55].into_iter().all(digits)
        && [2, 35, 52].iter().all(|at| bytes[*at] == b'-')
        && !zero(3..35)
        && !zero(36..52)
        && !value.starts_with("ff")
        && (bytes.len() == 55 || !value.starts_with("00") && bytes[55] == b'-')
}

/// The members of a tracestate, the first of each key. `None` if it breaks the grammar.
fn members(list: &str) -> Option<Vec<&str>> {
    let all: Vec<_> =
        list.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|it| !it.is_empty()).collect();
    let valid = |member: &&str| {
        let Some((key, value)) = member.split_once('=') else { return false };
        let first = key.starts_with(|it: char| it.is_ascii_lowercase() || it.is_ascii_digit());
        let rest = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "_-*/@".contains(it);
        let graphic = |it: char| matches!(it, ' '..='~') && it != '=';
        first
            && key.chars().all(rest)
            && key.len() <= 256
            && (1..=256).contains(&value.len())
            && value.chars().all(graphic)
    };
    if all.len() > 32 || !all.iter().all(valid) {
        return None;
    }
    let mut firsts: Vec<&str> = Vec::new();
    for member in all {
        let key = |member: &str| member.split('=').next().map(str::to_owned);
        if !firsts.iter().any(|first| key(first) == key(member)) {
            firsts.push(member);
        }
    }
    Some(firsts)
}

/// A baggage is read as its grammar says, and sent on without another member or line, by whatever propagator.
pub(crate) fn baggage(input: &[u8]) {
    let (ours, sdk) = (BaggagePropagator::new(), SdkBaggagePropagator::new());
    let message = Message::new(input);
    let cx = extract_with(&ours, &message);
    assert_eq!(entries(&cx), baggage_members(&message.values("baggage")), "{:?}", message.values("baggage"));

    for reads in [&ours as &dyn TextMapPropagator, &sdk] {
        let cx = extract_with(reads, &message);
        for (writes, is_sdk) in [(&ours as &dyn TextMapPropagator, false), (&sdk, true)] {
            let mut sent = Headers::new();
            let whole = inject_with(writes, &cx, &mut sent);
            let list = sent.get("baggage").unwrap_or_default();
            assert!(list.bytes().all(|byte| matches!(byte, b' '..=b'~')) && list.len() <= 8192, "{list:?}");
            let received = extract_with(&ours, &sent);
            for (name, (value, _)) in received.baggage() {
                let known = cx.baggage().get(name.as_str());
                assert!(known.is_some(), "{name} was added: {list:?}");
                // The SDK's propagator trims values and does not encode `%` and `\\`.
                assert!(is_sdk || known == Some(value), "{list:?}");
            }
            if whole && !is_sdk {
                assert_eq!(received.baggage().len(), cx.baggage().len(), "{list:?}");
            }
        }
    }

    let mut sent = Headers::new();
    if inject_with(&ours, &cx, &mut sent) {
        assert_eq!(entries(&extract_with(&ours, &sent)), entries(&cx), "what is sent is received");
    }
}

/// Names, values and metadata, sorted.
fn entries(cx: &Context) -> Vec<(String, String, String)> {
    let entry =
        |(name, (value, metadata)): (&_, &(_, _))| (format!("{name}"), format!("{value}"), format!("{metadata}"));
    let mut all: Vec<_> = cx.baggage().iter().map(entry).collect();
    all.sort();
    all
}

/// The grammar, part by part, without regard to the cost.
fn baggage_members(headers: &[&str]) -> Vec<(String, String, String)> {
    let octet = |it: char| matches!(it, '!' | '#'..='+' | '-'..=':' | '<'..='[' | ']'..='~');
    let token = |key: &str| {
        !key.is_empty() && key.chars().all(|it| it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it))
    };
    let trim = |text: &str| text.trim_matches([' ', '\t']).to_owned();
    let digits = |text: &str, at: usize| {
        let two = text.get(at + 1..at + 3).filter(|two| two.chars().all(|it| it.is_ascii_hexdigit()));
        two.map(|two| u8::from_str_radix(two, 16).expect("two digits"))
    };
    let (mut members, mut bytes, mut count) = (std::collections::BTreeMap::new(), 0, 0);
    for member in headers
        .iter()
        .take(64)
        .flat_map(|header| header.strip_prefix(NOT_TEXT).filter(|rest| rest.is_empty()).unwrap_or(header).split(','))
    {
        let end = bytes + member.len();
        bytes = end + 1;
        count += usize::from(!trim(member).is_empty());
        if end > 8192 || count > 64 {
            break;
        }
        let mut parts = member.split(';');
        let Some((key, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
        let (key, value) = (trim(key), trim(value));
        if !value.chars().all(octet) {
            continue;
        }
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < value.len() {
            let code = digits(&value, at).filter(|_| value.as_bytes()[at] == b'%');
            decoded.push(code.unwrap_or(value.as_bytes()[at]));
            at += if code.is_some() { 3 } else { 1 };
        }
        let properties = parts.filter_map(|property| match property.split_once('=') {
            None => Some(trim(property)).filter(|key| token(key)),
            Some((key, value)) => {
                let (key, value) = (trim(key), trim(value));
                let stray = |(at, it): (usize, char)| {
                    if it == '%' && digits(&value, at).is_none() { "%25".to_owned() } else { it.to_string() }
                };
                let valid = token(&key) && value.chars().all(octet);
                valid.then(|| format!("{key}={}", value.char_indices().map(stray).collect::<String>()))
            }
        });
        let metadata = properties.collect::<Vec<_>>().join(";");
        // Each with a `;` before it, as they are sent on.
        let sent = member.split_once(';').map_or(0, |(_, properties)| 1 + properties.len());
        let longer = metadata.len().saturating_sub(sent);
        bytes += longer;
        if end + longer > 8192 {
            break;
        }
        if !token(&key) {
            continue;
        }
        members.insert(key, (String::from_utf8_lossy(&decoded).into_owned(), metadata));
    }
    members.into_iter().map(|(key, (value, metadata))| (key, value, metadata)).collect()
}

/// Any headers make a bounded context, with bounded work. It can be put back among them, and the other headers stay.
pub(crate) fn extract(input: &[u8]) {
    extract_by(input, Box::new(BaggagePropagator::new()));
    extract_by(input, Box::new(SdkBaggagePropagator::new()));
}

fn extract_by(input: &[u8], baggage: Box<dyn TextMapPropagator + Send + Sync>) {
    let propagator: &dyn TextMapPropagator =
        &TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), baggage]);
    let message = Message::new(input);
    let result = try_extract_with(propagator, &message);
    // Each key is looked up a few times, whatever is there.
    assert!(message.work.get() <= 10 * message.headers.len(), "{} of {}", message.work.get(), message.headers.len());
    if message.others() == message.headers {
        assert!(result.is_ok(), "there was nothing to reject: {result:?}");
    }

    let cx = result.unwrap_or_else(Rejected::into_context);
    let size: usize = cx.baggage().iter().map(|(name, (value, _))| name.as_str().len() + value.as_str().len()).sum();
    assert!(cx.baggage().len() <= 64 && size <= 8192, "{} members of {size} bytes", cx.baggage().len());
    assert!(span(&cx).trace_state().header().len() <= 16_447);
    assert_eq!(span(&extract_with(propagator, &message)), span(&cx), "`extract` makes the same of it");

    // As extracted by nobody who is current here.
    let _guard = Context::new().with_value("current").attach();
    assert_eq!(extract_with(propagator, &message).get::<&str>(), None);

    let mut forwarded = message.clone();
    inject_with(propagator, &cx, &mut forwarded);
    assert_eq!(forwarded.others(), message.others(), "the others are as they were");
    if cx.has_active_span() {
        assert_eq!(forwarded.values("traceparent").len(), 1);
        assert_eq!(span(&extract_with(propagator, &forwarded)), span(&cx), "what is sent is received");
    }
    if !cx.baggage().is_empty() {
        let list = forwarded.values("baggage").concat();
        assert!(list.len() <= 8192 && list.split(',').count() <= 64, "of a baggage, no more is sent than is received");
    }
    if !cx.has_active_span() && cx.baggage().is_empty() {
        assert_eq!(forwarded.headers, message.headers, "nothing to say changes nothing");
    }
}

/// Whatever is opened can be put together again, and whatever cannot be opened comes back.
pub(crate) fn envelope(input: &[u8]) {
    match envelope::open(input) {
        Ok((headers, payload)) => {
            assert_eq!(payload.start() + payload.len(), input.len());
            if payload.start() == 0 {
                assert!(headers.is_empty() && *payload == *input, "what is not in an envelope is all payload");
            } else {
                assert_eq!(
                    envelope::seal(&headers, &payload).expect("it was in one"),
                    input,
                    "there is one way to seal it"
                );
            }
            assert_eq!(payload.into_message(), input);
        }
        Err(error) => {
            assert!(input.starts_with(b"\xf5ctxhop"), "only what begins like an envelope is broken: {error}");
            assert_eq!((&*error.into_payload(), error.into_message()), (input, input), "the message comes back");
        }
    }

    // The same bytes as headers and as a payload.
    let headers = Message::new(input)
        .headers
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    let headers = Headers::from_iter(headers);
    let length: usize = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    let sealed = envelope::seal(&headers, input);
    assert_eq!(sealed.is_ok(), length <= 65_535);
    let Ok(mut sealed) = sealed else { return };
    let (opened, payload) = envelope::open(&*sealed).expect("what is sealed opens");
    assert_eq!((&opened, &*payload), (&headers, input));
    let front = payload.start();
    for end in [7, front / 2 + 4, front - 1] {
        let flaw = envelope::open(&sealed[..end]).map(drop).map_err(|error| error.flaw());
        assert_eq!(flaw, Err(Flaw::Truncated), "cut off after {end} of {front}");
    }
    sealed[7] = sealed[7].wrapping_add(1);
    assert!(envelope::open(sealed).is_err_and(|error| error.flaw() == Flaw::Version(2)));
}

fn span(cx: &Context) -> SpanContext {
    cx.span().span_context().clone()
}
