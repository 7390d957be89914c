//! The contract, a row for each type; and replies of servers that are not here.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use ctxhop::{
    carrier::Carrier,
    clients::redis_1::{Entry, Group},
    messaging::Delivered,
    testing::CarrierContract,
};
use futures::{StreamExt, executor::block_on};
use redis::{Arg, Cmd, Pipeline, RedisFuture, Value, aio::ConnectionLike, streams::StreamId};

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

#[test]
fn fields_of_bytes() {
    let put = |fields: &mut Vec<_>, key: &str, value: &[u8]| fields.push((key.to_owned(), value.to_vec()));
    CarrierContract::new(Vec::<(String, Vec<u8>)>::new)
        .repeats(|fields, key, value| put(fields, key, value.as_bytes()))
        .not_text(|fields, key| put(fields, key, b"\xc3\x28"))
        .check();
}

#[test]
fn stream_id() {
    CarrierContract::reading(|fields| StreamId {
        map: fields.iter().map(|(name, value)| ((*name).to_owned(), bulk(value))).collect(),
        ..StreamId::default()
    })
    .unordered()
    .check();
}

#[test]
fn values_that_are_not_bulk_strings() {
    let map = [("simple", Value::SimpleString("a".into())), ("nothing", Value::Nil), ("number", Value::Int(7))];
    let entry = StreamId { map: map.map(|(name, value)| (name.to_owned(), value)).into(), ..StreamId::default() };
    assert_eq!(entry.get_all("simple").collect::<Vec<_>>(), ["a"]);
    for name in ["nothing", "number"] {
        assert_eq!(entry.get_all(name).collect::<Vec<_>>(), [ctxhop::carrier::NOT_TEXT]);
    }
    assert!(!{ entry }.set("traceparent", "1".into()), "it is only to be read");
}

/// Gives these replies, and keeps what was asked.
#[derive(Clone, Default)]
struct Replies(VecDeque<Value>, Arc<Mutex<Vec<String>>>);

impl<const N: usize> From<[Value; N]> for Replies {
    fn from(replies: [Value; N]) -> Self {
        Self(replies.into(), Arc::default())
    }
}

