//! Content negotiation: which media type an answer has, and which a request may have.
//!
//! The rules are those of the GraphQL-over-HTTP audits (`API.md` 1.1): 4655, 22EB, 47DE, 80D8 for
//! `Accept`, 9ABE and 82A3/BF61/78D5 for `Content-Type`. Reading is lenient where clients are
//! known to be sloppy (`q=.2`, a bare `*`) and strict where a wrong guess would run something.

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};

/// The media type of an answer to a GraphQL request. It also decides the status of a request
/// error (`API.md` 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseType {
    /// `application/graphql-response+json`: request errors have a status of their own.
    GraphqlResponseJson,
    /// `application/json`: what old clients expect; request errors are 200.
    Json,
}

impl ResponseType {
    /// The value for the `Content-Type` header, with the charset (audits 82A3, BF61, 78D5).
    pub const fn content_type_value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponseJson => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }
}

/// Chooses the media type of the answer; `None` if the client accepts neither (status 406).
///
/// All `Accept` headers count as one list. The GraphQL type is chosen only if the client names it,
/// then it also wins a tie; a wildcard or no header at all means `application/json`, because a
/// client that does not know the newer type may misread its statuses. A range with `q=0` refuses
/// what it names. An answer depends on this, so it needs `Vary: Accept`.
/// Source: `API.md` 1.1, row 4655.
pub fn response_type(headers: &HeaderMap) -> Option<ResponseType> {
    let accepted = Accepted::read(headers);
    if accepted.empty {
        return Some(ResponseType::Json);
    }
    let wildcard = accepted.application.or(accepted.any).unwrap_or(0);
    let graphql = accepted.graphql.unwrap_or(0);
    let json = accepted.json.unwrap_or(wildcard);
    if graphql > 0 && graphql >= json {
        Some(ResponseType::GraphqlResponseJson)
    } else if json > 0 {
        Some(ResponseType::Json)
    } else if accepted.graphql.is_none() && wildcard > 0 {
        // `application/json;q=0, */*`: JSON is refused by name, anything else is welcome.
        Some(ResponseType::GraphqlResponseJson)
    } else {
        None
    }
}

/// Whether the request body is declared as JSON: exactly one `Content-Type`, `application/json` in
/// any case, and no charset but UTF-8. Other parameters are ignored.
///
/// Anything else gets status 415. This is also the defence against cross-site requests: browsers
/// send the other types without asking first (`SECURITY.md` 0, F6; `API.md` 1.1, row 9ABE).
pub fn is_json_content_type(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = split_unquoted(value, ';').map(str::trim);
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parts.filter_map(parameter).all(|(name, value)| {
            !name.eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8")
        })
}

/// The qualities of the media ranges we care about, in thousandths; `None` if not named.
#[derive(Default)]
struct Accepted {
    /// There was no range at all, which means "anything".
    empty: bool,
    graphql: Option<u16>,
    json: Option<u16>,
    html: Option<u16>,
    application: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    fn read(headers: &HeaderMap) -> Self {
        let mut accepted = Self { empty: true, ..Self::default() };
        for header in headers.get_all(ACCEPT) {
            // Bytes outside of ASCII cannot be part of a type we know.
            let header = String::from_utf8_lossy(header.as_bytes());
            for range in split_unquoted(&header, ',').map(str::trim).filter(|r| !r.is_empty()) {
                accepted.empty = false;
                accepted.add(range);
            }
        }
        accepted
    }

    fn add(&mut self, range: &str) {
        let mut parts = split_unquoted(range, ';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let slot = match kind.as_str() {
            "application/graphql-response+json" => &mut self.graphql,
            "application/json" => &mut self.json,
            "text/html" => &mut self.html,
            "application/*" => &mut self.application,
            "*/*" | "*" => &mut self.any,
            _ => return,
        };
        let weight = parts.filter_map(parameter).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        // A range with a quality nobody can read is as good as not sent.
        let Some(quality) = weight.map_or(Some(1_000), |(_, text)| quality(text)) else { return };
        // Named twice, for example with different parameters: the better offer counts.
        *slot = (*slot).max(Some(quality));
    }
}

/// Reads `0` to `1` with up to three decimals as thousandths; `.5` and `1.` are understood.
fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match whole {
        "1" if thousandths == 0 => Some(1_000),
        "0" => Some(thousandths),
        "" if !fraction.is_empty() => Some(thousandths),
        _ => None,
    }
}

