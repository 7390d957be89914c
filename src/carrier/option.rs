//! Headers that may be absent, as AMQP's and NATS's are.

use std::borrow::Cow;

use opentelemetry::KeyValue;

use super::Carrier;

/// An absent carrier has no keys and takes no values.
///
/// To write to headers that may be absent, make them first: `headers.get_or_insert_default()`.
///
/// ```
/// use ctxhop::carrier::{self, Headers};
/// use opentelemetry::Context;
///
/// let mut headers: Option<Headers> = None;
/// carrier::extract(&headers);
/// carrier::inject(&Context::current(), headers.get_or_insert_default());
/// ```
impl<C: Carrier> Carrier for Option<C> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter().flat_map(move |carrier| carrier.get_all(key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().flat_map(Carrier::keys)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.as_mut().is_some_and(|carrier| carrier.set(key, value))
    }

    fn remove(&mut self, key: &str) {
        if let Some(carrier) = self {
            carrier.remove(key);
        }
    }

    fn room(&self, key: &str) -> usize {
        self.as_ref().map_or(0, |carrier| carrier.room(key))
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        self.as_ref().map_or(key.into(), |carrier| carrier.spelling(key))
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.iter().flat_map(Carrier::describe)
    }
}
