//! The scan: one pass over the text of a document, before any parser.
//!
//! Parsers recurse and build trees, so a hostile text must be turned away before one sees it
//! (`SECURITY.md` 0: F1 overflows the stack, F3 and F4 buy much work with little text). The scan
//! follows the lexical grammar of GraphQL only as far as counting needs it: it must know where
//! strings and comments end, because nothing inside them counts.
//!
//! Architecture invariant: the scan never accepts less nesting than a parser could see. A text
//! that is lexically broken is not refused here, the parser words that error better; but two
//! lexers may disagree about where a broken string ends, and brackets could hide in between. So
//! after the first broken string the scan stops believing in strings and comments at all.

use super::Refusal;

/// What one document may contain. The defaults are those of `SECURITY.md` 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Length of the document in bytes.
    pub bytes: usize,
    /// Tokens: names, numbers, strings and punctuators. Comments, commas and white space are free.
    pub tokens: usize,
    /// Levels of `(`, `[` and `{` inside each other, all three together (F1).
    pub bracket_depth: usize,
    /// Uses of `@` (F4).
    pub directives: usize,
    /// Uses of `...`: fragment spreads and inline fragments (F2).
    pub spreads: usize,
    /// Length of one name in bytes; the grammar allows ASCII only (F5).
    pub name_length: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            tokens: 4_000,
            bracket_depth: 48,
            directives: 40,
            spreads: 200,
            name_length: 128,
        }
    }
}

/// Checks the text of a document against the limits, in one pass and without recursion.
///
/// Time is linear in `document.len()` and stops at the first limit passed; memory is one byte per
/// open bracket. Source: `SECURITY.md` 0, F1-F5.
pub fn scan(document: &str, limits: &ScanLimits) -> Result<(), Refusal> {
    within(document.len(), limits.bytes, "bytes")?;
    Scanner::new(document.as_bytes(), limits).run()
}

/// Where a string literal ends.
enum StringEnd {
    /// Index of the first byte after the closing quotes.
    At(usize),
    /// Not a string by the grammar: no end, a line break inside, or an unknown escape.
    Broken,
}

struct Scanner<'a> {
    text: &'a [u8],
    limits: &'a ScanLimits,
    position: usize,
    tokens: usize,
    directives: usize,
    spreads: usize,
    /// The closing brackets that are still due, outermost first.
    due: Vec<u8>,
    /// Set by a broken string: from then on quotes and `#` hide nothing.
    distrust: bool,
}

impl<'a> Scanner<'a> {
    const fn new(text: &'a [u8], limits: &'a ScanLimits) -> Self {
        Self {
            text,
            limits,
            position: 0,
            tokens: 0,
            directives: 0,
            spreads: 0,
            due: Vec::new(),
            distrust: false,
        }
    }

    fn run(mut self) -> Result<(), Refusal> {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => self.position += 1,
                // A byte order mark may stand anywhere between tokens.
                0xEF if self.rest().starts_with(b"\xEF\xBB\xBF") => self.position += 3,
                b'#' if !self.distrust => {
                    self.position += length_while(self.rest(), |b| !matches!(b, b'\n' | b'\r'));
                }
                _ => self.token(byte)?,
            }
        }
        Ok(())
    }

    /// Consumes one token, at least one byte of it.
    fn token(&mut self, first: u8) -> Result<(), Refusal> {
        count(&mut self.tokens, self.limits.tokens, "tokens")?;
        match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let length = length_while(self.rest(), is_name_byte);
                within(length, self.limits.name_length, "characters in a name")?;
                self.position += length;
                return Ok(());
            }
            b'0'..=b'9' | b'-' => {
                self.position += number_length(self.rest());
                return Ok(());
            }
            b'"' if !self.distrust => {
                match string_end(self.text, self.position) {
                    StringEnd::At(end) => self.position = end,
                    StringEnd::Broken => {
                        // Only the quote is consumed: what follows is counted as plain text. This
                        // happens once at most, so the pass stays linear.
                        self.distrust = true;
                        self.position += 1;
                    }
                }
                return Ok(());
            }
            b'.' if self.rest().starts_with(b"...") => {
                count(&mut self.spreads, self.limits.spreads, "fragment spreads")?;
                self.position += 3;
                return Ok(());
            }
            b'@' => count(&mut self.directives, self.limits.directives, "directives")?,
            b'(' => self.open(b')')?,
            b'[' => self.open(b']')?,
            b'{' => self.open(b'}')?,
            // A closing bracket that does not fit closes nothing: `[}[}[}` would look flat while a
            // parser that skips the bad token goes ever deeper.
            b')' | b']' | b'}' if self.due.last() == Some(&first) => {
                self.due.pop();
            }
            // Other punctuators, and bytes that start no token.
            _ => {}
        }
        self.position += 1;
        Ok(())
    }

    fn open(&mut self, closing: u8) -> Result<(), Refusal> {
        self.due.push(closing);
        within(self.due.len(), self.limits.bracket_depth, "levels of nested brackets")
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.position..).unwrap_or_default()
    }
}

