//! Reads notifications from JSON Lines.

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use serde::{Deserialize, Serialize};

/// Longer lines are refused, so that no input can exhaust memory.
const MAX_LINE: usize = 1 << 20;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Notification {
    pub(crate) id: String,
    pub(crate) channel: Channel,
    pub(crate) to: String,
    pub(crate) body: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
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

/// A line that is not parsed yet.
pub(crate) struct Line {
    pub(crate) number: u64,
    bytes: Vec<u8>,
}

impl Line {
    pub(crate) fn parse(&self) -> Result<Notification, Invalid> {
        let line = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        if line.len() > MAX_LINE {
            return Err(Invalid::TooLong);
        }
        let text = std::str::from_utf8(line).map_err(|_| Invalid::NotUtf8)?;
        // Some editors start a file with a byte order mark.
        let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        serde_json::from_str(text).map_err(Invalid::Json)
    }
}

/// The lines of the input, numbered from 1. Blank ones are skipped, but counted in the numbers. Ends after an error.
pub(crate) struct Lines<R> {
    reader: R,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, number: 0, ended: false }
    }

    /// Reads a line up to the limit; what of it is over the limit is skipped. Empty at the end of the input.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes)?;
        if bytes.len() > MAX_LINE && !bytes.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
        }
        Ok(bytes)
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.number += 1;
            match self.read() {
                Ok(bytes) if bytes.is_empty() => self.ended = true,
                Ok(bytes) if bytes.trim_ascii().is_empty() => {}
                Ok(bytes) => return Some(Ok(Line { number: self.number, bytes })),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
