//! The envelope: what is sealed opens, what is not passes, what is broken comes back.

use ctxhop::carrier::{
    Headers,
    envelope::{self, Flaw, OpenError},
};
use proptest::{collection::vec, prelude::*};
use serde::Deserialize;

const MAGIC: &[u8] = b"\xf5ctxhop";

#[test]
fn the_frame_is_as_documented() {
    let headers = Headers::from_iter([("a", "bc"), ("", "")]);
    let message = envelope::seal(&headers, b"body").unwrap();
    assert_eq!(message, b"\xf5ctxhop\x01\x00\x0b\x00\x01a\x00\x02bc\x00\x00\x00\x00body");
    assert_eq!(open(&message), Ok((headers, &b"body"[..])));
}

/// What `docs/envelope.md` promises to implementations in other languages.
#[derive(Deserialize)]
struct Vector {
    name: String,
    message: String,
    flaw: Option<String>,
    headers: Option<Headers>,
    payload: Option<String>,
}

#[test]
fn the_test_vectors_hold() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../docs/envelope-vectors.json")).unwrap();
    let mut kinds = [0; 4];
    for Vector { name, message, flaw, headers, payload } in vectors {
        let message = bytes(&message);
        match (open(&message), flaw) {
            (Ok((opened, body)), None) => {
                let (headers, payload) = (headers.expect("headers"), bytes(&payload.expect("a payload")));
                assert_eq!((&opened, body), (&headers, &*payload), "{name}");
                if message.starts_with(MAGIC) {
                    assert_eq!(envelope::seal(&headers, &payload).unwrap(), message, "{name}");
                    kinds[0] += 1;
                }
            }
            (Err(error), Some(flaw)) => {
                let (kind, said) = match error.flaw() {
                    Flaw::Truncated => (1, "truncated"),
                    Flaw::Version(_) => (2, "version"),
                    _ => (3, "malformed"),
                };
                assert_eq!((said, error.into_message()), (&*flaw, &*message), "{name}");
                kinds[kind] += 1;
            }
            (opened, flaw) => panic!("{name}: {opened:?}, and not {flaw:?}"),
        }
    }
    assert!(kinds.iter().all(|count| *count > 1), "{kinds:?}");
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// The length is the headers' alone.
#[test]
fn a_payload_may_be_of_any_size() {
    let headers = Headers::from_iter([("k", "v")]);
    for size in [0, 256 << 20] {
        let mut message = envelope::open_ended(&headers).unwrap();
        message.resize(message.len() + size, 7);
        let at = message.as_ptr();
        let (opened, payload) = envelope::open(message).unwrap();
        assert_eq!((opened, payload.len(), payload.start()), (headers.clone(), size, 16));
        assert!(payload.last().is_none_or(|last| *last == 7));
        let message = payload.into_message();
        assert_eq!(message.as_ptr(), at, "nothing is copied");
    }
}

#[test]
fn a_foreign_payload_passes() {
    for payload in [&b""[..], b"hello", b"\xf5", b"\xf5ctxho", b"\xf5CTXHOP\x01", b"ctxhop\x01"] {
        assert_eq!(open(payload), Ok((Headers::new(), payload)));
    }
}

#[test]
fn one_envelope_is_opened_at_a_time() {
    let inner = envelope::seal(&Headers::from_iter([("traceparent", "inner")]), b"body").unwrap();
    let outer = envelope::seal(&Headers::from_iter([("traceparent", "outer")]), &inner).unwrap();
    let (headers, payload) = open(&outer).unwrap();
    assert_eq!((headers.get("traceparent"), payload), (Some("outer"), &*inner));
    let (headers, payload) = open(payload).unwrap();
    assert_eq!((headers.get("traceparent"), payload), (Some("inner"), &b"body"[..]));
}

#[test]
fn a_truncated_envelope_comes_back() {
    let message = envelope::seal(&Headers::from_iter([("traceparent", "00"), ("b", "c")]), b"").unwrap();
    for end in MAGIC.len()..message.len() {
        let error = open(&message[..end]).unwrap_err();
        assert_eq!((error.flaw(), error.into_message()), (Flaw::Truncated, &message[..end]));
    }
}