/// Splits `name=value` and takes the quotes off the value.
fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some((name.trim(), unquoted.unwrap_or(value)))
}

/// Splits at a separator, but not inside a quoted string.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |character| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted && character == separator,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GQL: Option<ResponseType> = Some(ResponseType::GraphqlResponseJson);
    const JSON: Option<ResponseType> = Some(ResponseType::Json);

    fn headers(name: &axum::http::HeaderName, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_str(value).unwrap());
        values.map(|value| (name.clone(), value)).collect()
    }

    #[test]
    fn the_answer_has_a_type_the_client_accepts() {
        let gql = "application/graphql-response+json";
        let cases: [(&[&str], Option<ResponseType>); 28] = [
            (&[], JSON),
            (&[""], JSON),
            (&[" , "], JSON),
            (&["*/*"], JSON),
            (&["application/*"], JSON),
            (&["application/json"], JSON),
            (&["APPLICATION/JSON; charset=utf-8"], JSON),
            (&[gql], GQL),
            (&["application/graphql-response+json; charset=utf-8"], GQL),
            (&["application/graphql-response+json, application/json"], GQL),
            (&["application/json, application/graphql-response+json"], GQL),
            (&["application/json", gql], GQL),
            (&["application/graphql-response+json;q=0.8, application/json"], JSON),
            (&["application/graphql-response+json;q=0.9,application/json;q=0.8"], GQL),
            (&["application/graphql-response+json; Q=0, application/json"], JSON),
            (&["application/graphql-response+json;q=0, */*"], JSON),
            (&["application/graphql-response+json;q=0"], None),
            (&["application/graphql-response+json;q=0.000, text/html"], None),
            (&["application/graphql-response+json;q=0.1, */*;q=0.2"], JSON),
            (&["application/json;q=0, */*"], GQL),
            (&["application/json;q=0, application/graphql-response+json;q=0, */*"], None),
            (&["application/*;q=0, */*"], None),
            (&["*/*;q=0"], None),
            (&["text/html, image/gif, *; q=.2, */*; q=.2"], JSON),
            (&["text/html"], None),
            (&["application/json;q=7"], None),
            (&["text/x;a=\"b,application/json\""], None),
            (&["text/x;a=\"\\\",\", application/json;q=1.000"], JSON),
        ];
        for (accept, expected) in cases {
            assert_eq!(response_type(&headers(&ACCEPT, accept)), expected, "{accept:?}");
        }
    }

    #[test]
    fn qualities_are_read_with_care() {
        for (text, expected) in [
            ("1", Some(1_000)),
            ("1.000", Some(1_000)),
            ("0.25", Some(250)),
            (".2", Some(200)),
            ("0", Some(0)),
            ("0.", Some(0)),
            ("1.1", None),
            ("0.1234", None),
            ("", None),
            (".", None),
            ("-1", None),
            ("0.+1", None),
        ] {
            assert_eq!(quality(text), expected, "{text}");
        }
    }

    #[test]
    fn only_json_is_read() {
        let cases: [(&[&str], bool); 17] = [
            (&["application/json"], true),
            (&["Application/JSON"], true),
            (&["application/json;charset=utf-8"], true),
            (&["application/json ; Charset=\"UTF-8\""], true),
            (&["application/json; v=1; x=\"a;charset=latin1\""], true),
            (&["application/json;"], true),
            (&["application/json; charset=utf-16"], false),
            (&["application/json; charset=utf-8; charset=latin1"], false),
            (&["application/jsonp"], false),
            (&["application/graphql"], false),
            (&["text/plain"], false),
            (&["text/plain; a=application/json"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["multipart/form-data; boundary=x"], false),
            (&[""], false),
            (&["application/json", "text/plain"], false),
            (&[], false),
        ];
        for (values, expected) in cases {
            let found = is_json_content_type(&headers(&CONTENT_TYPE, values));
            assert_eq!(found, expected, "{values:?}");
        }
    }

    #[test]
    fn the_content_type_names_the_charset() {
        let value = ResponseType::Json.content_type_value();
        assert_eq!(value, "application/json; charset=utf-8");
        let value = ResponseType::GraphqlResponseJson.content_type_value();
        assert_eq!(value, "application/graphql-response+json; charset=utf-8");
    }
}
