use std::fmt::{self, Write as _};

use crate::testing::drawing::changes_order;

/// Writes HTML. Markup is `&'static str`, which no stranger's text can be; all else is escaped on its way.
pub(super) struct Markup<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
}

/// What a call gives, so that calls can be chained.
type Written<'m, M> = Result<&'m mut M, fmt::Error>;

impl<'a, 'f> Markup<'a, 'f> {
    pub(super) const fn new(out: &'a mut fmt::Formatter<'f>) -> Self {
        Self { out }
    }

    /// Markup of this crate, unchanged.
    pub(super) fn raw(&mut self, markup: &'static str) -> Written<'_, Self> {
        self.out.write_str(markup)?;
        Ok(self)
    }

    /// Text of one line, between tags or between the quotes of an attribute.
    pub(super) fn text(&mut self, text: impl fmt::Display) -> Written<'_, Self> {
        write!(Escaped { out: self.out, lines: false }, "{text}")?;
        Ok(self)
    }

    /// Text between tags that keeps its lines and tabulators.
    pub(super) fn lines(&mut self, text: impl fmt::Display) -> Written<'_, Self> {
        write!(Escaped { out: self.out, lines: true }, "{text}")?;
        Ok(self)
    }
}

struct Escaped<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    lines: bool,
}

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, char) in text.char_indices() {
            let markup = match char {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                '\n' | '\t' if self.lines => continue,
                // Shown as Rust writes them: HTML has no way to write NUL, and some of the others hide or turn text.
                _ if char.is_control() || changes_order(char) => "",
                _ => continue,
            };
            self.out.write_str(&text[plain..at])?;
            self.out.write_str(markup)?;
            if markup.is_empty() {
                write!(self.out, "{}", char.escape_default())?;
            }
            plain = at + char.len_utf8();
        }
        self.out.write_str(&text[plain..])
    }
}

/// A name that can be seen and clicked, even where there is none.
pub(super) fn name(name: &str) -> &str {
    if name.trim().is_empty() { "(no name)" } else { name }
}

/// A text, or its beginning where it is longer than so many bytes.
pub(super) struct Short<'a>(pub(super) &'a str, pub(super) usize);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, limit) = *self;
        if text.len() <= limit {
            return f.write_str(text);
        }
        let end = (0..=limit).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        write!(f, "{}…", &text[..end])
    }
}

/// A value, or its beginning and how long it is.
pub(super) struct Value<'a>(pub(super) &'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LIMIT: usize = 8192;
        Short(self.0, LIMIT).fmt(f)?;
        if self.0.len() > LIMIT { write!(f, " ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}
