//! `version "-" trace-id "-" parent-id "-" trace-flags`, each in lower-case hexadecimal digits of a fixed number.

use opentelemetry::{SpanId, TraceFlags, TraceId};

/// Trace id, parent id and flags.
pub(super) type Fields = (TraceId, SpanId, u8);

/// The length of version `00`, with which all later versions begin.
const LENGTH: usize = 55;

/// Not a version: forbidden.
const NO_VERSION: u8 = 0xff;

pub(super) fn format(trace_id: TraceId, span_id: SpanId, flags: u8) -> String {
    let mut text = [b'-'; LENGTH];
    text[..2].copy_from_slice(b"00");
    encode(&trace_id.to_bytes(), &mut text[3..35]);
    encode(&span_id.to_bytes(), &mut text[36..52]);
    text[53..].copy_from_slice(&to_digits(flags.into())[6..]);
    String::from_utf8(text.to_vec()).expect("digits and dashes are ASCII")
}

pub(super) fn parse(value: &str) -> Option<Fields> {
    let (text, rest) = value.as_bytes().split_first_chunk::<LENGTH>()?;
    let [_, version, _, flags] = from_digits([b'0', b'0', text[0], text[1], b'0', b'0', text[53], text[54]])?;
    let mut trace_id = [0; 16];
    let mut span_id = [0; 8];
    decode(&text[3..35], &mut trace_id)?;
    decode(&text[36..52], &mut span_id)?;
    let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));

    let (ends_well, flags) = match version {
        0 => (rest.is_empty(), flags),
        NO_VERSION => (false, flags),
        // Of a later version's flags, only this one is sure to mean the same.
        _ => (matches!(rest, [] | [b'-', ..]), flags & TraceFlags::SAMPLED.to_u8()),
    };
    let dashes = text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
    let valid = dashes && ends_well && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    valid.then_some((trace_id, span_id, flags))
}

#[inline(always)]
fn encode(bytes: &[u8], text: &mut [u8]) {
    for (digits, bytes) in text.chunks_exact_mut(8).zip(bytes.chunks_exact(4)) {
        digits.copy_from_slice(&to_digits(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
    }
}

#[inline(always)]
fn decode(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    for (digits, bytes) in text.chunks_exact(8).zip(bytes.chunks_exact_mut(4)) {
        bytes.copy_from_slice(&from_digits(digits.try_into().ok()?)?);
    }
    Some(())
}

// Eight digits at a time, each in a byte of a word. That makes this several times as fast as a loop.

/// The same byte, eight times.
const fn all(byte: u8) -> u64 {
    u64::from_be_bytes([byte; 8])
}

#[inline(always)]
fn to_digits(number: u32) -> [u8; 8] {
    let halves = u64::from(number);
    let halves = (halves | halves << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    text_of((bytes | bytes << 4) & all(0x0f)).to_be_bytes()
}

#[inline(always)]
fn from_digits(digits: [u8; 8]) -> Option<[u8; 4]> {
    let text = u64::from_be_bytes(digits);
    let is_letter = (text & all(0x40)) >> 6;
    let values = (text & all(0x0f)) + 9 * is_letter;
    // A byte that is no digit has the value of another byte by now, or one that is too high.
    let valid = values & all(0xf0) == 0 && text_of(values) == text;
    let bytes = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let [_, a, _, b, _, c, _, d] = bytes.to_be_bytes();
    valid.then_some([a, b, c, d])
}

/// The digits for values of 0 to 15.
#[inline(always)]
fn text_of(values: u64) -> u64 {
    let is_letter = (values + all(6)) >> 4 & all(1);
    values + all(b'0') + is_letter * u64::from(b'a' - b'9' - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_one_of_sixteen_wherever_it_stands() {
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                let mut digits = *b"00000000";
                digits[place] = byte;
                let expected = match byte {
                    b'0'..=b'9' | b'a'..=b'f' => u32::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).ok(),
                    _ => None,
                };
                assert_eq!(from_digits(digits).map(u32::from_be_bytes), expected, "{digits:?}");
            }
        }
    }

    #[test]
    fn every_byte_has_its_digits() {
        for byte in 0..=u32::from(u8::MAX) {
            for number in [byte, byte << 8, byte << 16, byte << 24, !byte] {
                assert_eq!(to_digits(number), *format!("{number:08x}").as_bytes());
            }
        }
    }
}
