//! The context in the headers of a message: [`inject`] on one side, [`extract`] on the other.
//!
//! ```
//! use ctxhop::{carrier::{self, Headers}, propagation::TraceContextPropagator};
//! use opentelemetry::Context;
//!
//! // Once, at the start of the program:
//! opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
//!
//! let mut headers = Headers::new();
//! headers.append("content-type", "application/json");
//! carrier::inject(&Context::current(), &mut headers);
//! // … the message travels …
//! let cx = carrier::extract(&headers);
//! ```
//!
//! What the headers say is up to the global propagator; where they are is up to the [`Carrier`]:
//!
//! | carrier | for |
//! |---|---|
//! | [`Headers`] | messages of your own |
//! | `HashMap<String, String>`, `BTreeMap<String, String>` | attributes, metadata |
//! | `Vec<(String, String)>` | ordered pairs that may repeat: MQTT 5 user properties |
//! | [`Prefixed`] | maps that others use as well: Pub/Sub's `googclient_` |
//! | [`Limited`] | protocols with little room: Pub/Sub's 1,024 bytes a value |
//! | [`View`] | reading any other pairs, without a type of your own |
//! | `Option` of a carrier | headers that may be absent |
//! | [`Command`](std::process::Command), [`Environment`] | a child process, and this one |
//! | `http::HeaderMap` (feature `http`) | HTTP |
//! | [`envelope`], with [`Headers`] | protocols without headers: MQTT 3.1.1, plain bytes |
//! | `serde_json::Map<String, Value>` (feature `serde_json`) | bodies of JSON whose framing cannot change |
//!
//! An exclusive reference to a carrier is a carrier, too. A shared reference is none, so that nobody injects into a message
//! that cannot be written to. [`ReadOnly`] lends a carrier to an adaptor that takes one by value. Implement [`Carrier`] for
//! a message type of your own, and check it with `testing::carrier_contract`.
//!
//! # Guarantees
//!
//! - No message fails because of its headers. Broken, hostile or missing ones give an empty context; [`try_extract`] tells
//!   which.
//! - [`extract`] starts from an empty context: a bare message inherits nothing from its receiver.
//! - [`inject`] replaces the propagator's own keys. It leaves yours, and their order, unchanged. A context with
//!   nothing to say changes nothing.
//! - No header that is set contains CR, LF or NUL, whoever has sent the baggage in the context, and whatever the propagator
//!   does with it.
//! - Several `tracestate` or `baggage` headers are joined, whatever the propagator. A value longer than 8,192 bytes
//!   (a `tracestate`: 16,447) is not read. Of a longer `baggage`, the leading members are: at most 64, in 8,192 bytes.

mod bounded;
#[cfg(feature = "messaging")]
#[allow(unused, reason = "only the queue and the clients have messages")]
mod by_field;
pub mod envelope;
mod environment;
mod extract;
mod headers;
#[cfg(feature = "http")]
mod http;
mod inject;
#[cfg(feature = "serde_json")]
mod json;
mod limited;
mod map;
mod option;
mod pairs;
mod prefixed;
mod read_only;
#[cfg(feature = "serde")]
mod serde;
mod view;

use std::{borrow::Cow, iter, ptr};

use opentelemetry::KeyValue;

#[cfg(feature = "messaging")]
#[allow(unused_imports, reason = "as above")]
pub(crate) use by_field::by_field;
pub use environment::Environment;
#[cfg(any(feature = "doctor", feature = "messaging"))]
pub(crate) use extract::read;
#[cfg(feature = "messaging")]
pub(crate) use extract::read_with;
pub use extract::{Reason, Rejected, extract, extract_with, try_extract, try_extract_with};
pub use headers::{Headers, IntoIter, Iter};
pub use inject::{inject, inject_with};
pub use limited::Limited;
pub use prefixed::Prefixed;
#[cfg(feature = "google-cloud-pubsub-1")]
pub(crate) use prefixed::without_prefix;
pub use read_only::ReadOnly;
pub use view::{Text, View};

/// What a carrier gives for a value that is not text, so that the value counts: the replacement character.
///
/// A second `traceparent` makes the first invalid, even one that is not text, for propagators that read all values, as
/// [`TraceContextPropagator`](crate::propagation::TraceContextPropagator) does. A part of a `tracestate` that is not
/// text makes the whole `tracestate` invalid. [`extract`] hides such a value of any other key from the propagator.
pub const NOT_TEXT: &str = "\u{fffd}";

