//! Headers that are stored: what comes back, and the traces of messages that wait in a table.

use std::io;

use ctxhop::{
    Snapshot,
    carrier::{Carrier, Headers},
    messaging::Destination,
    propagation::TraceContextPropagator,
    testing::TraceRecorder,
};
use opentelemetry::{
    Context,
    trace::{SpanId, TraceContextExt, Tracer},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[test]
fn stored_headers_are_a_list_of_pairs() {
    let headers = Headers::from_iter([("Via", "a"), ("traceparent", "00"), ("via", "ü\"\n"), ("", "")]);
    let stored = serde_json::to_string(&headers).unwrap();
    assert_eq!(stored, r#"[["Via","a"],["traceparent","00"],["via","ü\"\n"],["",""]]"#);
    let restored: Headers = serde_json::from_str(&stored).unwrap();
    assert_eq!(restored, headers);
    let copied: Vec<_> = restored.into_iter().map(|(name, _)| matches!(name, Cow::Owned(_))).collect();
    assert_eq!(copied, [true, false, true, true], "W3C's names are not copied");
    assert_eq!(serde_json::from_slice::<Headers>(b"[]").unwrap(), Headers::new());
    assert_eq!(serde_json::from_value::<Headers>(serde_json::to_value(&headers).unwrap()).unwrap(), headers);

    for broken in ["{}", "1", r#"[["a"]]"#, r#"[["a", 1]]"#, r#"["a"]"#] {
        let error = serde_json::from_str::<Headers>(broken).unwrap_err().to_string();
        assert!(!error.is_empty(), "{broken}");
    }
    let error = serde_json::from_str::<Headers>("{}").unwrap_err().to_string();
    assert!(error.contains("a list of pairs of a name and a value"), "{error}");
}

#[derive(Serialize, Deserialize)]
struct Row {
    headers: Headers,
    payload: String,
}

/// What each process has.
struct Process {
    recorder: TraceRecorder,
    orders: Destination,
}

impl Process {
    fn new() -> Self {
        let recorder = TraceRecorder::new();
        let orders = Destination::new("kafka", "orders")
            .with_tracer_provider(recorder.provider())
            .with_propagator(TraceContextPropagator::new());
        Self { recorder, orders }
    }

    /// The spans of a name: their ids, their parents' and those that they link to.
    fn spans(&self, name: &str) -> Vec<(SpanId, SpanId, Vec<SpanId>)> {
        let spans = self.recorder.spans();
        let named = spans.iter().filter(|span| span.name == name);
        let linked = |span: &opentelemetry_sdk::trace::SpanData| {
            span.links.iter().map(|link| link.span_context.span_id()).collect()
        };
        named.map(|span| (span.span_context.span_id(), span.parent_span_id, linked(span))).collect()
    }
}

#[test]
fn a_message_waits_in_a_table_and_is_sent_later_by_another_process() {
    // A request stores the message with its data.
    let service = Process::new();
    let request = Context::new().with_span(service.recorder.tracer("test").start("request"));
    let request_id = request.span().span_context().span_id();
    let mut row = Row { headers: Headers::new(), payload: "two apples".to_owned() };
    let stored = request.run(|| service.orders.create(&mut row.headers).run(|| serde_json::to_string(&row)));
    let mut stored = stored.unwrap();
    let [(creation, parent, _)] = service.spans("create orders")[..] else { panic!("one creation") };
    assert_eq!(parent, request_id);

    // Another process sends it, fails, stores it again, and tries once more.
    let relay = Process::new();
    let mut sent = None;
    for attempt in 1..=2 {
        let mut row: Row = serde_json::from_str(&stored).unwrap();
        let result = relay.orders.send(&mut row.headers).run(|| match attempt {
            1 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            _ => Ok(()),
        });
        stored = serde_json::to_string(&row).unwrap();
        if result.is_ok() {
            sent = Some(row);
        }
    }
    let sends = relay.spans("send orders");
    assert_eq!(sends.len(), 2);
    for (_, parent, links) in sends {
        assert_eq!((parent, links), (SpanId::INVALID, vec![creation]), "each attempt links to the creation");
    }

    // Whoever receives it is in the trace of the request.
    let Row { headers, payload } = sent.unwrap();
    assert_eq!((Carrier::get_all(&headers, "traceparent").count(), &*payload), (1, "two apples"));
    let receiver = Process::new();
    receiver.orders.process(&headers).run(|| ());
    let [(_, parent, ref links)] = receiver.spans("process orders")[..] else { panic!("one processing") };
    assert_eq!((parent, &links[..]), (creation, &[creation][..]));
}
