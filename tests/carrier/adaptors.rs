//! What goes over a carrier: `Option`, `View`, `Limited`, and that all of them let the message describe itself.

use ctxhop::carrier::{self, Carrier, Headers, Limited, Prefixed, ReadOnly, View};
use opentelemetry::{KeyValue, baggage::BaggageExt, trace::TraceContextExt};
use proptest::{collection::vec, prelude::*};

use crate::{PARENT, propagator, received, span};

/// A message that describes itself.
#[derive(Default)]
struct Message(Headers);

impl Carrier for Message {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        Carrier::get_all(&self.0, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        Carrier::keys(&self.0)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        [KeyValue::new("messaging.message.id", "17")].into_iter()
    }
}

#[test]
fn whatever_goes_over_a_message_describes_it() {
    let expected = [KeyValue::new("messaging.message.id", "17")];
    let mut message = Message::default();
    assert!(message.describe().eq(expected.clone()));
    assert!(ReadOnly(&message).describe().eq(expected.clone()));
    assert!(Carrier::describe(&&mut message).eq(expected.clone()));
    assert!(Prefixed::new("p-", &mut message).describe().eq(expected.clone()));
    assert!(Limited::new(&mut message).describe().eq(expected.clone()));
    assert!(Some(message).describe().eq(expected));
    assert_eq!(None::<Message>.describe().count(), 0);
    assert_eq!(Headers::new().describe().count(), 0);
}

#[test]
fn what_has_no_bodies_for_writing_is_read_only() {
    let mut message = Message(Headers::from_iter([("traceparent", PARENT)]));
    assert!(!message.set("traceparent", "other".to_owned()));
    message.remove("traceparent");
    assert_eq!(message.get_all("traceparent").collect::<Vec<_>>(), [PARENT]);
}

#[test]
fn absent_headers_say_nothing_and_take_nothing() {
    let mut absent: Option<Headers> = None;
    assert!(!carrier::extract_with(&propagator(), &absent).has_active_span());
    assert!(!carrier::inject_with(&propagator(), &received([("traceparent", PARENT)]), &mut absent));
    assert_eq!((absent.keys().count(), absent.room("baggage"), absent.is_none()), (0, 0, true));

    assert!(carrier::inject_with(&propagator(), &received([("traceparent", PARENT)]), absent.get_or_insert_default()));
    assert_eq!(span(&carrier::extract_with(&propagator(), &absent)), span(&received([("traceparent", PARENT)])));
}

#[test]
fn a_view_reads_texts_and_what_is_none_counts() {
    let pairs = [
        (Some(&b"traceparent"[..]), Some(PARENT.as_bytes())),
        (Some(b"\xff"), Some(b"a key that is no text")),
        (None, Some(b"no key")),
        (Some(b"null"), None),
        (Some(b"NULL"), Some(b"\xff")),
    ];
    let view = View::new(|| pairs);
    assert!(carrier::extract_with(&propagator(), &view).has_active_span());
    assert!(view.keys().eq(["traceparent", "null", "NULL"]));
    assert!(view.get_all("null").eq([carrier::NOT_TEXT; 2]));

    // Each type of text that a client's message may have.
    let (text, bytes) = (PARENT.to_owned(), PARENT.as_bytes().to_vec());
    assert!(View::new(|| [("traceparent", &*text)]).get_all("traceparent").eq([PARENT]));
    assert!(View::new(|| [("traceparent", &text)]).get_all("traceparent").eq([PARENT]));
    assert!(View::new(|| [("traceparent", &*bytes)]).get_all("traceparent").eq([PARENT]));
    assert!(View::new(|| [("traceparent", &bytes)]).get_all("traceparent").eq([PARENT]));
}

#[test]
fn of_a_long_list_the_last_members_are_dropped() {
    let cx = received([("traceparent", PARENT), ("tracestate", "a=1,b=22,c=333"), ("baggage", "only=1")]);
    for (room, state) in [(14, Some("a=1,b=22,c=333")), (13, Some("a=1,b=22")), (8, Some("a=1,b=22")), (3, Some("a=1"))]
    {
        let mut message = Headers::from_iter([("tracestate", "stale=1")]);
        let traceparent = ("traceparent", PARENT.to_owned());
        assert!(message.set(traceparent.0, traceparent.1));
        // Only the list is short of room.
        let mut limited = Short { headers: message, key: "tracestate", room };
        assert_eq!(carrier::inject_with(&propagator(), &cx, &mut limited), room == 14);
        assert_eq!(limited.headers.get("tracestate"), state, "{room}");
        assert_eq!(limited.headers.get("baggage"), Some("only=1"));
    }
    let mut limited = Short { headers: Headers::from_iter([("tracestate", "stale=1")]), key: "tracestate", room: 2 };
    assert!(!carrier::inject_with(&propagator(), &cx, &mut limited));
    assert_eq!((limited.headers.get("tracestate"), limited.headers.get("traceparent")), (None, Some(PARENT)));
}

/// One of its keys is short of room.
struct Short {
    headers: Headers,
    key: &'static str,
    room: usize,
}

impl Carrier for Short {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        Carrier::get_all(&self.headers, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        Carrier::keys(&self.headers)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        value.len() <= self.room(key) && self.headers.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        Carrier::remove(&mut self.headers, key);
    }

    fn room(&self, key: &str) -> usize {
        if key == self.key { self.room } else { usize::MAX }
    }
}

#[test]
fn a_limit_in_all_counts_what_replaces_once() {
    let mut limited = Limited::new(Headers::new()).total_bytes(10);
    assert!(limited.set("a", "1234".to_owned()));
    assert!(limited.set("A", "123456".to_owned()), "in place of the first");
    assert!(!limited.set("b", "123".to_owned()));
    assert!(!limited.set("long-key-of-15-", String::new()), "the key alone is too long");
    assert!(limited.set("b", "12".to_owned()));
    limited.remove("a");
    assert!(limited.set("c", "123456".to_owned()));
    assert_eq!(limited.into_inner(), Headers::from_iter([("b", "12"), ("c", "123456")]));
}

proptest! {
    #[test]
    fn no_limit_is_ever_exceeded_and_no_member_cut(
        members in vec(("[a-z]{1,8}", "[a-zA-Z0-9 ,;=%]{0,20}"), 0..20),
        value in 0..200_usize,
        total in 0..300_usize,
        prefix in "[a-z]{0,5}",
    ) {
        let baggage: Vec<_> = members.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect();
        let cx = received([("traceparent", PARENT), ("tracestate", "a=1,b=2")]).with_baggage(baggage);
        let limited = Limited::new(Headers::new()).value_bytes(value).total_bytes(total);
        let mut message = Prefixed::new(prefix.clone(), limited);
        let whole = carrier::inject_with(&propagator(), &cx, &mut message);
        let headers = message.inner().inner();
        prop_assert!(headers.iter().all(|(_, text)| text.len() <= value));
        prop_assert!(headers.iter().map(|(key, text)| key.len() + text.len()).sum::<usize>() <= total);

        let seen = carrier::extract_with(&propagator(), &message);
        for (name, (value, _)) in seen.baggage() {
            prop_assert_eq!(cx.baggage().get(name.as_str()).map(|sent| sent.as_str().trim()), Some(value.as_str().trim()));
        }
        if whole {
            prop_assert_eq!(seen.baggage().len(), cx.baggage().len());
            prop_assert_eq!(span(&seen), span(&cx));
        }
    }
}
