//! Headers for protocols that have none: a small frame before the message's body.
//!
//! ```
//! use ctxhop::carrier::{Headers, envelope};
//!
//! let headers = Headers::from_iter([("content-type", "text/plain")]);
//! let message = envelope::seal(&headers, b"hello")?;
//!
//! let (received, payload) = envelope::open(message)?;
//! assert_eq!(received, headers);
//! assert_eq!(*payload, *b"hello");
//!
//! let (none, foreign) = envelope::open(b"from somebody without envelopes")?;
//! assert!(none.is_empty());
//! assert_eq!(*foreign, *b"from somebody without envelopes");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A message without an envelope opens as all body. A receiver that knows nothing of envelopes sees the frame as part of the body. So
//! let all receivers open envelopes first, and senders seal afterwards.
//!
//! A message that begins like an envelope and goes on in another way is an [`OpenError`], which gives the message back: take it for a
//! plain one, or refuse it. The bytes of a stranger may be a whole envelope, with headers of the stranger's choice. Whoever relays such
//! bytes as they are has the receiver open it. So seal what you relay, also with no headers: the receiver opens your envelope,
//! and takes what is in it for the payload.
//!
//! # The frame
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `F5 63 74 78 68 6F 70`: a byte that no text has, and `ctxhop` |
//! | 1 | the version, 1 |
//! | 2 | the length of the headers that follow |
//! | 2, n, 2, m | for each header: the length of its name, the name, the length of its value, the value |
//! | the rest | the payload, untouched |
//!
//! The repository has the format on a page for other languages, with test vectors: `docs/envelope.md`.
//!
//! Lengths are unsigned and big-endian, names and values are UTF-8. A payload may be anything, even a sealed message:
//! [`open`] opens the outermost envelope only. The frame has room for any text, so an opened header may contain line breaks
//! if its sender wrote them; a [`Carrier`](super::Carrier) refuses to set such a value.

use std::{error::Error, fmt, ops::Deref};

use super::Headers;

const MAGIC: [u8; 7] = *b"\xf5ctxhop";

const VERSION: u8 = 1;

/// Magic, version and length.
const PREAMBLE: usize = MAGIC.len() + 1 + 2;

/// Puts headers and payload into an envelope. The payload is copied once.
///
/// # Errors
///
/// The headers need more than 65,535 bytes.
pub fn seal(headers: &Headers, payload: &[u8]) -> Result<Vec<u8>, HeadersTooLong> {
    let mut message = front(headers, payload.len())?;
    message.extend_from_slice(payload);
    Ok(message)
}

/// The front of an envelope. Append the payload to it.
///
/// Use it to avoid a copy of the payload, if you can write or serialise the payload right behind it.
///
/// # Errors
///
/// As [`seal`].
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{Headers, envelope};
/// use std::io::Write;
///
/// let mut message = envelope::open_ended(&Headers::new())?;
/// write!(message, "{}", 7)?;
/// assert_eq!(*envelope::open(message)?.1, *b"7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_ended(headers: &Headers) -> Result<Vec<u8>, HeadersTooLong> {
    front(headers, 0)
}

fn front(headers: &Headers, room: usize) -> Result<Vec<u8>, HeadersTooLong> {
    let length = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    let short = |length| u16::try_from(length).map_err(|_| HeadersTooLong { length });
    let prefix = short(length)?.to_be_bytes();
    let mut front = Vec::with_capacity(PREAMBLE + length + room);
    front.extend_from_slice(&MAGIC);
    front.push(VERSION);
    front.extend_from_slice(&prefix);
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        front.extend_from_slice(&short(text.len())?.to_be_bytes());
        front.extend_from_slice(text.as_bytes());
    }
    Ok(front)
}

