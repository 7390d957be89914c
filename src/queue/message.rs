use crate::carrier::{Carrier, Headers, by_field};

/// What travels through the queue: a payload, and headers that hold the context and whatever else you say about it.
///
/// As a [`Carrier`], the message is its headers.
///
/// # Examples
///
/// ```
/// use ctxhop::{carrier::Headers, queue::Message};
///
/// let plain = Message::new("two apples");
/// let noted = Message::new("two apples").with_headers(Headers::from_iter([("content-language", "en")]));
/// assert_eq!(plain.payload, noted.payload);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message<T> {
    /// Travel with the payload from the publisher to the consumer.
    pub headers: Headers,
    /// The value that you publish.
    pub payload: T,
}

impl<T> Message<T> {
    /// A message without headers.
    #[must_use]
    pub const fn new(payload: T) -> Self {
        Self { headers: Headers::new(), payload }
    }

    /// The message with these headers instead of its own.
    #[must_use]
    pub fn with_headers(self, headers: Headers) -> Self {
        Self { headers, ..self }
    }
}

impl<T> From<T> for Message<T> {
    fn from(payload: T) -> Self {
        Self::new(payload)
    }
}

impl<T> Carrier for Message<T> {
    by_field! { headers }
}