/// Adds one to a counter and checks it.
fn count(counter: &mut usize, limit: usize, subject: &'static str) -> Result<(), Refusal> {
    *counter += 1;
    within(*counter, limit, subject)
}

fn within(value: usize, limit: usize, subject: &'static str) -> Result<(), Refusal> {
    if value <= limit {
        return Ok(());
    }
    Err(Refusal::TooLarge { subject, limit: u64::try_from(limit).unwrap_or(u64::MAX) })
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of the run of bytes at the start of `text` that satisfy `belongs`.
fn length_while(text: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| !belongs(byte)).unwrap_or(text.len())
}

/// Length of the number at the start of `text`, which begins with `-` or a digit.
///
/// A lone `-` has length 1, so the scanner always moves on.
fn number_length(text: &[u8]) -> usize {
    let digits_at = |at: usize| length_while(text.get(at..).unwrap_or_default(), is_digit);
    let mut length = usize::from(text.first() == Some(&b'-'));
    length += digits_at(length);
    if text.get(length) == Some(&b'.') {
        let fraction = digits_at(length + 1);
        // `1...F` is a number and a spread for our purpose, not a number with a bare point.
        if fraction > 0 {
            length += 1 + fraction;
        }
    }
    if matches!(text.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits_at(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Finds the end of the string or block string whose first quote is at `start`.
fn string_end(text: &[u8], start: usize) -> StringEnd {
    let body = text.get(start + 1..).unwrap_or_default();
    if body.starts_with(b"\"\"") {
        return block_string_end(text, start + 3);
    }
    let mut position = start + 1;
    while let Some(&byte) = text.get(position) {
        match byte {
            b'"' => return StringEnd::At(position + 1),
            b'\n' | b'\r' => return StringEnd::Broken,
            b'\\' => match escape_length(text.get(position + 1..).unwrap_or_default()) {
                Some(length) => position += 1 + length,
                None => return StringEnd::Broken,
            },
            _ => position += 1,
        }
    }
    StringEnd::Broken
}

/// Finds the end of a block string whose text starts at `position`.
///
/// The only escape is `\"""`; every other backslash stands for itself.
fn block_string_end(text: &[u8], mut position: usize) -> StringEnd {
    while let Some(rest) = text.get(position..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"\\\"\"\"") {
            position += 4;
        } else if rest.starts_with(b"\"\"\"") {
            return StringEnd::At(position + 3);
        } else {
            position += 1;
        }
    }
    StringEnd::Broken
}

/// Length of the escape after a backslash, or `None` if the grammar has no such escape.
///
/// Surrogate pairs are not checked: a wrong pair moves no quote, so the parser may judge it.
fn escape_length(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(1),
        b'u' if text.get(1) == Some(&b'{') => {
            let digits = length_while(text.get(2..)?, |b| b.is_ascii_hexdigit());
            (digits > 0 && text.get(2 + digits) == Some(&b'}')).then_some(3 + digits)
        }
        b'u' => text.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(5),
        _ => None,
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