/// A message's headers, properties or attributes: keys and values of text.
///
/// A carrier that is only read implements [`get_all`](Self::get_all) and [`keys`](Self::keys). A carrier that is written
/// to implements [`set`](Self::set) and [`remove`](Self::remove) as well. To read pairs without a type of your own, use
/// [`View`].
///
/// # Contract
///
/// `testing::carrier_contract` checks it:
///
/// - Keys are looked up without regard to ASCII case. They keep the case that they came with, or the one that
///   [`spelling`](Self::spelling) tells.
/// - Values that are not text (numbers, null, bytes that are not UTF-8) are passed over. Where keys may repeat, they are
///   given as [`NOT_TEXT`].
/// - [`set`](Self::set) leaves one value for the key and touches no other key.
/// - Each of [`keys`](Self::keys) can be looked up, and each key that has a value is among them: a message without keys
///   is not read.
///
/// # Examples
///
/// A message type with headers of bytes:
///
/// ```
/// use ctxhop::carrier::{Carrier, NOT_TEXT};
/// use opentelemetry::KeyValue;
/// use std::str::from_utf8;
///
/// struct Record {
///     offset: i64,
///     headers: Vec<(String, Option<Vec<u8>>)>,
/// }
///
/// impl Carrier for Record {
///     fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
///         let headers = self.headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(key));
///         headers.map(|(_, value)| value.as_ref().and_then(|value| from_utf8(value).ok()).unwrap_or(NOT_TEXT))
///     }
///
///     fn keys(&self) -> impl Iterator<Item = &str> {
///         self.headers.iter().map(|(name, _)| name.as_str())
///     }
///
///     fn set(&mut self, key: &str, value: String) -> bool {
///         self.remove(key);
///         self.headers.push((key.to_owned(), Some(value.into_bytes())));
///         true
///     }
///
///     fn remove(&mut self, key: &str) {
///         self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
///     }
///
///     fn describe(&self) -> impl Iterator<Item = KeyValue> {
///         [KeyValue::new("messaging.kafka.offset", self.offset)].into_iter()
///     }
/// }
/// ```
pub trait Carrier {
    /// The values of a key, in their order, with [`NOT_TEXT`] for what is not text.
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str>;

    /// The keys, in their order if they have one.
    fn keys(&self) -> impl Iterator<Item = &str>;

    /// Makes this the only value of a key.
    ///
    /// It returns `false` if the message takes no value, or not this one. Then the key has its old value or none.
    /// Without a body of your own, the carrier is read-only.
    #[expect(unused_variables, reason = "the names are part of the documentation")]
    fn set(&mut self, key: &str, value: String) -> bool {
        false
    }

    /// Removes all values of a key, if the message can be written to. Without a body of your own, it removes nothing.
    #[expect(unused_variables, reason = "the names are part of the documentation")]
    fn remove(&mut self, key: &str) {}

    /// How many bytes the value of a key may have. [`inject`] drops the last members of a `baggage` or a `tracestate`
    /// that is longer, instead of the whole.
    #[expect(unused_variables, reason = "the names are part of the documentation")]
    fn room(&self, key: &str) -> usize {
        usize::MAX
    }

    /// How the message spells a key, if it does not keep the key as it is. An environment says `TRACEPARENT`.
    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        key.into()
    }

    /// The attributes that the message itself tells: its id, its size, its partition, how often it was delivered.
    ///
    /// An operation on the message puts them on its span, so that nobody sets them by hand. It asks only if the span
    /// records. Use the names of OpenTelemetry's semantic conventions.
    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        iter::empty()
    }
}

impl<C: Carrier + ?Sized> Carrier for &mut C {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        (**self).get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        (**self).keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        (**self).set(key, value)
    }

    fn remove(&mut self, key: &str) {
        (**self).remove(key);
    }

    fn room(&self, key: &str) -> usize {
        (**self).room(key)
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        (**self).spelling(key)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        (**self).describe()
    }
}

/// Whether both name the same key, in whatever case. Mostly they are the same text, or even the same constant, which is
/// faster to see.
#[inline]
pub(crate) fn same_key(a: &str, b: &str) -> bool {
    a.len() == b.len() && (ptr::eq(a, b) || a == b || a.eq_ignore_ascii_case(b))
}

/// Whether a key or a value is safe in a line-based protocol, and in an environment: without CR, LF and NUL.
#[inline]
pub(crate) fn is_line(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Eight bytes at a time, and the last eight, which mostly overlap with others.
    let mut suspicious = true;
    if let Some(last) = bytes.last_chunk() {
        suspicious = has_control(*last);
        let mut rest = bytes;
        while let Some((word, after)) = rest.split_first_chunk() {
            suspicious |= has_control(*word);
            rest = after;
        }
    }
    !suspicious || !bytes.iter().any(|byte| matches!(byte, b'\0' | b'\n' | b'\r'))
}

/// Whether one of the bytes is less than 16, which tab is, too.
#[inline]
fn has_control(bytes: [u8; 8]) -> bool {
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    const SIXTEEN: u64 = u64::from_ne_bytes([16; 8]);
    let word = u64::from_ne_bytes(bytes);
    word.wrapping_sub(SIXTEEN) & !word & HIGH_BITS != 0
}
