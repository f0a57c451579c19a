//! Where a gateway may be sent: the hosts of API bases, and the secrets that must not stand in the
//! open beside them (SECURITY 2, case 16).
//!
//! Names are judged as they are written. To which addresses they resolve, and to where a server
//! redirects, only the gateway sees.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use entity::credential;
use serde_json::Value;
use url::{Host, Url};

use super::field::Faults;

/// The most hosts of a credential.
pub const HOSTS: usize = 50;

/// What is known of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A host of the internet.
    Public,
    /// A host of some private network, or of the machine itself.
    Private,
    /// A service that gives a machine its own secrets.
    Metadata,
}

/// Who decides where a model is reached, and what is sent there.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// The credential that is sent.
    pub credential: Option<&'a credential::Model>,
    /// Whether the caller runs the platform, and so knows its private networks.
    pub trusted: bool,
}

impl Rule<'_> {
    /// Checks the address of a model.
    pub fn check_base(&self, faults: &mut Faults, field: &str, text: &str) {
        match Url::parse(text) {
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                faults.add(field, "leave out what follows ? or #: parameters go into params");
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") => {
                self.check_url(faults, field, &url);
            }
            _ => faults.add(field, "write a URL such as https://api.example.com/v1"),
        }
        faults.text(field, text, 2_000);
    }

    /// Checks everything in further parameters that could be an address.
    pub fn check_params(&self, faults: &mut Faults, field: &str, value: &Value) {
        match value {
            Value::String(text) if text.contains("://") => match Url::parse(text.trim()) {
                Ok(url) if matches!(url.scheme(), "http" | "https" | "ws" | "wss") => {
                    self.check_url(faults, field, &url);
                }
                Ok(url) if matches!(url.scheme(), "s3" | "gs") => {}
                _ => faults.add(field, "write addresses as https:// URLs"),
            },
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.check_params(faults, &format!("{field}.{index}"), item);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    let field = format!("{field}.{key}");
                    let bare = value.as_str().is_some_and(|text| !text.contains("://"));
                    if bare && names_an_address(key) {
                        faults.add(&field, "write addresses as https:// URLs");
                    }
                    self.check_params(faults, &field, value);
                }
            }
            _ => {}
        }
    }

    fn check_url(&self, faults: &mut Faults, field: &str, url: &Url) {
        let Some(host) = url.host() else {
            faults.add(field, "write a URL with a host");
            return;
        };
        if !url.username().is_empty() || url.password().is_some() {
            faults.add(field, "leave the user and the password out: secrets go into a credential");
            return;
        }
        let reach = reach(&host);
        if reach == Reach::Metadata {
            faults.add(field, "this is an address at which machines get their own secrets");
            return;
        }
        let Some(credential) = self.credential else {
            if reach == Reach::Private && !self.trusted {
                faults.add(field, "only the platform's admins may send calls to a private address");
            }
            return;
        };
        let secure = matches!(url.scheme(), "https" | "wss");
        if reach == Reach::Private && credential.team_id.is_none() {
            faults.add(field, "a credential of the platform is not sent to a private address");
        } else if !is_allowed(&credential.allowed_hosts.0, &host.to_string()) {
            faults.add(field, "this host is not among the allowedHosts of the credential");
        } else if reach == Reach::Public && !secure {
            faults.add(field, "a credential is sent by https alone");
        }
    }
}

/// Reads the hosts of a credential: names, numbers, or `*.` before a name of two parts or more.
pub fn read_hosts(
    faults: &mut Faults,
    field: &str,
    hosts: &[String],
    may_be_private: bool,
) -> Vec<String> {
    if hosts.len() > HOSTS {
        faults.add(field, format!("give at most {HOSTS} hosts"));
    }
    let mut read: Vec<String> = Vec::new();
    for (index, text) in hosts.iter().enumerate().take(HOSTS) {
        let field = format!("{field}.{index}");
        let (prefix, name) = match text.strip_prefix("*.") {
            Some(name) => ("*.", name),
            None => ("", text.as_str()),
        };
        let host = Host::parse(name).ok().filter(|_| text.len() <= 255);
        let Some(host) = host.filter(|host| match host {
            Host::Domain(name) => !name.contains('*'),
            Host::Ipv4(_) | Host::Ipv6(_) => prefix.is_empty(),
        }) else {
            faults.add(field, "write a host such as api.example.com, without port and path");
            continue;
        };
        let name = host.to_string().trim_end_matches('.').to_owned();
        match reach(&host) {
            Reach::Metadata => {
                faults.add(field, "this is an address at which machines get their own secrets");
            }
            Reach::Private if !may_be_private => faults.add(
                field,
                "only the platform's admins may allow a private address, for a team's credential",
            ),
            _ if !prefix.is_empty() && !name.contains('.') => {
                faults.add(field, "a * stands before a name of two parts or more");
            }
            _ => {
                let host = format!("{prefix}{name}");
                if !read.contains(&host) {
                    read.push(host);
                }
            }
        }
    }
    read
}