#[test]
fn a_hostile_envelope_comes_back() {
    for (rest, flaw, text) in [
        (&b"\x02\x00\x00"[..], Flaw::Version(2), "the envelope is of version 2, not 1"),
        (b"\x01\xff\xff", Flaw::Truncated, "the envelope ends before its headers do"),
        (b"\x01\x00\x01\x00", Flaw::Malformed, "the envelope's headers are malformed"),
        (b"\x01\x00\x04\xff\xff\xff\xff", Flaw::Malformed, "the envelope's headers are malformed"),
        // The value would reach into the payload.
        (b"\x01\x00\x04\x00\x00\x00\x01payload", Flaw::Malformed, "the envelope's headers are malformed"),
        (b"\x01\x00\x05\x00\x01\xff\x00\x00", Flaw::Malformed, "the envelope's headers are malformed"),
    ] {
        let message = [MAGIC, rest].concat();
        let error = open(&message).unwrap_err();
        assert_eq!((error.flaw(), error.into_message(), &*error.to_string()), (flaw, &*message, text));
        assert!(!format!("{error:?}").contains("99"), "the bytes are not in the log");
    }
}

#[test]
fn headers_that_are_too_long_are_refused() {
    let headers = |length| Headers::from_iter([("k", "v".repeat(length))]);
    let longest = envelope::seal(&headers(65530), b"body").unwrap();
    assert_eq!(open(&longest), Ok((headers(65530), &b"body"[..])));
    let error = envelope::seal(&headers(65531), b"body").unwrap_err();
    assert_eq!(error.to_string(), "65536 bytes of headers are too long for an envelope, which takes 65535");
    assert!(envelope::open_ended(&headers(1 << 20)).is_err());
}

#[test]
fn the_payload_is_copied_once() {
    let message = envelope::seal(&Headers::from_iter([("k", "v")]), &[7; 1000]).unwrap();
    assert_eq!(message.capacity(), message.len());
}

#[test]
fn a_message_is_moved_and_not_copied() {
    let sealed = envelope::seal(&Headers::from_iter([("k", "v")]), b"body").unwrap();
    let at = sealed.as_ptr();
    let (_, payload) = envelope::open(sealed.clone()).unwrap();
    assert_eq!((&*payload, payload.as_ref(), &sealed[payload.start()..]), (&b"body"[..], &b"body"[..], &b"body"[..]));
    assert_eq!(format!("{payload:?}"), "Payload(4 bytes)");
    assert_eq!(payload.into_message(), sealed);

    let (_, payload) = envelope::open(sealed).unwrap();
    let message = payload.into_message();
    assert_eq!(message.as_ptr(), at);

    let broken = [MAGIC, b"\x01"].concat();
    let error = envelope::open(broken.clone()).unwrap_err();
    assert_eq!(*error.clone().into_payload(), *broken);
    let error: Box<dyn std::error::Error + Send + Sync> = error.into();
    assert_eq!(error.to_string(), "the envelope ends before its headers do");
}

/// With the payload as a slice, to compare.
fn open(message: &[u8]) -> Result<(Headers, &[u8]), OpenError<&[u8]>> {
    let (headers, payload) = envelope::open(message)?;
    assert!(message.ends_with(&payload));
    Ok((headers, &message[payload.start()..]))
}

fn headers() -> impl Strategy<Value = Headers> {
    vec((any::<String>(), any::<String>()), 0..8).prop_map(Headers::from_iter)
}

proptest! {
    #[test]
    fn what_is_sealed_opens(headers in headers(), payload in vec(any::<u8>(), 0..100)) {
        let message = envelope::seal(&headers, &payload).unwrap();
        prop_assert_eq!(open(&message), Ok((headers.clone(), &*payload)));
        let mut message = envelope::open_ended(&headers).unwrap();
        message.extend(&payload);
        prop_assert_eq!(open(&message), Ok((headers, &*payload)));
    }

    #[test]
    fn nothing_is_lost(rest in vec(any::<u8>(), 0..200), version in prop_oneof![Just(1), any::<u8>()]) {
        let message = [MAGIC, &[version, 0], &rest].concat();
        match open(&message) {
            Ok((_, payload)) => prop_assert!(message.ends_with(payload)),
            Err(error) => prop_assert_eq!(error.into_message(), &*message),
        }
    }
}