/// Takes headers and payload out of a message. A message without an envelope is all payload.
///
/// The message may be a `Vec<u8>`, a slice, `Bytes` or anything else that holds bytes. It is moved, not copied.
///
/// # Errors
///
/// The message begins like an envelope and goes on in another way. The error gives the message back.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{Headers, envelope};
///
/// let broken = b"\xf5ctxhop\x01\xff".to_vec();
/// let (headers, payload) = envelope::open(broken.clone()).unwrap_or_else(|error| {
///     assert_eq!(error.flaw(), envelope::Flaw::Truncated);
///     (Headers::new(), error.into_payload())
/// });
/// assert_eq!(*payload, *broken);
/// ```
pub fn open<B: AsRef<[u8]>>(message: B) -> Result<(Headers, Payload<B>), OpenError<B>> {
    let bytes = message.as_ref();
    let Some(frame) = bytes.strip_prefix(&MAGIC) else { return Ok((Headers::new(), Payload { message, start: 0 })) };
    match parse(frame) {
        Ok((headers, payload)) => {
            let start = bytes.len() - payload.len();
            Ok((headers, Payload { message, start }))
        }
        Err(flaw) => Err(OpenError { flaw, message }),
    }
}

fn parse(frame: &[u8]) -> Result<(Headers, &[u8]), Flaw> {
    let (&version, rest) = frame.split_first().ok_or(Flaw::Truncated)?;
    if version != VERSION {
        return Err(Flaw::Version(version));
    }
    let (mut front, payload) = split_length(rest).ok_or(Flaw::Truncated)?;
    let mut headers = Headers::new();
    while !front.is_empty() {
        let (name, rest) = split_length(front).ok_or(Flaw::Malformed)?;
        let (value, rest) = split_length(rest).ok_or(Flaw::Malformed)?;
        headers.append(text(name)?.to_owned(), text(value)?);
        front = rest;
    }
    Ok((headers, payload))
}

/// The bytes whose length comes first, and the rest.
fn split_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

fn text(bytes: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|_| Flaw::Malformed)
}

/// The headers are too long for an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadersTooLong {
    length: usize,
}

impl fmt::Display for HeadersTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of headers are too long for an envelope, which takes {}", self.length, u16::MAX)
    }
}

impl Error for HeadersTooLong {}

/// The payload of a message, together with the whole message. It dereferences to the payload's bytes.
#[derive(Clone, Copy)]
pub struct Payload<B> {
    message: B,
    start: usize,
}

impl<B> Payload<B> {
    /// The whole message, with its envelope if it had one.
    pub fn into_message(self) -> B {
        self.message
    }

    /// Where in the message the payload starts, to cut it out with the message's own methods.
    pub const fn start(&self) -> usize {
        self.start
    }
}

impl<B: AsRef<[u8]>> Deref for Payload<B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.message.as_ref().get(self.start..).unwrap_or_default()
    }
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Payload<B> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Shows the length only, because payloads are long and may be secret.
impl<B: AsRef<[u8]>> fmt::Debug for Payload<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payload").field(&format_args!("{} bytes", self.len())).finish()
    }
}

/// A message begins like an envelope and goes on in another way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpenError<B> {
    flaw: Flaw,
    message: B,
}

impl<B> OpenError<B> {
    /// What is wrong with it.
    pub const fn flaw(&self) -> Flaw {
        self.flaw
    }

    /// The message, unchanged.
    pub fn into_message(self) -> B {
        self.message
    }

    /// The whole message as a payload.
    pub fn into_payload(self) -> Payload<B> {
        Payload { message: self.message, start: 0 }
    }
}

/// Does not show the message, which may be long.
impl<B> fmt::Debug for OpenError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenError").field("flaw", &self.flaw).finish_non_exhaustive()
    }
}

impl<B> fmt::Display for OpenError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.flaw.fmt(f)
    }
}

impl<B> Error for OpenError<B> {}

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// The envelope ends before its headers do, or tells a length that is too long.
    Truncated,
    /// This crate does not know the envelope's version.
    Version(u8),
    /// A header is longer than all headers together, or is not UTF-8.
    Malformed,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the envelope ends before its headers do"),
            Self::Version(version) => write!(f, "the envelope is of version {version}, not {VERSION}"),
            Self::Malformed => f.write_str("the envelope's headers are malformed"),
        }
    }
}