impl ConnectionLike for Replies {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let text = |argument| match argument {
            Arg::Simple(text) => String::from_utf8_lossy(text).into_owned(),
            other => unreachable!("{other:?}"),
        };
        self.1.lock().unwrap().push(cmd.args_iter().map(text).collect::<Vec<_>>().join(" "));
        let reply = self.0.pop_front().expect("a reply for each command");
        Box::pin(async { Ok(reply) })
    }

    fn req_packed_commands<'a>(&'a mut self, _: &'a Pipeline, _: usize, count: usize) -> RedisFuture<'a, Vec<Value>> {
        let replies = self.0.drain(..count).collect();
        Box::pin(async { Ok(replies) })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Where each claim starts, and how long each read may wait.
fn starts_and_waits(asked: &Mutex<Vec<String>>) -> Vec<String> {
    let short = |asked: &String| match asked.split(' ').collect::<Vec<_>>()[..] {
        ["XAUTOCLAIM", _, _, _, _, start, ..] => format!("claim from {start}"),
        ["XREADGROUP", .., "BLOCK", wait, "STREAMS", _, _] => format!("read for {wait}"),
        _ => unreachable!("{asked}"),
    };
    asked.lock().unwrap().iter().map(short).collect()
}

fn entry(id: &str, fields: &[(&str, &str)]) -> Value {
    let fields = fields.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect();
    Value::Array(vec![bulk(id), Value::Array(fields)])
}

/// The entries that come of these replies, till there are none left.
fn entries<const N: usize>(replies: [Value; N], entries: usize) -> Vec<Entry<Replies>> {
    entries_by(replies.into(), entries)
}

fn entries_by(reading: Replies, entries: usize) -> Vec<Entry<Replies>> {
    entries_of(&Group::new("orders", "billing").claim_after(Duration::from_secs(600)), reading, entries)
}

fn entries_of(group: &Group, reading: Replies, entries: usize) -> Vec<Entry<Replies>> {
    let entries = group.entries("worker-1", reading, Replies::default()).take(entries);
    block_on(entries.map(Result::unwrap).collect())
}

fn read(entries: Vec<Value>) -> Value {
    Value::Array(vec![Value::Array(vec![bulk("orders"), Value::Array(entries)])])
}

fn nothing_claimed() -> Value {
    Value::Array(vec![bulk("0-0"), Value::Array(vec![]), Value::Array(vec![])])
}

#[test]
fn an_entry() {
    CarrierContract::reading(|fields| entries([nothing_claimed(), read(vec![entry("1-0", fields)])], 1).remove(0))
        .check();
}

/// The newer protocol has a map of streams.
#[test]
fn an_entry_by_resp3() {
    let streams = Value::Map(vec![(bulk("orders"), Value::Array(vec![entry("1-0", &[("body", "1")])]))]);
    let mut entries = entries([nothing_claimed(), Value::Nil, streams], 1);
    let message = entries[0].message();
    assert_eq!((message.id.as_str(), message.get("body"), message.delivered_count), ("1-0", Some(1), Some(1)));
    assert_eq!(
        format!("{:?}", entries[0]),
        r#"Entry { stream: "orders", group: "billing", id: "1-0", delivery_count: 1, .. }"#
    );
}

/// Redis 6.2 gives nothing for an entry that was deleted, and does not list it. A sweep goes on where it has ended, and
/// between its parts new entries have their turn.
#[test]
fn a_claim_with_gaps_and_in_parts() {
    let pending =
        |id, count| Value::Array(vec![Value::Array(vec![bulk(id), bulk("w"), Value::Int(9), Value::Int(count)])]);
    let claimed = |cursor, entries| Value::Array(vec![bulk(cursor), Value::Array(entries)]);
    let replies = Replies::from([
        claimed("3-0", vec![Value::Nil, entry("1-0", &[("a", "1")]), entry("2-0", &[("a", "2")])]),
        pending("1-0", 3),
        // Settled in between.
        Value::Array(vec![]),
        read(vec![entry("9-0", &[("a", "9")])]),
        claimed("0-0", vec![Value::Array(vec![bulk("3-0"), Value::Nil]), entry("4-0", &[("a", "4")])]),
        pending("4-0", 2),
        Value::Nil,
        read(vec![entry("10-0", &[("a", "10")])]),
    ]);
    let asked = replies.1.clone();
    let mut entries = entries_by(replies, 5);
    let entries: Vec<_> = entries.iter_mut().map(|entry| (entry.message().id, entry.delivery_count())).collect();
    let expected = [("1-0", 3), ("2-0", 2), ("9-0", 1), ("4-0", 2), ("10-0", 1)];
    assert_eq!(entries, expected.map(|(id, count)| (id.to_owned(), Some(count))));
    // A read waits if there is nothing else to do.
    assert_eq!(
        starts_and_waits(&asked),
        ["claim from 0-0", "read for 1", "claim from 3-0", "read for 1", "read for 250"]
    );
}

#[test]
fn a_group_asks_as_it_says() {
    let group = || Group::new("orders", "billing");
    let cases = [
        (group(), (60_000, 16, 250)),
        (group().claim_after(Duration::from_secs(30)).batch(4).block(Duration::from_millis(100)), (30_000, 4, 100)),
    ];
    for (group, (idle, count, wait)) in cases {
        let replies = Replies::from([nothing_claimed(), read(vec![entry("1-0", &[("a", "1")])])]);
        let asked = replies.1.clone();
        entries_of(&group, replies, 1);
        let expected = [
            format!("XAUTOCLAIM orders billing worker-1 {idle} 0-0 COUNT {count}"),
            format!("XREADGROUP GROUP billing worker-1 COUNT {count} BLOCK {wait} STREAMS orders >"),
        ];
        assert_eq!(*asked.lock().unwrap(), expected);
    }
}

/// Redis has a rest in between, although a claim is always due.
#[test]
fn claims_that_find_nothing_take_turns_with_reads_that_wait() {
    let new = read(vec![entry("1-0", &[("a", "1")])]);
    let replies = Replies::from([nothing_claimed(), Value::Nil, nothing_claimed(), new]);
    let asked = replies.1.clone();
    let entries = entries_of(&Group::new("orders", "billing").claim_after(Duration::ZERO), replies, 1);
    assert_eq!(entries[0].delivery_count(), Some(1));
    assert_eq!(starts_and_waits(&asked), ["claim from 0-0", "read for 250", "claim from 0-0", "read for 250"]);
}

#[test]
fn claims_come_twice_in_the_time_after_which_an_entry_is_claimed() {
    let hour = Duration::from_secs(3600);
    let short = Duration::from_millis(100);
    let new = |id| read(vec![entry(id, &[("a", "1")])]);
    for (claim_after, pause, replies, expected) in [
        (
            hour,
            Duration::ZERO,
            Replies::from([nothing_claimed(), new("1-0"), new("2-0")]),
            &["claim from 0-0", "read for 250", "read for 250"][..],
        ),
        (
            short,
            short / 2,
            Replies::from([nothing_claimed(), new("1-0"), nothing_claimed(), new("2-0")]),
            &["claim from 0-0", "read for 250", "claim from 0-0", "read for 250"],
        ),
    ] {
        let asked = replies.1.clone();
        let group = Group::new("orders", "billing").claim_after(claim_after);
        let mut entries = pin!(group.entries("worker-1", replies, Replies::default()));
        block_on(entries.next()).unwrap().unwrap();
        let came = Instant::now();
        while came.elapsed() < pause {
            thread::yield_now();
        }
        block_on(entries.next()).unwrap().unwrap();
        assert_eq!(starts_and_waits(&asked), expected);
    }
}

#[test]
fn a_claim_that_fails_holds_up_no_new_entry() {
    let replies = Replies::from([Value::Int(7), read(vec![entry("1-0", &[("a", "1")])])]);
    let entries = Group::new("orders", "billing").entries("worker-1", replies, Replies::default());
    let came: Vec<_> = block_on(entries.take(2).map(|entry| entry.is_ok()).collect());
    assert_eq!(came, [false, true]);
}
