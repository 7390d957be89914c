//! What fields may hold: anything.

use std::io;

use ctxhop::{
    Snapshot,
    carrier::{self, Carrier, NOT_TEXT, Reason},
    clients::redis_1::added,
};
use ctxhop_brokers::rig::propagator;
use opentelemetry::{Context, KeyValue, baggage::BaggageExt, trace::TraceContextExt};
use redis::{
    AsyncTypedCommands, Value,
    streams::{StreamId, StreamReadOptions},
};

use crate::shop::{Shop, no_apples};

const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// As any client may.
async fn add(shop: &Shop, fields: &[(&[u8], &[u8])]) {
    shop.connection.clone().xadd("orders", "*", fields).await.unwrap();
}

/// The fields of the only dead letter, as Redis has them.
async fn dead_letter(shop: &Shop) -> Vec<Value> {
    let mut range = redis::cmd("XRANGE");
    range.arg("orders.dead").arg("-").arg("+");
    let entries: Vec<(Value, Vec<Value>)> = range.query_async(&mut shop.connection.clone()).await.unwrap();
    assert_eq!(entries.len(), 1);
    entries.into_iter().next().unwrap().1
}

#[tokio::test]
async fn a_context_travels_beside_fields_of_any_bytes() {
    let shop = Shop::new().await;
    let mut fields = vec![("body".to_owned(), b"\0\xff\r\n".to_vec()), ("body".to_owned(), Vec::new())];
    let baggage = Context::new().with_baggage([KeyValue::new("tenant", "a b;c,d=ü")]);
    let send = baggage.run(|| shop.orders.send(&mut fields)).on_ok(added);
    let mut connection = shop.connection.clone();
    send.run_async(|| connection.xadd("orders", "*", &fields)).await.unwrap();
    let handler = async |entry: StreamId| {
        assert_eq!(Context::current().baggage().get("tenant").unwrap().as_str(), "a b;c,d=ü");
        assert_eq!(entry.map["body"], Value::BulkString(Vec::new()), "a map has the last of two");
        Err(no_apples())
    };
    assert_eq!(shop.handle(1, 1, handler).await.rejected, 1);
    shop.rig.tree().assert_single_trace();
    let dead = dead_letter(&shop).await;
    let body = || Value::BulkString(b"body".to_vec());
    let two = [body(), Value::BulkString(b"\0\xff\r\n".to_vec()), body(), Value::BulkString(Vec::new())];
    assert_eq!(dead[..4], two, "a dead letter has both");
    assert_eq!(dead.len(), 8);
}

#[tokio::test]
async fn hostile_fields_do_no_harm() {
    let shop = Shop::new().await;
    let huge = vec![0xff; 1 << 20];
    let many: Vec<_> = (0..300).map(|n| n.to_string().into_bytes()).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_slice(), PARENT)).collect();
    let hostile: [&[(&[u8], &[u8])]; 9] = [
        &[(b"\xff", b"a name that is not UTF-8"), (b"\xfe", b"another")],
        &[(b"", b"")],
        &[(b"traceparent", b"\xff\xfe"), (b"baggage", b"\xff"), (b"tracestate", b"\xff")],
        &[(b"traceparent", b""), (b"baggage", b""), (b"tracestate", b"")],
        &[(b"traceparent", PARENT), (b"TraceParent", PARENT)],
        &[(b"traceparent\0", PARENT), (b"trace\r\nparent", PARENT)],
        &[(b"traceparent", &huge), (&huge, b"")],
        &[(b"baggage", &huge)],
        &many,
    ];
    for fields in hostile {
        add(&shop, fields).await;
    }
    let handler = async |_| {
        assert!(!Context::current().span().span_context().is_remote(), "nothing comes of hostile fields");
        assert!(Context::current().baggage().is_empty());
        Ok(())
    };
    let tally = shop.handle(hostile.len(), 1, handler).await;
    assert_eq!((tally.acked, tally.panicked), (hostile.len() as u64, 0));
    assert_eq!(shop.rig.tree().roots().len(), 2 * hostile.len(), "each is a trace of its own");
}

#[tokio::test]
async fn hostile_fields_are_dead_letters_as_they_came() {
    let shop = Shop::new().await;
    let fields: [(&[u8], &[u8]); 4] = [(b"\xff", b"1"), (b"\xfe", b"\0"), (b"a", b"2"), (b"a", b"3")];
    add(&shop, &fields).await;
    let handler = async |entry: StreamId| {
        assert_eq!(entry.keys().collect::<std::collections::BTreeSet<_>>(), ["a", NOT_TEXT].into());
        Err(no_apples())
    };
    assert_eq!(shop.handle(1, 1, handler).await.rejected, 1);
    let sent: Vec<_> =
        fields.iter().flat_map(|(name, value)| [name, value]).map(|b| Value::BulkString(b.to_vec())).collect();
    assert_eq!(dead_letter(&shop).await, sent);
}

/// A map hides it; an entry shows it.
#[tokio::test]
async fn a_traceparent_that_is_there_twice_is_rejected() {
    let shop = Shop::new().await;
    add(&shop, &[(b"traceparent", PARENT), (b"traceparent", PARENT), (b"baggage", b"tenant=7")]).await;
    let entry = shop.next("worker-1").await;
    let rejected = carrier::try_extract_with(&propagator(), &entry).unwrap_err();
    assert_eq!((rejected.key(), rejected.reason()), ("traceparent", Reason::Malformed));
    assert_eq!(rejected.into_context().baggage().len(), 1);
}

/// It is why the loop does not read by redis' own types.
#[tokio::test]
async fn redis_reads_no_name_that_is_not_utf8() {
    let mut shop = Shop::new().await;
    add(&shop, &[(b"body", b"two apples")]).await;
    add(&shop, &[(b"\xff", b"")]).await;
    let options = StreamReadOptions::default().group("billing", "worker-1");
    shop.connection.xread_options(&["orders"], &[">"], &options).await.unwrap_err();
    assert_eq!(shop.pending().await, 2, "both are delivered, and nobody has seen them");
    assert_eq!(shop.handle(2, 3, async |_| Ok::<_, io::Error>(())).await.acked, 2);
}
