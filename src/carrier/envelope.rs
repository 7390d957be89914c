//! Headers for protocols that have none: a small frame before the message's body.
//!
//! ```
//! use ctxhop::carrier::{Headers, envelope};
//!
//! let headers = Headers::from_iter([("content-type", "text/plain")]);
//! let message = envelope::seal(&headers, b"hello")?;
//!
//! let (received, payload) = envelope::open(&message)?;
//! assert_eq!((received, payload), (headers, &b"hello"[..]));
//!
//! let (none, foreign) = envelope::open(b"from somebody without envelopes")?;
//! assert!(none.is_empty());
//! assert_eq!(foreign, b"from somebody without envelopes");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both sides have to know of it: a receiver who does not sees the frame as part of the body. A sender who does not is
//! no trouble.
//!
//! # The frame
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `F5 63 74 78 68 6F 70`: a byte that no text has, and `ctxhop` |
//! | 1 | the version, 1 |
//! | 2 | the length of all that follows up to the payload |
//! | 2, n, 2, m | of each header: the length of its name, the name, the length of its value, the value |
//! | the rest | the payload, untouched |
//!
//! Lengths are unsigned and big-endian, names and values UTF-8. A payload may be anything, also a sealed message, of
//! which [`open`] opens the outermost envelope only.

use std::{error::Error, fmt};

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

/// The front of an envelope, to which the payload is to be appended.
///
/// Use it to save a copy, where the payload can be written, or serialised, right behind it.
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
/// assert_eq!(envelope::open(&message)?.1, b"7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_ended(headers: &Headers) -> Result<Vec<u8>, HeadersTooLong> {
    front(headers, 0)
}

fn front(headers: &Headers, room: usize) -> Result<Vec<u8>, HeadersTooLong> {
    let length = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    let mut front = Vec::with_capacity(PREAMBLE + length + room);
    front.extend_from_slice(&MAGIC);
    front.push(VERSION);
    put_length(&mut front, length)?;
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        put_length(&mut front, text.len())?;
        front.extend_from_slice(text.as_bytes());
    }
    Ok(front)
}

fn put_length(front: &mut Vec<u8>, length: usize) -> Result<(), HeadersTooLong> {
    let length = u16::try_from(length).map_err(|_| HeadersTooLong { length })?;
    front.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Takes headers and payload out of a message. One that is not in an envelope is all payload.
///
/// # Errors
///
/// The message begins as an envelope does, and goes on otherwise. The error has the bytes, so that the message can be
/// handled as it is: `open(message).unwrap_or_else(|error| (Headers::new(), error.bytes()))`.
pub fn open(message: &[u8]) -> Result<(Headers, &[u8]), OpenError<'_>> {
    let Some(frame) = message.strip_prefix(&MAGIC) else { return Ok((Headers::new(), message)) };
    parse(frame).map_err(|flaw| OpenError { flaw, bytes: message })
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

/// What follows a length, of that length, and the rest.
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

/// A message begins as an envelope does, and goes on otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpenError<'a> {
    flaw: Flaw,
    bytes: &'a [u8],
}

impl<'a> OpenError<'a> {
    /// What is wrong with it.
    #[must_use]
    pub const fn flaw(&self) -> Flaw {
        self.flaw
    }

    /// The message, as it came.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Without the bytes, which may be many.
impl fmt::Debug for OpenError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenError").field("flaw", &self.flaw).finish_non_exhaustive()
    }
}

impl fmt::Display for OpenError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flaw {
            Flaw::Truncated => write!(f, "the envelope ends before its headers do"),
            Flaw::Version(version) => write!(f, "the envelope is of version {version}, not {VERSION}"),
            Flaw::Malformed => write!(f, "the envelope's headers are malformed"),
        }
    }
}

impl Error for OpenError<'_> {}

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// It ends before its headers do, or says that they are longer than they are.
    Truncated,
    /// It is of a version that this crate does not know.
    Version(u8),
    /// A header is longer than all of them, or is not UTF-8.
    Malformed,
}
