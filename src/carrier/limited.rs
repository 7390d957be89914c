use std::borrow::Cow;

use opentelemetry::KeyValue;

use super::{Carrier, same_key};

/// A carrier with little room: values of so many bytes at most, and so many bytes in all.
///
/// Use it where the protocol, or a proxy on the way, refuses or cuts what is longer. [`inject`](super::inject) then drops
/// the last members of a `baggage` or a `tracestate` until the rest fits. It never cuts a member or any other value: a
/// value that does not fit is not set.
///
/// The limit in all counts the keys and values that are set through this adaptor, and nothing else that the message
/// holds: only the caller knows how much of the protocol's limit is left. Keys count as this adaptor gets them; put a
/// [`Prefixed`](super::Prefixed) around it, and the prefix counts.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{self, Headers, Limited};
/// # use opentelemetry_sdk::propagation::BaggagePropagator;
/// use opentelemetry::{Context, KeyValue, baggage::BaggageExt};
///
/// # opentelemetry::global::set_text_map_propagator(BaggagePropagator::new());
/// let cx = Context::new().with_baggage([KeyValue::new("first", "1"), KeyValue::new("other", "2")]);
///
/// let mut headers = Headers::new();
/// let whole = carrier::inject(&cx, &mut Limited::new(&mut headers).value_bytes(12));
/// assert!(!whole);
/// assert_eq!(headers.get("baggage").map(str::len), Some("first=1".len()));
/// ```
#[derive(Clone, Debug)]
pub struct Limited<C> {
    carrier: C,
    value_bytes: usize,
    total_bytes: usize,
    /// The keys that were set, with the bytes of key and value. Empty unless there is a limit in all.
    set: Vec<(String, usize)>,
}

impl<C> Limited<C> {
    /// A carrier without limits, before the other methods set some.
    pub const fn new(carrier: C) -> Self {
        Self { carrier, value_bytes: usize::MAX, total_bytes: usize::MAX, set: Vec::new() }
    }

    /// Refuses values that are longer.
    #[must_use]
    pub fn value_bytes(mut self, limit: usize) -> Self {
        self.value_bytes = limit;
        self
    }

    /// Refuses values that would make all keys and values longer in sum. Values that were set before do not count.
    #[must_use]
    pub fn total_bytes(mut self, limit: usize) -> Self {
        self.total_bytes = limit;
        self
    }

    /// The carrier inside.
    pub const fn inner(&self) -> &C {
        &self.carrier
    }

    /// Takes the carrier out.
    pub fn into_inner(self) -> C {
        self.carrier
    }

    /// What the limit in all leaves for the value of a key. `None` if the key alone is too long.
    fn left(&self, key: &str) -> Option<usize> {
        let others = self.set.iter().filter(|(other, _)| !same_key(other, key)).map(|(_, bytes)| bytes);
        self.total_bytes.checked_sub(others.sum::<usize>() + key.len())
    }

    fn forget(&mut self, key: &str) {
        self.set.retain(|(other, _)| !same_key(other, key));
    }
}

impl<C: Carrier> Carrier for Limited<C> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.carrier.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.carrier.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let bytes = value.len();
        let fits = bytes <= self.value_bytes && self.left(key).is_some_and(|left| bytes <= left);
        let accepted = fits && self.carrier.set(key, value);
        if accepted && self.total_bytes < usize::MAX {
            self.forget(key);
            self.set.push((key.to_owned(), key.len() + bytes));
        }
        accepted
    }

    fn remove(&mut self, key: &str) {
        self.carrier.remove(key);
        self.forget(key);
    }

    fn room(&self, key: &str) -> usize {
        self.left(key).unwrap_or(0).min(self.value_bytes).min(self.carrier.room(key))
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        self.carrier.spelling(key)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.carrier.describe()
    }
}
