use std::borrow::Cow;

use super::Carrier;

/// A carrier that is only lent, and cannot be written to: nothing is set, nothing removed.
///
/// Use it to [`extract`](super::extract) by way of what takes a carrier by value, as [`Prefixed`](super::Prefixed) does,
/// from a message that is not yours. To extract from the message itself, a reference is enough.
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

    fn set(&mut self, _key: &str, _value: String) -> bool {
        false
    }

    fn remove(&mut self, _key: &str) {}

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        self.0.spelling(key)
    }
}
