#![doc = include_str!("rdkafka_0_39.md")]

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    str::from_utf8,
};

use ::rdkafka::{
    message::{BorrowedHeaders, BorrowedMessage, Header, Headers, Message, OwnedHeaders, OwnedMessage, Timestamp, ToBytes},
    producer::{BaseRecord, FutureRecord},
    util::IntoOpaque,
};

use crate::carrier::{Carrier, NOT_TEXT, same_key};

/// Keys without NUL; one with it is refused, because rdkafka would cut it there.
impl Carrier for OwnedHeaders {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        values(self, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        readable(self).map(|header| header.key)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let fits = !key.contains('\0');
        if fits {
            Carrier::remove(self, key);
            *self = mem::take(self).insert(Header { key, value: Some(&value) });
        }
        fits
    }

    fn remove(&mut self, key: &str) {
        // Headers can only be added.
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let old = mem::take(self);
            let others = readable(&old).filter(|header| !same_key(header.key, key));
            *self = others.fold(Self::new_with_capacity(old.count()), Self::insert);
        }
    }
}

/// Only to be read.
impl Carrier for BorrowedHeaders {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        values(self, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        readable(self).map(|header| header.key)
    }

    fn set(&mut self, _key: &str, _value: String) -> bool {
        false
    }

    fn remove(&mut self, _key: &str) {}
}

/// The headers that rdkafka can read: it panics on a key that is not UTF-8, which any producer may send.
fn readable<H: Headers>(headers: &H) -> impl Iterator<Item = Header<'_, &[u8]>> {
    // Nothing of it is seen again after the panic.
    (0..headers.count()).filter_map(|at| catch_unwind(AssertUnwindSafe(|| headers.try_get(at))).ok().flatten())
}

fn values<'a, H: Headers>(headers: &'a H, key: &str) -> impl Iterator<Item = &'a str> {
    readable(headers)
        .filter(move |header| same_key(header.key, key))
        .map(|header| header.value.and_then(|value| from_utf8(value).ok()).unwrap_or(NOT_TEXT))
}

/// Only to be read: what is sent on is a record of its own.
impl Carrier for BorrowedMessage<'_> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers().into_iter().flat_map(move |headers| values(headers, key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers().into_iter().flat_map(Carrier::keys)
    }

    fn set(&mut self, _key: &str, _value: String) -> bool {
        false
    }

    fn remove(&mut self, _key: &str) {}
}

/// Its headers.
impl Carrier for OwnedMessage {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers().into_iter().flat_map(move |headers| values(headers, key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers().into_iter().flat_map(Carrier::keys)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let mut headers = self.detach_headers();
        let set = set(&mut headers, key, value);
        put(self, headers);
        set
    }

    fn remove(&mut self, key: &str) {
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut headers = self.detach_headers();
            remove(&mut headers, key);
            put(self, headers);
        }
    }
}

/// A message takes headers only with itself.
fn put(message: &mut OwnedMessage, headers: Option<OwnedHeaders>) {
    let none = OwnedMessage::new(None, None, String::new(), Timestamp::NotAvailable, 0, 0, None);
    *message = mem::replace(message, none).replace_headers(headers);
}

fn set(headers: &mut Option<OwnedHeaders>, key: &str, value: String) -> bool {
    match headers {
        Some(headers) => headers.set(key, value),
        None => {
            let mut new = OwnedHeaders::new();
            let set = new.set(key, value);
            *headers = set.then_some(new);
            set
        }
    }
}

fn remove(headers: &mut Option<OwnedHeaders>, key: &str) {
    if let Some(headers) = headers {
        Carrier::remove(headers, key);
    }
}

/// Its headers.
impl<K: ToBytes + ?Sized, P: ToBytes + ?Sized> Carrier for FutureRecord<'_, K, P> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().flat_map(move |headers| values(headers, key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().flat_map(Carrier::keys)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        set(&mut self.headers, key, value)
    }

    fn remove(&mut self, key: &str) {
        remove(&mut self.headers, key);
    }
}

/// Its headers.
impl<K: ToBytes + ?Sized, P: ToBytes + ?Sized, D: IntoOpaque> Carrier for BaseRecord<'_, K, P, D> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().flat_map(move |headers| values(headers, key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().flat_map(Carrier::keys)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        set(&mut self.headers, key, value)
    }

    fn remove(&mut self, key: &str) {
        remove(&mut self.headers, key);
    }
}