fn is_allowed(hosts: &[String], host: &str) -> bool {
    let host = host.trim_end_matches('.');
    hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
        Some(end) => host.len() > end.len() && host.ends_with(end),
        None => allowed == host,
    })
}

fn reach<S: AsRef<str>>(host: &Host<S>) -> Reach {
    match host {
        Host::Domain(name) => reach_of_name(&name.as_ref().trim_end_matches('.').to_lowercase()),
        Host::Ipv4(address) => reach_of_v4(*address),
        Host::Ipv6(address) => reach_of_v6(*address),
    }
}

fn reach_of_name(name: &str) -> Reach {
    if let Ok(address) = name.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) => reach_of_v4(address),
            IpAddr::V6(address) => reach_of_v6(address),
        };
    }
    let metadata = ["metadata", "instance-data"];
    let first = name.split('.').next().unwrap_or(name);
    let private = ["localhost", "local", "internal", "lan", "intranet", "home.arpa", "svc"];
    let within = |end: &&str| name == *end || name.ends_with(&format!(".{end}"));
    if private.iter().any(within) || !name.contains('.') {
        return if metadata.contains(&first) { Reach::Metadata } else { Reach::Private };
    }
    Reach::Public
}

fn reach_of_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        (169, 254, ..) | (100, 100, 100, 200) | (192, 0, 0, 192) => Reach::Metadata,
        (0 | 10 | 127 | 224..=255, ..)
        | (100, 64..=127, ..)
        | (172, 16..=31, ..)
        | (192, 168, ..)
        | (192, 0, 0 | 2, _)
        | (198, 18..=19, ..) => Reach::Private,
        _ => Reach::Public,
    }
}

fn reach_of_v6(address: Ipv6Addr) -> Reach {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        reach_of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Reach::Private,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, .., high, low] => {
            embedded(high, low)
        }
        [0x2002, high, low, ..] => embedded(high, low),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Reach::Metadata,
        [first, ..] if first & 0xffc0 == 0xfe80 => Reach::Metadata,
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xff00 == 0xff00 => Reach::Private,
        _ => Reach::Public,
    }
}

fn names_an_address(key: &str) -> bool {
    let key = plain_key(key);
    ["base", "endpoint", "host", "hostname", "url", "uri", "proxy"]
        .iter()
        .any(|end| key.ends_with(end))
}

fn plain_key(key: &str) -> String {
    key.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// How a reference to the environment of a gateway begins.
pub const REFERENCE: &str = "os.environ/";

/// Finds secrets, and references to the environment of a gateway, in JSON that is stored in the open;
/// they belong into a credential (REFERENCE MD-NEW-5, C-M9).
pub fn refuse_secrets(faults: &mut Faults, field: &str, value: &Value) {
    match value {
        Value::String(text) if looks_secret(text) => {
            faults.add(field, "this looks like a secret: put it into a credential");
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                refuse_secrets(faults, &format!("{field}.{index}"), item);
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                if looks_secret(key) {
                    faults
                        .add(field, "a key in here looks like a secret: put it into a credential");
                    continue;
                }
                let field = format!("{field}.{key}");
                let holds = matches!(value, Value::String(_) | Value::Array(_) | Value::Object(_));
                if holds && names_a_secret(key) {
                    faults.add(&field, "secrets are not stored here: put this into a credential");
                } else {
                    refuse_secrets(faults, &field, value);
                }
            }
        }
        _ => {}
    }
}

