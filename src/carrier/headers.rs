use std::{borrow::Cow, fmt, slice, vec};

use super::{Carrier, is_line, same_key};
use crate::propagation::Header as W3c;

/// The headers of a message: a small list of names and values, in order.
///
/// Names are looked up without regard to ASCII case, and keep the case that they came with. A name may have several
/// values: [`append`](Self::append) adds one, [`insert`](Self::insert) replaces all.
///
/// A look-up walks the list, because messages have few headers. The names of W3C Trace Context and Baggage are not copied.
/// `append` and `insert` take any text; as a [`Carrier`], headers take no CR, LF or NUL.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::Headers;
///
/// let mut headers = Headers::from_iter([("Content-Type", "text/plain"), ("Via", "a"), ("via", "b")]);
/// assert_eq!(headers.get("content-type"), Some("text/plain"));
/// assert_eq!(headers.get_all("VIA").collect::<Vec<_>>(), ["a", "b"]);
///
/// headers.insert("via", "c");
/// assert_eq!(headers.iter().collect::<Vec<_>>(), [("Content-Type", "text/plain"), ("via", "c")]);
/// ```
///
/// Two of them are equal if they have the same names, case included, and the same values, in the same order.
///
/// # Stored with a row
///
/// With the feature `serde`, headers are stored as a list of pairs. So an outbox table keeps a message beside the data that
/// it tells of, written in one transaction, and another process sends it later. The send is linked to the message's
/// creation, and every retry links to it too; the consumer is in the trace of the creation.
///
/// ```
/// # #[cfg(all(feature = "messaging", feature = "serde"))] {
/// use ctxhop::{carrier::Headers, messaging::Destination};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Row {
///     headers: Headers,
///     payload: String,
/// }
///
/// # fn insert(row: &Row) -> Result<String, serde_json::Error> { serde_json::to_string(row) }
/// # fn publish(_: Row) -> Result<(), std::io::Error> { Ok(()) }
/// let orders = Destination::new("kafka", "orders");
///
/// // In the request, with the transaction:
/// let mut row = Row { headers: Headers::new(), payload: "two apples".to_owned() };
/// let stored = orders.create(&mut row.headers).run(|| insert(&row))?;
///
/// // In the process that empties the table, once for each attempt:
/// let mut row: Row = serde_json::from_str(&stored)?;
/// orders.send(&mut row.headers).run(|| publish(row))?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

type Header = (Cow<'static, str>, String);

impl Headers {
    /// No headers. This does not allocate.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|header| is(header, name)).map(|(_, value)| value.as_str())
    }

    /// All values of a name, in their order.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |header| is(header, name)).map(|(_, value)| value.as_str())
    }

    /// Adds a header at the end. Headers of the same name stay.
    pub fn append(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.push((name.into(), value.into()));
    }

    /// Most messages have one header, `traceparent`, for which a list that grows by itself would have room four times.
    fn push(&mut self, header: Header) {
        if self.0.capacity() == 0 {
            self.0.reserve_exact(1);
        }
        self.0.push(header);
    }

    /// Sets a header and removes all others of the same name. It takes the place of the first of them, or the end.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let header = (name.into(), value.into());
        let Some(first) = self.0.iter().position(|other| is(other, &header.0)) else { return self.push(header) };
        let mut at = 0;
        self.0.retain(|other| {
            at += 1;
            at <= first + 1 || !is(other, &header.0)
        });
        self.0[first] = header;
    }

    /// Removes all headers of a name, and returns the value of the first.
    #[inline]
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let first = self.0.iter().position(|header| is(header, name))?;
        let (_, value) = self.0.remove(first);
        self.0.retain(|header| !is(header, name));
        Some(value)
    }

    /// The names and values, in their order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// The names, in their order. A name with several values comes several times.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// The number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[inline]
fn is((name, _): &Header, other: &str) -> bool {
    same_key(name, other)
}

impl Carrier for Headers {
    #[inline]
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        if !is_line(&value) {
            return false;
        }
        // Propagators hand over a `&str` of any lifetime, and W3C's names need no copy.
        match W3c::of(key).map(W3c::name).filter(|name| *name == key) {
            Some(name) => self.insert(name, value),
            None if is_line(key) => self.insert(key.to_owned(), value),
            None => return false,
        }
        true
    }

    #[inline]
    fn remove(&mut self, key: &str) {
        self.remove(key);
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> Extend<(N, V)> for Headers {
    /// Appends each.
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, headers: I) {
        self.0.extend(headers.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut all = Self::new();
        all.extend(headers);
        all
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Headers {
    type Item = (Cow<'static, str>, String);
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self.0.into_iter())
    }
}

/// The iterator of [`Headers::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(slice::Iter<'a, Header>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&**name, value.as_str()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(name, value)| (&**name, value.as_str()))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// The iterator over [`Headers`] by value.
#[derive(Clone, Debug)]
pub struct IntoIter(vec::IntoIter<Header>);

impl Iterator for IntoIter {
    type Item = (Cow<'static, str>, String);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for IntoIter {}
