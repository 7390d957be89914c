//! Ordered pairs that may repeat, like MQTT 5's user properties.

use super::{Carrier, is_line, same_key};

impl Carrier for Vec<(String, String)> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(name, _)| same_key(name, key)).map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name.as_str())
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        if !is_line(key) || !is_line(&value) {
            return false;
        }
        Carrier::remove(self, key);
        self.push((key.to_owned(), value));
        true
    }

    fn remove(&mut self, key: &str) {
        self.retain(|(name, _)| !same_key(name, key));
    }
}
