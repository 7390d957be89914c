use std::{fmt, marker::PhantomData, str::from_utf8};

use super::{Carrier, NOT_TEXT, same_key};

/// Pairs of keys and values, to be read as a [`Carrier`], without a type of your own.
///
/// Use it to [`extract`](super::extract) from the headers of a library that this crate has no carrier for. It takes a
/// closure that starts over with the pairs at each call, because each look-up walks them. Keys and values are whatever
/// is [`Text`]: strings, bytes, options of these. Nothing is copied, and nothing can be set.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{self, View};
///
/// struct Header {
///     key: String,
///     value: Option<Vec<u8>>,
/// }
///
/// fn handle(headers: &[Header]) {
///     let cx = carrier::extract(&View::new(|| headers.iter().map(|header| (&header.key, header.value.as_deref()))));
/// }
/// # handle(&[Header { key: "traceparent".to_owned(), value: None }]);
/// ```
#[derive(Clone, Copy)]
pub struct View<'m, F> {
    pairs: F,
    message: PhantomData<&'m ()>,
}

impl<'m, F, I, K, V> View<'m, F>
where
    F: Fn() -> I,
    I: IntoIterator<Item = (K, V)>,
    K: Text<'m>,
    V: Text<'m>,
{
    /// A view of these pairs.
    pub const fn new(pairs: F) -> Self {
        Self { pairs, message: PhantomData }
    }
}

impl<F> fmt::Debug for View<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl<'m, F, I, K, V> Carrier for View<'m, F>
where
    F: Fn() -> I,
    I: IntoIterator<Item = (K, V)>,
    K: Text<'m>,
    V: Text<'m>,
{
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let named = (self.pairs)().into_iter().filter_map(|(name, value)| Some((name.text()?, value)));
        named.filter(move |(name, _)| same_key(name, key)).map(|(_, value)| value.text().unwrap_or(NOT_TEXT))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        (self.pairs)().into_iter().filter_map(|(name, _)| name.text())
    }
}

/// A key or a value of a [`View`]: text, bytes that may be text, or nothing.
pub trait Text<'m> {
    /// The text, if it is one.
    fn text(self) -> Option<&'m str>;
}

impl<'m> Text<'m> for &'m str {
    fn text(self) -> Option<&'m str> {
        Some(self)
    }
}

impl<'m> Text<'m> for &'m String {
    fn text(self) -> Option<&'m str> {
        Some(self)
    }
}

impl<'m> Text<'m> for &'m [u8] {
    fn text(self) -> Option<&'m str> {
        from_utf8(self).ok()
    }
}

impl<'m> Text<'m> for &'m Vec<u8> {
    fn text(self) -> Option<&'m str> {
        from_utf8(self).ok()
    }
}

impl<'m, T: Text<'m>> Text<'m> for Option<T> {
    fn text(self) -> Option<&'m str> {
        self?.text()
    }
}
