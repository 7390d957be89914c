//! The context in the headers of a message: [`inject`] on one side, [`extract`] on the other.
//!
//! ```
//! use ctxhop::{carrier::{self, Headers}, propagation::TraceContextPropagator};
//! use opentelemetry::Context;
//!
//! opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new()); // once, at the start
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
//! | [`Command`](std::process::Command), [`Environment`] | a child process, and this one |
//! | `http::HeaderMap` (feature `http`) | HTTP |
//! | [`envelope`], with [`Headers`] | protocols without headers: MQTT 3.1.1, plain bytes |
//!
//! An exclusive reference to a carrier is as good as the carrier itself; a shared one is none, so that nobody injects
//! into what cannot be written to. Where an adaptor takes a carrier by value, [`ReadOnly`] lends it. Implement
//! [`Carrier`] for a message type of your own, and check it with `testing::carrier_contract`.
//!
//! # Guarantees
//!
//! - A message never fails for its headers. Broken, hostile or missing ones give an empty context; [`try_extract`] tells
//!   which it was.
//! - [`extract`] starts from an empty context: a bare message inherits nothing of whoever receives it.
//! - [`inject`] replaces the propagator's own keys and leaves yours, and their order, as they are. A context with
//!   nothing to say changes nothing.
//! - Several `tracestate` or `baggage` headers are joined, whatever the propagator. What is longer than 8,192 bytes
//!   (a `tracestate`: 16,447) is not looked at, save a `baggage`, of which the leading members are: at most 64 of them in
//!   8,192 bytes.

pub mod envelope;
mod environment;
mod extract;
mod headers;
#[cfg(feature = "http")]
mod http;
mod inject;
mod map;
mod pairs;
mod prefixed;
mod read_only;

use std::borrow::Cow;

pub use environment::Environment;
pub use extract::{Reason, Rejected, extract, extract_with, try_extract, try_extract_with};
pub use headers::{Headers, IntoIter, Iter};
pub use inject::{inject, inject_with};
pub use prefixed::Prefixed;
pub use read_only::ReadOnly;

/// What a carrier gives for a value that is not text, so that it counts: the replacement character.
///
/// A second `traceparent` makes the first invalid, also one that is not text, for propagators that look at all values, as
/// [`TraceContextPropagator`](crate::propagation::TraceContextPropagator) does; and a part of a `tracestate` that is not
/// text makes the whole invalid. Of any other key, [`extract`] lets no propagator see it.
pub const NOT_TEXT: &str = "\u{fffd}";

/// What carries keys and values of text: the headers, properties or attributes of a message.
///
/// # Contract
///
/// `testing::carrier_contract` checks it:
///
/// - Keys are looked up without regard to ASCII case, and are kept as they came, or as [`spelling`](Self::spelling)
///   says.
/// - Values that are not text (numbers, null, bytes that are not UTF-8) are passed over, or, where keys may repeat,
///   given as [`NOT_TEXT`].
/// - [`set`](Self::set) leaves one value for the key, and touches no other key.
/// - Each of [`keys`](Self::keys) can be looked up, and each key that has a value is among them: a message without keys
///   is not read.
///
/// # Examples
///
/// A message type with headers of bytes:
///
/// ```
/// use ctxhop::carrier::{Carrier, NOT_TEXT};
/// use std::str::from_utf8;
///
/// struct Record {
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
/// }
/// ```
pub trait Carrier {
    /// The values of a key, in their order, with [`NOT_TEXT`] for what is not text.
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str>;

    /// The keys, in their order if they have one.
    fn keys(&self) -> impl Iterator<Item = &str>;

    /// Makes this the only value of a key. `false` if the message takes none, or not this one; then the key may be left
    /// as it was, or without a value.
    fn set(&mut self, key: &str, value: String) -> bool;

    /// Removes all values of a key, if the message can be written to.
    fn remove(&mut self, key: &str);

    /// How the message spells a key, if it does not keep what it is given. An environment says `TRACEPARENT`.
    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        key.into()
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

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        (**self).spelling(key)
    }
}

/// Whether both name the same, in whatever case. Mostly it is the same case, which is faster to see.
#[inline]
fn same_key(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a == b || a.eq_ignore_ascii_case(b))
}
