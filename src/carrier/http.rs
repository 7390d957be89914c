//! HTTP headers. A value may be any bytes; only visible ASCII counts as text.

use std::borrow::Cow;

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::{Carrier, NOT_TEXT};

#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
impl Carrier for HeaderMap {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.get_all(key).iter().map(|value| value.to_str().unwrap_or(NOT_TEXT))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys().map(HeaderName::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let name = HeaderName::from_bytes(key.as_bytes()).ok();
        // HTTP can send bytes beyond ASCII, but the map cannot read them as text again.
        let value = value.is_ascii().then(|| HeaderValue::try_from(value).ok()).flatten();
        name.zip(value).is_some_and(|(name, value)| self.try_insert(name, value).is_ok())
    }

    fn remove(&mut self, key: &str) {
        let Ok(name) = HeaderName::from_bytes(key.as_bytes()) else { return };
        if self.contains_key(&name) {
            // The map's own `remove` puts its last header in the place of the removed one.
            match without(self, &name) {
                Some(others) => *self = others,
                None => _ = self.remove(&name),
            }
        }
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        key.to_ascii_lowercase().into()
    }
}

/// The other headers, in their order. `None` if no such map can be made, because it is too full and hashes badly.
fn without(map: &HeaderMap, removed: &HeaderName) -> Option<HeaderMap> {
    let mut others = HeaderMap::try_with_capacity(map.keys_len()).ok()?;
    for (name, value) in map.iter().filter(|(name, _)| *name != removed) {
        others.try_append(name.clone(), value.clone()).ok()?;
    }
    Some(others)
}
