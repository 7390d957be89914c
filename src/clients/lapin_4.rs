#![doc = include_str!("lapin_4.md")]

use std::{mem, str::from_utf8};

use ::lapin::{
    BasicProperties,
    message::{BasicGetMessage, BasicReturnMessage, Delivery},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::carrier::{Carrier, NOT_TEXT, same_key};

/// Keys of up to 255 bytes; a longer one is refused.
impl Carrier for FieldTable {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.inner()
            .iter()
            .filter(move |(name, _)| same_key(name.as_str(), key))
            .map(|(_, value)| text(value).unwrap_or(NOT_TEXT))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.inner().keys().map(ShortString::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let Ok(name) = ShortString::try_new(key) else { return false };
        Carrier::remove(self, key);
        // A short string as a value makes RabbitMQ close the connection.
        self.insert(name, AMQPValue::LongString(value.into()));
        true
    }

    fn remove(&mut self, key: &str) {
        // The table has no way to remove anything.
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut others = mem::take(self).inner().clone();
            others.retain(|name, _| !same_key(name.as_str(), key));
            *self = others.into();
        }
    }
}

/// What other clients may have written text as.
fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        AMQPValue::ByteArray(bytes) => from_utf8(bytes.as_slice()).ok(),
        _ => None,
    }
}

/// The headers among the properties.
impl Carrier for BasicProperties {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers().iter().flat_map(move |headers| headers.get_all(key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers().iter().flat_map(Carrier::keys)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        // The properties only lend their headers, so that they have to be copied.
        let mut headers = self.headers().clone().unwrap_or_default();
        let set = headers.set(key, value);
        if set {
            *self = mem::take(self).with_headers(headers);
        }
        set
    }

    fn remove(&mut self, key: &str) {
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut headers = self.headers().clone().unwrap_or_default();
            headers.remove(key);
            *self = mem::take(self).with_headers(headers);
        }
    }
}

/// The headers of its properties.
impl Carrier for Delivery {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.properties.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.properties.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        self.properties.remove(key);
    }
}

/// As its [`Delivery`].
impl Carrier for BasicGetMessage {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.delivery.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.delivery.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.delivery.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        self.delivery.remove(key);
    }
}

/// As its [`Delivery`].
impl Carrier for BasicReturnMessage {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.delivery.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.delivery.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.delivery.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        self.delivery.remove(key);
    }
}
