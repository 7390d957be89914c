use std::borrow::Cow;

use opentelemetry::KeyValue;

use super::Carrier;

/// A borrowed carrier that cannot be written to: nothing is set, nothing is removed.
///
/// Use it to [`extract`](super::extract) from a message that you only borrow, through an adaptor that takes its carrier
/// by value, as [`Prefixed`](super::Prefixed) does. To extract from the message itself, a reference is enough.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{self, Prefixed, ReadOnly};
/// use std::collections::HashMap;
///
/// fn handle(attributes: &HashMap<String, String>) {
///     let cx = carrier::extract(&Prefixed::new("googclient_", ReadOnly(attributes)));
/// }
/// # handle(&HashMap::new());
/// ```
#[derive(Debug)]
pub struct ReadOnly<'a, C: ?Sized>(pub &'a C);

impl<C: ?Sized> Clone for ReadOnly<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: ?Sized> Copy for ReadOnly<'_, C> {}

impl<C: Carrier + ?Sized> Carrier for ReadOnly<'_, C> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys()
    }

    fn room(&self, _key: &str) -> usize {
        0
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        self.0.spelling(key)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.0.describe()
    }
}
