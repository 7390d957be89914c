//! Maps. A key has one value, but the map may hold it in several cases.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
};

use super::{Carrier, is_line, same_key};

impl<S: BuildHasher> Carrier for HashMap<String, String, S> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(name, _)| same_key(name, key)).map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys().map(String::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        if !is_line(key) || !is_line(&value) {
            return false;
        }
        Carrier::remove(self, key);
        self.insert(key.to_owned(), value);
        true
    }

    fn remove(&mut self, key: &str) {
        self.retain(|name, _| !same_key(name, key));
    }
}

impl Carrier for BTreeMap<String, String> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(name, _)| same_key(name, key)).map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys().map(String::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        if !is_line(key) || !is_line(&value) {
            return false;
        }
        Carrier::remove(self, key);
        self.insert(key.to_owned(), value);
        true
    }

    fn remove(&mut self, key: &str) {
        self.retain(|name, _| !same_key(name, key));
    }
}
