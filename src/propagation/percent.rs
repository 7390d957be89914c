//! Percent-encoding, and what W3C Baggage allows unencoded.

use std::borrow::Cow;

/// What a byte is, as flags.
const CLASSES: [u8; 256] = classes();

/// `baggage-octet`: US-ASCII without controls, whitespace, double quote, comma, semicolon and backslash.
const OCTET: u8 = 0b001;
/// `tchar`: what a key may consist of.
const TOKEN: u8 = 0b010;
/// An octet that no receiver takes for anything else. The OpenTelemetry SDK for Rust ends a value at its first `=`.
const PLAIN: u8 = 0b100;

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        if !matches!(byte, b'"' | b',' | b';' | b'\\') {
            classes[byte as usize] |= OCTET;
            if !matches!(byte, b'%' | b'=') {
                classes[byte as usize] |= PLAIN;
            }
        }
        let mark = matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        if mark || byte.is_ascii_alphanumeric() {
            classes[byte as usize] |= TOKEN;
        }
        byte += 1;
    }
    classes
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether it consists of what may be sent as the value of a member or of a property.
pub(super) fn is_value(text: &str) -> bool {
    is_all(text, OCTET)
}

/// Without an early end, which would take longer for what is right.
fn is_all(text: &str, class: u8) -> bool {
    text.bytes().fold(class, |all, byte| all & CLASSES[usize::from(byte)]) != 0
}

/// Whether it may be sent as the key of a member or of a property.
pub(super) fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is(byte, TOKEN))
}

/// Appends a text as a value: all that is not plain is encoded.
pub(super) fn encode_value(text: &str, to: &mut String) {
    if is_all(text, PLAIN) {
        return to.push_str(text);
    }
    encode(text, to, |byte, _| is(byte, PLAIN));
}

/// Appends the value of a property, which may be encoded already: a `%` that begins a code stays.
pub(super) fn complete_value(text: &str, to: &mut String) {
    encode(text, to, |byte, rest| is(byte, OCTET) && (byte != b'%' || code(rest).is_some()));
}

/// Appends the key of a property, in which `%` is a character like others.
pub(super) fn complete_key(text: &str, to: &mut String) {
    encode(text, to, |byte, _| is(byte, TOKEN));
}

/// `keeps` gets a byte and what follows it.
fn encode(text: &str, to: &mut String, keeps: impl Fn(u8, &[u8]) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if keeps(byte, &bytes[at + 1..]) {
            continue;
        }
        // Only ASCII is kept, so this cuts no character.
        if start < at {
            to.push_str(&text[start..at]);
        }
        to.push('%');
        to.push(char::from(DIGITS[usize::from(byte >> 4)]));
        to.push(char::from(DIGITS[usize::from(byte & 0xf)]));
        start = at + 1;
    }
    to.push_str(&text[start..]);
}

/// A `%` that begins no code stays. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    let Some(first) = text.bytes().position(|byte| byte == b'%') else { return text.into() };
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend_from_slice(&text.as_bytes()[..first]);
    let mut rest = &text.as_bytes()[first..];
    while let Some((&byte, after)) = rest.split_first() {
        match code(after) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()).into()
}

/// The byte whose two digits come first.
fn code(rest: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}
