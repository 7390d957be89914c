//! Reads notifications from JSON Lines, one at a time.

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use serde::Deserialize;

/// Longer lines are refused, so that no input can exhaust memory.
const MAX_LINE: usize = 1 << 20;

#[derive(Debug, Deserialize)]
pub(crate) struct Notification {
    pub(crate) id: String,
    pub(crate) channel: Channel,
    pub(crate) to: String,
    pub(crate) body: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    Email,
    Push,
}

impl Channel {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Push => "push",
        }
    }
}

pub(crate) enum LineError {
    /// This line is no notification; the next one may be.
    Invalid(Invalid),
    /// There is no more to be had of this input.
    Read(io::Error),
}

pub(crate) enum Invalid {
    TooLong,
    NotUtf8,
    Json(serde_json::Error),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {MAX_LINE} bytes"),
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::Json(error) => {
                // serde_json counts lines too, from the start of what it is given: always 1, and misleading here.
                let message = error.to_string();
                let position = format!(" at line {} column {}", error.line(), error.column());
                match message.strip_suffix(&position) {
                    Some(message) => write!(f, "{message} (column {})", error.column()),
                    None => f.write_str(&message),
                }
            }
        }
    }
}

/// The lines of the input, with their numbers, from 1. Blank ones are skipped, but counted in the numbers.
pub(crate) struct Lines<R> {
    reader: R,
    number: u64,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, number: 0, buffer: Vec::new(), ended: false }
    }

    /// Reads the next line into the buffer, up to the limit; what of a line is over it is skipped. False at the end.
    fn read(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        (&mut self.reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.len() > MAX_LINE && !self.buffer.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
        }
        Ok(!self.buffer.is_empty())
    }

    fn parse(&self) -> Result<Notification, Invalid> {
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        if line.len() > MAX_LINE {
            return Err(Invalid::TooLong);
        }
        let text = std::str::from_utf8(line).map_err(|_| Invalid::NotUtf8)?;
        // Some editors start a file with a byte order mark.
        let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        serde_json::from_str(text).map_err(Invalid::Json)
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = (u64, Result<Notification, LineError>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.number += 1;
            match self.read() {
                Ok(true) if self.buffer.trim_ascii().is_empty() => {}
                Ok(true) => return Some((self.number, self.parse().map_err(LineError::Invalid))),
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some((self.number, Err(LineError::Read(error))));
                }
            }
        }
        None
    }
}