/// The same, for one text.
pub fn refuse_secret(faults: &mut Faults, field: &str, text: &str) {
    if looks_secret(text) {
        faults.add(field, "this looks like a secret: put it into a credential");
    }
}

fn names_a_secret(key: &str) -> bool {
    let key = plain_key(key);
    if key.ends_with("tokens") || key.ends_with("pertoken") {
        return false;
    }
    let parts = [
        "apikey",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "authorization",
        "credential",
        "privatekey",
        "accesskey",
        "accountkey",
        "subscriptionkey",
        "cookie",
        "bearer",
        "signature",
    ];
    parts.iter().any(|part| key.contains(part))
        || key.ends_with("token")
        || key.ends_with("auth")
        || key == "key"
}

fn looks_secret(text: &str) -> bool {
    let starts = [
        "sk-",
        "sk_",
        "pk-",
        "rk-",
        "gsk_",
        "xai-",
        "hf_",
        "AIza",
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "ya29.",
        "eyJ",
        "pplx-",
        "r8_",
    ];
    let start = text.trim_start();
    let scheme = start.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "))
        || start.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("basic "));
    (text.len() >= 16 && starts.iter().any(|prefix| start.starts_with(prefix)))
        || scheme
        || text.contains("-----BEGIN")
        || text.contains(REFERENCE)
        || crate::sealing::looks_sealed(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Error;

    fn reach_of(url: &str) -> Reach {
        reach(&Url::parse(url).unwrap().host().unwrap())
    }

    /// SECURITY case 16: whatever way an address is written.
    #[test]
    fn private_and_metadata_addresses_are_known_in_every_notation() {
        for url in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xA9FEA9FE/",
            "http://0251.0376.0251.0376/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://metadata.google.internal/",
            "http://METADATA.google.internal./",
            "http://100.100.100.200/",
        ] {
            assert_eq!(reach_of(url), Reach::Metadata, "{url}");
        }
        for url in [
            "http://localhost:4000",
            "http://127.1/",
            "http://10.0.0.1",
            "http://172.31.0.1",
            "http://192.168.1.1",
            "http://[::1]",
            "http://[fc00::1]",
            "http://vllm",
            "http://vllm.default.svc",
            "http://db.corp.internal",
            "http://0/",
        ] {
            assert_eq!(reach_of(url), Reach::Private, "{url}");
        }
        for url in ["https://api.openai.com/v1", "https://8.8.8.8", "https://[2606:4700::1]"] {
            assert_eq!(reach_of(url), Reach::Public, "{url}");
        }
    }

    #[test]
    fn a_star_stands_for_one_or_more_labels_in_front() {
        let hosts = ["*.openai.azure.com".to_owned(), "api.openai.com".to_owned()];
        for (host, allowed) in [
            ("api.openai.com", true),
            ("a.openai.azure.com", true),
            ("openai.azure.com", false),
            ("evilopenai.azure.com", false),
            ("api.openai.com.evil.example", false),
        ] {
            assert_eq!(is_allowed(&hosts, host), allowed, "{host}");
        }
    }

    /// C-M9, MD-NEW-5.
    #[test]
    fn secrets_do_not_pass_as_parameters() {
        for value in [
            json!({ "api_key": "x" }),
            json!({ "nested": [{ "Client-Secret": "x" }] }),
            json!({ "extra_headers": { "Authorization": "x" } }),
            json!({ "aws_session_token": "x" }),
            json!({ "vertex_credentials": {} }),
            json!({ "note": "sk-0123456789abcdef" }),
            json!({ "note": "Bearer x" }),
            json!({ "note": "os.environ/OPENAI_API_KEY" }),
            json!({ "note": "-----BEGIN PRIVATE KEY-----" }),
            json!({ "sk-0123456789abcdef": 1 }),
        ] {
            let mut faults = Faults::default();
            refuse_secrets(&mut faults, "input.params", &value);
            assert!(matches!(faults.finish(), Err(Error::BadInput(_))), "{value}");
        }
        let mut faults = Faults::default();
        let plain = json!({ "max_tokens": 5, "input_cost_per_token": "0.1", "api_version": "v1",
            "use_token": true, "monkey": "x" });
        refuse_secrets(&mut faults, "input.params", &plain);
        faults.finish().unwrap();
    }
}
