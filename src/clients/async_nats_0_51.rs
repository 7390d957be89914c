#![doc = include_str!("async_nats_0_51.md")]

use ::async_nats::{HeaderMap, HeaderName, HeaderValue, Message, jetstream, message::OutboundMessage};

use crate::carrier::{Carrier, same_key};

/// Values of one name keep their order, names do not.
impl Carrier for HeaderMap {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let named = self.iter().filter(move |(name, _)| same_key(text(name), key));
        named.flat_map(|(_, values)| values).map(HeaderValue::as_str)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| text(name))
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        // Their `From` panics on what the protocol has no room for.
        let (Ok(name), Ok(value)) = (HeaderName::try_from(key), value.parse::<HeaderValue>()) else { return false };
        Carrier::remove(self, key);
        self.insert(name, value);
        true
    }

    fn remove(&mut self, key: &str) {
        // The map has no way to remove anything.
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut others = Self::new();
            for (name, values) in self.iter().filter(|(name, _)| !same_key(text(name), key)) {
                for value in values {
                    others.append(name.clone(), value.clone());
                }
            }
            *self = others;
        }
    }
}

fn text(name: &HeaderName) -> &str {
    name.as_ref()
}

fn get_all<'a>(headers: &'a Option<HeaderMap>, key: &str) -> impl Iterator<Item = &'a str> {
    headers.iter().flat_map(move |headers| Carrier::get_all(headers, key))
}

fn keys(headers: &Option<HeaderMap>) -> impl Iterator<Item = &str> {
    headers.iter().flat_map(Carrier::keys)
}

fn set(headers: &mut Option<HeaderMap>, key: &str, value: String) -> bool {
    match headers {
        Some(headers) => headers.set(key, value),
        None => {
            let mut new = HeaderMap::new();
            let set = new.set(key, value);
            *headers = set.then_some(new);
            set
        }
    }
}

fn remove(headers: &mut Option<HeaderMap>, key: &str) {
    if let Some(headers) = headers {
        headers.remove(key);
    }
}

macro_rules! by_its_headers {
    ($(#[$doc:meta] $message:ty: $($headers:ident).+;)+) => {$(
        #[$doc]
        impl Carrier for $message {
            fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
                get_all(&self.$($headers).+, key)
            }

            fn keys(&self) -> impl Iterator<Item = &str> {
                keys(&self.$($headers).+)
            }

            fn set(&mut self, key: &str, value: String) -> bool {
                set(&mut self.$($headers).+, key, value)
            }

            fn remove(&mut self, key: &str) {
                remove(&mut self.$($headers).+, key);
            }
        }
    )+};
}

by_its_headers! {
    /// Its headers.
    Message: headers;
    /// Its headers.
    OutboundMessage: headers;
    /// The headers of its message.
    jetstream::Message: message.headers;
    /// Its headers.
    jetstream::message::OutboundMessage: headers;
}
