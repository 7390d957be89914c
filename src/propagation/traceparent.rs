//! `version "-" trace-id "-" parent-id "-" trace-flags`, each in lower-case hexadecimal digits of a fixed number.

use opentelemetry::{SpanId, TraceFlags, TraceId};

/// Trace id, parent id and flags.
pub(super) type Fields = (TraceId, SpanId, u8);

/// The length of version `00`, with which all later versions begin.
const LENGTH: usize = 55;

const VERSION: usize = 0;
const TRACE_ID: usize = 3;
const PARENT_ID: usize = 36;
const FLAGS: usize = 53;

/// Not a version: forbidden.
const NO_VERSION: u8 = 0xff;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What stands for "not a digit" in [`VALUES`]: no digit has any of these bits.
const NO_DIGIT: u8 = 0xf0;

/// The value of each lower-case hexadecimal digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

pub(super) fn format(trace_id: TraceId, span_id: SpanId, flags: u8) -> String {
    let mut text = [b'-'; LENGTH];
    encode(&[0], &mut text, VERSION);
    encode(&trace_id.to_bytes(), &mut text, TRACE_ID);
    encode(&span_id.to_bytes(), &mut text, PARENT_ID);
    encode(&[flags], &mut text, FLAGS);
    String::from_utf8(text.to_vec()).expect("digits and dashes are ASCII")
}

pub(super) fn parse(value: &str) -> Option<Fields> {
    let (text, rest) = value.as_bytes().split_first_chunk::<LENGTH>()?;
    let dashes = [TRACE_ID, PARENT_ID, FLAGS].iter().all(|&field| text[field - 1] == b'-');
    let [version] = decode(text, VERSION)?;
    let trace_id = TraceId::from_bytes(decode(text, TRACE_ID)?);
    let span_id = SpanId::from_bytes(decode(text, PARENT_ID)?);
    let [flags] = decode(text, FLAGS)?;

    let (ends_well, flags) = match version {
        0 => (rest.is_empty(), flags),
        NO_VERSION => (false, flags),
        // Of a later version's flags, only this one may be taken to mean what it does here.
        _ => (matches!(rest, [] | [b'-', ..]), flags & TraceFlags::SAMPLED.to_u8()),
    };
    let valid = dashes && ends_well && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    valid.then_some((trace_id, span_id, flags))
}

fn encode(bytes: &[u8], text: &mut [u8; LENGTH], at: usize) {
    for (digits, byte) in text[at..].chunks_exact_mut(2).zip(bytes) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

fn decode<const N: usize>(text: &[u8; LENGTH], at: usize) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut seen = 0;
    for (byte, digits) in bytes.iter_mut().zip(text[at..].chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(digits[0])], VALUES[usize::from(digits[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen & NO_DIGIT == 0).then_some(bytes)
}
