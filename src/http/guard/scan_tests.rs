//! Tests of the scan: the attacks of `SECURITY.md` 0, the lexical corners, and random texts.

use std::time::{Duration, Instant};

use apollo_compiler::parser::Parser;
use proptest::prelude::*;

use super::*;

fn subject(document: &str) -> Option<&'static str> {
    match scan(document, &ScanLimits::default()) {
        Ok(()) => None,
        Err(Refusal::TooLarge { subject, .. }) => Some(subject),
        Err(other) => panic!("a scan must refuse by size only, not with {other}"),
    }
}

#[test]
fn attacks_of_the_threat_model_are_refused() {
    let nest = |open: &str, close: &str, n| format!("{}{}", open.repeat(n), close.repeat(n));
    let aliases =
        (0..10_000).fold(String::from("{"), |text, n| text + &format!("a{n}:__typename "));
    let cases = [
        ("F1 list", format!("{{f(a:{})}}", nest("[", "]", 2_000)), "levels of nested brackets"),
        ("F1 object", format!("{{f(a:{})}}", nest("{a:", "}", 1_500)), "levels of nested brackets"),
        (
            "F1 type",
            format!("query($a:{}){{a}}", nest("[", "]", 2_000)),
            "levels of nested brackets",
        ),
        ("F1 selections", nest("{a", "}", 2_000), "levels of nested brackets"),
        ("F3", aliases[..60_000].to_owned(), "tokens"),
        ("F3, all of it", aliases, "bytes"),
        ("F4 operation", format!("query {} {{a}}", "@a".repeat(5_000)), "directives"),
        ("F4 inline", format!("{{... {} {{a}}}}", "@a".repeat(5_000)), "directives"),
        ("F4 fragment", format!("fragment a on Q {} {{a}}", "@a ".repeat(5_000)), "directives"),
        ("F5 name", "a".repeat(1_000_000), "bytes"),
        ("F5 short name", format!("{{{}}}", "a".repeat(129)), "characters in a name"),
        ("spreads", format!("{{{}}}", "...a ".repeat(201)), "fragment spreads"),
    ];
    let began = Instant::now();
    for (name, document, expected) in &cases {
        assert_eq!(subject(document), Some(*expected), "{name}");
    }
    // Micro-seconds in truth; the bound only has to tell a linear pass from an attack that works.
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn each_limit_is_the_last_value_accepted() {
    let nest = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let cases = [
        (nest(48), nest(49)),
        ("@".repeat(40), "@".repeat(41)),
        ("...".repeat(200), "...".repeat(201)),
        ("!".repeat(4_000), "!".repeat(4_001)),
        ("a".repeat(128), "a".repeat(129)),
        (" ".repeat(64 * 1024), " ".repeat(64 * 1024 + 1)),
    ];
    for (good, bad) in cases {
        assert_eq!(subject(&good), None, "{} bytes", good.len());
        assert!(subject(&bad).is_some(), "{} bytes", bad.len());
    }
}

#[test]
fn strings_and_comments_hide_what_they_hold() {
    let deep = "[{(@...".repeat(100);
    let cases = [
        format!("{{f(a:\"{deep}\")}}"),
        format!("{{f(a:\"\\\"{deep}\\\\\")}}"),
        format!("{{f(a:\"\\u0041\\u{{1F600}}\\/{deep}\")}}"),
        format!("{{f(a:\"\"\"{deep}\n\"\" \\\"\"\" {deep} \\n\"\"\")}}"),
        format!("{{f(a:\"\" b:\"\"\"\"\"\")}} # {deep}"),
        format!("# \" {deep}\r# \"\"\" {deep}\n{{a}}"),
    ];
    for document in cases {
        assert_eq!(subject(&document), None, "{document}");
    }
}

#[test]
fn brackets_cannot_hide_behind_a_broken_string() {
    let deep = "[".repeat(49);
    let cases = [
        // One lexer ends a broken string at the line break, another at the next quote.
        format!("\"\n\"{deep}"),
        format!("\"a\r\"{deep}\""),
        format!("\"{deep}"),
        format!("\"\"\"{deep}"),
        format!("\"\"\"\\\"\"\"{deep}"),
        // One lexer reads `\"` after a bad escape as an escape, another as the end.
        format!("\"\\u12\\\"{deep}\""),
        format!("\"\\u{{12\\\"{deep}\""),
        format!("\"\\x\"{deep}"),
        format!("\"\n # {deep}"),
        // Closing brackets that do not fit must not make the text look flat.
        "[}".repeat(49),
        "{(]".repeat(25),
    ];
    for document in &cases {
        assert_eq!(subject(document), Some("levels of nested brackets"), "{document}");
    }
    assert_eq!(subject("\"\\"), None, "broken, but small: left to the parser");
}

#[test]
fn a_number_is_one_token() {
    for number in ["0", "-1", "12.5", "1e9", "1.5E+10", "-0.1e-3", "007"] {
        assert_eq!(number_length(number.as_bytes()), number.len(), "{number}");
    }
    for (text, length) in [("-", 1), ("1...a", 1), ("1.x", 1), ("1ex", 1), ("1e+", 1), ("2]", 1)] {
        assert_eq!(number_length(text.as_bytes()), length, "{text}");
    }
}

/// Texts made of the pieces a lexer stumbles over, with random characters in between.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\"", "\"\"\"", "\\", "\\\"\"\"", "\\u{", "\\u12", "{", "}", "[", "]", "(", ")", "@",
            "...", ".", "#", "\n", "\r", "-", "0", "1e", "\u{feff}", "name", "$", ":", " ",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
}

