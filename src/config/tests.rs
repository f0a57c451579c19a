//! The layers together: what wins, what is refused and in which words, and what is shown.

use std::fs;

use super::*;

const ADMIN_KEY: &str = "canary-k3Jq9vX2mZ7pL4tR8wYb";
const EXAMPLE: &str = include_str!("../../config.example.toml");

/// What stands in the file, what in the environment, and what is expected.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Loads from a folder that may hold a `tollkeep.toml`; `{dir}` in values is the folder.
fn load(file: &str, variables: &[(&str, &str)], flags: &Overrides) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    fs::write(folder.path().join("key"), format!("{ADMIN_KEY}\n")).unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    if !file.is_empty() {
        fs::write(folder.path().join(DEFAULT_FILE), file.replace("{dir}", &path)).unwrap();
    }
    let variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.replace("{dir}", &path)));
    let slash = format!("{path}/");
    Config::load_beside(folder.path(), flags, variables)
        .map(|mut config| {
            config.origins.values_mut().for_each(|origin| *origin = origin.replace(&slash, ""));
            config
        })
        .map_err(|error| error.to_string().replace(&slash, ""))
}

fn faults(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let error = load(file, variables, &Overrides::default()).unwrap_err();
    error.lines().skip(1).map(|line| line.trim_start_matches("  - ").to_owned()).collect()
}

fn serialised(config: &Config) -> toml::Table {
    toml::Table::try_from(config).unwrap()
}

#[test]
fn nothing_given_is_the_default() {
    let config = load("", &[], &Overrides::default()).unwrap();
    assert_eq!(serialised(&config), serialised(&Config::default()));
    assert!(config.origins.is_empty());
    assert_eq!(config.database_url().expose(), "sqlite://tollkeep-data/tollkeep.db?mode=rwc");
}

#[test]
fn a_later_layer_wins() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\nbody_limit = 70000\n[telemetry]\nlog = \"warn\"";
    let variables = [("TOLLKEEP_LISTEN", "127.0.0.1:2"), ("TOLLKEEP__TELEMETRY__LOG", "debug")];
    let flags = Overrides { listen: Some("127.0.0.1:3".to_owned()), ..Overrides::default() };
    let config = load(file, &variables, &flags).unwrap();
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.http.body_limit, 70_000);
    assert_eq!(config.telemetry.log, "debug");
    let origins: Vec<_> = config.origins.iter().map(|(s, o)| format!("{s}: {o}")).collect();
    assert_eq!(
        origins,
        [
            "http.body_limit: tollkeep.toml, line 3",
            "http.listen: --listen",
            "telemetry.log: TOLLKEEP__TELEMETRY__LOG",
        ]
    );
}

#[test]
fn every_flag_reaches_its_setting() {
    let flags = Overrides {
        config: None,
        listen: Some("[::1]:0".to_owned()),
        data_dir: Some(PathBuf::from("/srv/t")),
        database_url: Some(SecretText::new("postgres://h/d".to_owned())),
        migrate: Some(true),
        log: Some("off".to_owned()),
    };
    let config = load("", &[], &flags).unwrap();
    assert_eq!(config.http.listen.to_string(), "[::1]:0");
    assert_eq!(config.data_dir, Path::new("/srv/t"));
    assert_eq!(config.database_url().expose(), "postgres://h/d");
    assert!(config.database.migrate);
    assert_eq!(config.telemetry.log, "off");
}

