use std::borrow::Cow;

use opentelemetry::KeyValue;

use super::{Carrier, bounded::MAX_VALUES, same_key};

/// The keys of a carrier that begin with a prefix. Other keys are not seen.
///
/// Use it where the context shares a map with the user's attributes. Pub/Sub's prefix is `googclient_`. Of a key with more
/// than 65 values, the first 65 are seen, one more than [`extract`](super::extract) reads.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{Carrier, Prefixed, ReadOnly};
/// use std::collections::BTreeMap;
///
/// let mut attributes = BTreeMap::from([("color".to_owned(), "red".to_owned())]);
/// Prefixed::new("googclient_", &mut attributes).set("traceparent", "00-…".to_owned());
/// assert_eq!(attributes["googclient_traceparent"], "00-…");
///
/// let received = Prefixed::new("googclient_", ReadOnly(&attributes));
/// assert_eq!(received.keys().collect::<Vec<_>>(), ["traceparent"]);
/// assert_eq!(received.get_all("traceparent").collect::<Vec<_>>(), ["00-…"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixed<C> {
    prefix: Cow<'static, str>,
    carrier: C,
}

impl<C> Prefixed<C> {
    /// Puts the prefix before each key.
    pub fn new(prefix: impl Into<Cow<'static, str>>, carrier: C) -> Self {
        Self { prefix: prefix.into(), carrier }
    }

    /// The carrier inside, with all of its keys.
    pub const fn inner(&self) -> &C {
        &self.carrier
    }

    /// The carrier inside, to change it.
    pub const fn inner_mut(&mut self) -> &mut C {
        &mut self.carrier
    }

    /// Takes the carrier out.
    pub fn into_inner(self) -> C {
        self.carrier
    }

    fn whole(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl<C: Carrier> Prefixed<C> {
    /// The prefix as the carrier spells it in its keys.
    fn spelled_prefix(&self) -> Cow<'_, str> {
        if self.prefix.is_empty() { "".into() } else { self.carrier.spelling(&self.prefix) }
    }
}

pub(crate) fn without_prefix<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    let (start, key) = key.split_at_checked(prefix.len())?;
    same_key(start, prefix).then_some(key)
}

impl<C: Carrier> Carrier for Prefixed<C> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        // The inner iterator may borrow the key, so it cannot be returned. Mostly there is one value at most, and whoever
        // asks for one only does not wait for the others.
        let whole = self.whole(key);
        let first = self.carrier.get_all(&whole).next();
        let others = move || self.carrier.get_all(&whole).skip(1).take(MAX_VALUES).collect::<Vec<_>>();
        first.into_iter().chain(first.into_iter().flat_map(move |_| others()))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let prefix = self.spelled_prefix();
        self.carrier.keys().filter_map(move |key| without_prefix(key, &prefix))
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let key = self.whole(key);
        self.carrier.set(&key, value)
    }

    fn remove(&mut self, key: &str) {
        let key = self.whole(key);
        self.carrier.remove(&key);
    }

    fn room(&self, key: &str) -> usize {
        self.carrier.room(&self.whole(key))
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        let whole = self.whole(key);
        let spelled = self.carrier.spelling(&whole);
        without_prefix(&spelled, &self.spelled_prefix()).unwrap_or(key).to_owned().into()
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.carrier.describe()
    }
}