/// Small documents that are valid by construction.
fn small_document() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f32>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        "[a-z{}@. ]{0,20}".prop_map(|text| format!("\"{text}\"")),
        "[a-z{}@.\n ]{0,20}".prop_map(|text| format!("\"\"\"{text}\"\"\"")),
        Just("[{a: [1 2]} $v ENUM null]".to_owned()),
    ];
    let field = ("[a-z_]{1,9}", value)
        .prop_map(|(name, value)| format!("{name}(a: {value}) @skip(if: true) # {{[(\n"));
    let tree = prop::collection::vec(field, 1..5).prop_map(|fields| fields.concat());
    (tree, 0_usize..8).prop_map(|(fields, depth)| {
        format!("query {}{{{fields}{}", "{ a ... on T ".repeat(depth), "}".repeat(depth + 1))
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_scan_panic(text in any::<String>(), hostile in hostile_text()) {
        let _ = scan(&text, &ScanLimits::default());
        let _ = scan(&hostile, &ScanLimits::default());
    }

    #[test]
    fn every_step_moves_forward(text in hostile_text()) {
        // Each token takes a byte at least, so tokens never outnumber bytes, and re-reading after
        // a broken string happens once: together the pass is linear.
        let limits = ScanLimits { tokens: text.len(), ..ScanLimits::default() };
        let refused = scan(&text, &limits);
        let by_tokens = matches!(refused, Err(Refusal::TooLarge { subject: "tokens", .. }));
        prop_assert!(!by_tokens);
    }

    #[test]
    fn a_small_document_the_parser_accepts_passes(document in small_document()) {
        let parsed = Parser::new().parse_ast(document.as_str(), "test.graphql");
        prop_assert!(parsed.is_ok(), "the generator must write valid documents: {document}");
        prop_assert_eq!(scan(&document, &ScanLimits::default()), Ok(()));
    }

    #[test]
    fn a_text_that_passes_can_be_parsed_without_harm(text in hostile_text()) {
        if scan(&text, &ScanLimits::default()).is_ok() {
            let _ = Parser::new().parse_ast(text.as_str(), "test.graphql");
        }
    }
}
