//! `version "-" trace-id "-" parent-id "-" trace-flags`, each in lower-case hexadecimal digits of a fixed number.

use opentelemetry::{SpanId, TraceFlags, TraceId};

/// Trace id, parent id and flags.
pub(super) type Fields = (TraceId, SpanId, u8);

/// The length of version `00`, with which all later versions begin.
const LENGTH: usize = 55;

/// Not a version: forbidden.
const NO_VERSION: u8 = 0xff;

pub(super) fn format(trace_id: TraceId, span_id: SpanId, flags: u8) -> String {
    let mut bytes = [0; BYTES];
    bytes[..16].copy_from_slice(&trace_id.to_bytes());
    bytes[16..24].copy_from_slice(&span_id.to_bytes());
    bytes[24] = flags;
    let digits = to_digits(bytes);

    let mut text = [b'-'; LENGTH];
    text[..2].copy_from_slice(b"00");
    text[3..35].copy_from_slice(&digits[..32]);
    text[36..52].copy_from_slice(&digits[32..48]);
    text[53..].copy_from_slice(&digits[48..50]);
    String::from_utf8(text.to_vec()).expect("digits and dashes are ASCII")
}

pub(super) fn parse(value: &str) -> Option<Fields> {
    let (text, rest) = value.as_bytes().split_first_chunk::<LENGTH>()?;
    let mut digits = [b'0'; 2 * BYTES];
    digits[..32].copy_from_slice(&text[3..35]);
    digits[32..48].copy_from_slice(&text[36..52]);
    digits[48..50].copy_from_slice(&text[53..]);
    digits[50..52].copy_from_slice(&text[..2]);
    let bytes = from_digits(&digits)?;
    let (trace_id, rest_of_bytes) = bytes.split_first_chunk().expect("there are more");
    let (span_id, _) = rest_of_bytes.split_first_chunk().expect("there are more");
    let (trace_id, span_id) = (TraceId::from_bytes(*trace_id), SpanId::from_bytes(*span_id));

    let (ends_well, flags) = match bytes[25] {
        0 => (rest.is_empty(), bytes[24]),
        NO_VERSION => (false, 0),
        // Of a later version's flags, only this one is sure to mean the same.
        _ => (matches!(rest, [] | [b'-', ..]), bytes[24] & TraceFlags::SAMPLED.to_u8()),
    };
    let dashes = text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
    let valid = dashes && ends_well && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    valid.then_some((trace_id, span_id, flags))
}

// All digits at once, in loops without an early end, of which the compiler makes a few instructions on sixteen bytes each.

/// Trace id, parent id, flags and version, up to a multiple of sixteen.
const BYTES: usize = 32;

#[inline(always)]
fn to_digits(bytes: [u8; BYTES]) -> [u8; 2 * BYTES] {
    let mut digits = [0; 2 * BYTES];
    for (digits, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        digits[0] = to_digit(byte >> 4);
        digits[1] = to_digit(byte & 0xf);
    }
    digits
}

/// Not inlined, because there the compiler takes it apart into single bytes.
#[inline(never)]
fn from_digits(digits: &[u8; 2 * BYTES]) -> Option<[u8; BYTES]> {
    let mut values = [0; 2 * BYTES];
    let mut wrong = 0;
    for (value, digit) in values.iter_mut().zip(*digits) {
        *value = (digit & 0xf) + (digit >> 6 & 1) * 9;
        // No digit has a value that is too high, or that of another digit.
        wrong |= *value & 0xf0 | to_digit(*value) ^ digit;
    }
    let mut bytes = [0; BYTES];
    for (byte, values) in bytes.iter_mut().zip(values.chunks_exact(2)) {
        *byte = values[0] << 4 | values[1];
    }
    (wrong == 0).then_some(bytes)
}

#[inline(always)]
fn to_digit(value: u8) -> u8 {
    let is_letter = u8::from(value > 9).wrapping_neg();
    value + b'0' + (is_letter & (b'a' - b'9' - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_one_of_sixteen_wherever_it_stands() {
        for place in 0..2 * BYTES {
            for byte in 0..=u8::MAX {
                let mut digits = [b'0'; 2 * BYTES];
                digits[place] = byte;
                let value = match byte {
                    b'0'..=b'9' => Some(byte - b'0'),
                    b'a'..=b'f' => Some(byte - b'a' + 10),
                    _ => None,
                };
                let expected = value.map(|value| {
                    let mut bytes = [0; BYTES];
                    bytes[place / 2] = if place % 2 == 0 { value << 4 } else { value };
                    bytes
                });
                assert_eq!(from_digits(&digits), expected, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn every_byte_has_its_digits() {
        for byte in 0..=u8::MAX {
            let text = format!("{byte:02x}").repeat(BYTES);
            assert_eq!(to_digits([byte; BYTES]), text.as_bytes());
        }
        let text = to_digits(std::array::from_fn(|at| at as u8));
        assert_eq!(text[..8], *b"00010203");
    }
}