#[test]
fn variables_are_read_as_what_the_setting_is() {
    let variables = [
        ("TOLLKEEP__HTTP__MAX_CONNECTIONS", "77"),
        ("TOLLKEEP__HTTP__CORS_ORIGINS", "https://a.example, https://b.example"),
        ("TOLLKEEP__HTTP__TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ("TOLLKEEP__TEAMS__SELF_SERVE", "true"),
        ("TOLLKEEP__LIMITS__COST", "200"),
        ("TOLLKEEP__DATABASE__ACQUIRE_TIMEOUT", "50ms"),
        ("TOLLKEEP_DATA_DIR", "1"),
        ("TOLLKEEP__HTTP__INTROSPECTION", ""),
        ("TOLLKEEP_TEST_POSTGRES", "anything"),
        ("TOLLKEEP_PORT", "tcp://10.0.0.1:4000"),
        ("HOME", "/root"),
    ];
    let config = load("", &variables, &Overrides::default()).unwrap();
    assert_eq!(config.http.max_connections, 77);
    assert_eq!(config.http.cors_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert!(config.teams.self_serve);
    assert_eq!(config.limits.cost, 200);
    assert_eq!(config.database.acquire_timeout.as_millis(), 50);
    assert_eq!(config.data_dir, Path::new("1"));
}

#[test]
fn a_secret_may_come_from_a_file() {
    let ways: [Case; 4] = [
        ("", &[("TOLLKEEP_ADMIN_KEY", ADMIN_KEY)], "TOLLKEEP_ADMIN_KEY"),
        (
            "[auth]\nadmin_key = \"\"\n",
            &[("TOLLKEEP_ADMIN_KEY_FILE", "{dir}/key")],
            "key, named by TOLLKEEP_ADMIN_KEY_FILE",
        ),
        (
            "",
            &[("TOLLKEEP__AUTH__ADMIN_KEY_FILE", "{dir}/key")],
            "key, named by TOLLKEEP__AUTH__ADMIN_KEY_FILE",
        ),
        ("[auth]\nadmin_key_file = \"{dir}/key\"\n", &[], "key, named by tollkeep.toml, line 2"),
    ];
    for (file, variables, origin) in ways {
        let config = load(file, variables, &Overrides::default()).unwrap();
        assert_eq!(config.auth.admin_key.as_ref().unwrap().expose(), ADMIN_KEY);
        assert_eq!(config.origins["auth.admin_key"], origin);
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    let file = "\
port = 1
[http]
listn = \"x\"
listen = \"localhost\"
max_connections = -1
status_profile = \"maybe\"
trusted_proxies = [\"10.0.0.1/8\"]
cors_origins = \"*\"
request_timeout = \"10\"
drain_timeout = \"1d\"
[htpp]
body_limit = 1
[auth]
admin_key = 12345
[limits]
depth = 400
";
    let variables = [
        ("DATABASE_URL", "mysql://u:canary@h/d"),
        ("TOLLKEEP_LISTENN", "canary"),
        ("TOLLKEEP_COLOUR", "canary"),
        ("TOLLKEEP__AUTH__PEPPER", "canary"),
        ("TOLLKEEP__DATABASE__LOCK_TIMEOUT", "6s"),
        ("TOLLKEEP__DATABASE__MIGRATE", "yes"),
        ("TOLLKEEP__TELEMETRY__LOG", "inof"),
        ("TOLLKEEP__TELEMETRY__LOG_FORMAT", "xml"),
    ];
    assert_eq!(
        faults(file, &variables),
        [
            "auth.admin_key (tollkeep.toml, line 14) must be a text",
            "htpp.body_limit (tollkeep.toml, line 12) is not a setting: did you mean \
             http.body_limit?",
            "http.cors_origins (tollkeep.toml, line 8) must be a list of texts, not \"*\"",
            "http.listen (tollkeep.toml, line 4) must be an address and a port, such as \
             127.0.0.1:4000 or [::]:4000, not \"localhost\"",
            "http.listn (tollkeep.toml, line 3) is not a setting: did you mean http.listen?",
            "http.max_connections (tollkeep.toml, line 5) must be a whole number, 0 or more, not \
             -1",
            "http.request_timeout (tollkeep.toml, line 9) must be a whole number and a unit (ms, \
             s, m, h or d), such as \"10s\", not \"10\"",
            "http.status_profile (tollkeep.toml, line 6) must be \"audit\" or \"draft\", not \
             \"maybe\"",
            "http.trusted_proxies (tollkeep.toml, line 7) has bits set after the prefix of \
             \"10.0.0.1/8\": 10.0.0.0/8?",
            "port (tollkeep.toml, line 1) is not a setting: did you mean http.listen?",
            "TOLLKEEP_COLOUR is not a setting",
            "TOLLKEEP_LISTENN is not a setting: did you mean TOLLKEEP_LISTEN?",
            "database.migrate (TOLLKEEP__DATABASE__MIGRATE) must be true or false, not \"yes\"",
            "telemetry.log_format (TOLLKEEP__TELEMETRY__LOG_FORMAT) must be one of \"auto\", \
             \"text\", \"json\", not \"xml\"",
            "http.drain_timeout (tollkeep.toml, line 10) must be from 0s to 10m, not 1d",
            "database.url (DATABASE_URL) must begin with postgres://, postgresql:// or sqlite:",
            "database.lock_timeout (TOLLKEEP__DATABASE__LOCK_TIMEOUT) must not exceed \
             database.statement_timeout (5s)",
            "auth.pepper (TOLLKEEP__AUTH__PEPPER) must be 32 bytes, as 64 hex digits or base64",
            "limits.depth (tollkeep.toml, line 16) must be from 4 to 40, not 400",
            "telemetry.log (TOLLKEEP__TELEMETRY__LOG) must be a level (off, error, warn, info, \
             debug, trace) and then exceptions such as tollkeep::http=debug, not \"inof\"",
        ]
    );
}

#[test]
fn one_fault_is_one_sentence() {
    let cases: [Case; 11] = [
        ("[http]\nlisten = x\n", &[], "tollkeep.toml, line 2 is not TOML: "),
        ("http = 4000\n", &[], "http (tollkeep.toml, line 1) is a section, not a setting"),
        ("[htpp]\n", &[], "htpp (tollkeep.toml, line 1) is not a setting"),
        ("[data_dir]\nx = 1\n", &[], "data_dir.x (tollkeep.toml, line 2) is not a setting"),
        ("[http.listen]\nx = 1\n", &[], "http.listen (tollkeep.toml, line 1) must be a text"),
        (
            "[limits]\ndocument_bytes = 300000\n",
            &[],
            "limits.document_bytes (tollkeep.toml, line 2) must not exceed http.body_limit \
             (262144)",
        ),
        (
            "",
            &[("TOLLKEEP__HTTP__LISTEN", "[::]:1"), ("TOLLKEEP_LISTEN", "[::]:2")],
            "http.listen (TOLLKEEP__HTTP__LISTEN) is also given by TOLLKEEP_LISTEN: keep one of \
             them",
        ),
        (
            "",
            &[("TOLLKEEP_ADMIN_KEY", ADMIN_KEY), ("TOLLKEEP_ADMIN_KEY_FILE", "{dir}/key")],
            "auth.admin_key (key, named by TOLLKEEP_ADMIN_KEY_FILE) is also given by \
             TOLLKEEP_ADMIN_KEY: keep one of them",
        ),
        (
            "",
            &[("DATABASE_URL_FILE", "{dir}/none")],
            "database.url (DATABASE_URL_FILE) cannot be read from none: No such file",
        ),
        (
            "[auth]\npepper_file = \"{dir}/empty\"\n",
            &[],
            "auth.pepper (tollkeep.toml, line 2) cannot be read from empty: the file is empty",
        ),
        (
            "",
            &[("TOLLKEEP_DATA_DIR", "a\nb")],
            "data_dir (TOLLKEEP_DATA_DIR) must be a path in UTF-8 without control characters",
        ),
    ];
    for (file, variables, expected) in cases {
        let found = faults(file, variables);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}\n{found:#?}");
    }
}

#[test]
fn a_broken_file_does_not_show_its_secrets() {
    for file in [
        "[auth]\nadmin_key = canary-1\n",
        "[auth]\nadmin_key = \"canary-2\n",
        "[auth]\nadmin_key = \"canary-3\"\nadmin_key = \"canary-4\"\n",
        "[auth]\nadmin_key = [\"canary-5\"]\n",
        "[auth]\npepper = \"canary-6\"\n",
        "[database]\nurl = { password = \"canary-7\" }\n",
        "[database]\npassword = \"canary-8\"\n",
    ] {
        let error = load(file, &[], &Overrides::default()).unwrap_err();
        assert!(error.contains("line ") && !error.contains("canary"), "{error}");
    }
}

#[test]
fn a_named_file_must_exist_and_an_error_says_how_many() {
    let flags =
        Overrides { config: Some(PathBuf::from("/nowhere/t.toml")), ..Overrides::default() };
    assert_eq!(
        load("", &[("TOLLKEEP_COLOUR", "1")], &flags).unwrap_err(),
        "the configuration has 2 faults:\n  \
         - /nowhere/t.toml cannot be read: No such file or directory (os error 2)\n  \
         - TOLLKEEP_COLOUR is not a setting"
    );
}

#[test]
fn postgres_needs_its_secrets_to_serve() {
    let config = load("", &[("DATABASE_URL", "postgres://h/d")], &Overrides::default()).unwrap();
    let error = config.validate_serve().unwrap_err();
    let sentences: Vec<_> = error.faults.iter().map(|fault| fault.sentence.as_str()).collect();
    assert_eq!(
        sentences,
        [
            "auth.admin_key must be set when the database is PostgreSQL, by TOLLKEEP_ADMIN_KEY or \
             TOLLKEEP_ADMIN_KEY_FILE",
            "auth.pepper must be set when the database is PostgreSQL, by TOLLKEEP__AUTH__PEPPER or \
             TOLLKEEP__AUTH__PEPPER_FILE",
            "auth.kek must be set when the database is PostgreSQL, by TOLLKEEP__AUTH__KEK or \
             TOLLKEEP__AUTH__KEK_FILE",
        ]
    );
    assert!(Config::default().validate_serve().is_ok());
}

#[test]
fn the_masked_text_shows_sources_and_no_secret() {
    let variables = [
        ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY),
        ("DATABASE_URL", "postgres://u:canary@db.example:5432/t?sslmode=require"),
        ("TOLLKEEP_LISTEN", "[::]:4000"),
    ];
    let config = load("[teams]\nself_serve = true\n", &variables, &Overrides::default()).unwrap();
    let text = config.masked_toml();
    for line in [
        "data_dir = \"tollkeep-data\"  # default",
        "listen = \"[::]:4000\"  # from TOLLKEEP_LISTEN",
        "# url: set (from DATABASE_URL) to postgres://u:***@db.example:5432/t?sslmode=require",
        "# admin_key: set (from TOLLKEEP_ADMIN_KEY)",
        "# pepper: not set",
        "self_serve = true  # from tollkeep.toml, line 2",
        "acquire_timeout = \"500ms\"  # default",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert!(!text.contains("canary") && !format!("{config:?}").contains("canary"));

    let again = load(&text, &variables[..2], &Overrides::default()).unwrap();
    assert_eq!(serialised(&again), serialised(&config), "the text is a configuration file");
}

#[test]
fn the_example_is_the_default_and_names_every_setting() {
    let with_settings: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n");
    for text in [EXAMPLE, &with_settings] {
        let config = load(text, &[], &Overrides::default()).unwrap();
        assert_eq!(serialised(&config), serialised(&Config::default()));
    }

    let example: toml::Table = with_settings.parse().unwrap();
    for name in Known::new().file_names() {
        let found = match name.split_once('.') {
            Some((section, key)) => example.get(section).and_then(|section| section.get(key)),
            None => example.get(&name),
        };
        assert!(found.is_some(), "config.example.toml does not name {name}");
    }
}

#[test]
fn the_real_environment_is_filtered() {
    let ours = environment().unwrap();
    assert!(ours.iter().all(|(name, _)| known::is_ours(name)));
}
