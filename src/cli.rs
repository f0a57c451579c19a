//! The command line: one program, one command for each job.

use std::error::Error as StdError;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::{self, App, NewAdminKey, Started};
use crate::config::{self, Config, Engine, Overrides, SecretText};
use crate::db::{Database, DatabaseSettings, OpenError};
use crate::http::serve::{ServeLimits, bind, serve};
use crate::{graphql, http, telemetry};

/// The open, single-binary control plane for LLM gateways.
#[derive(Debug, Parser)]
#[command(name = "tollkeep", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// Settings that every command takes; all others are in the file and the environment.
#[derive(Args, Debug)]
struct Settings {
    /// The configuration file; ./tollkeep.toml if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder for the embedded database and the secrets file.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The database: postgres://… or sqlite:FILE. A SQLite file in the data folder by default.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the server.
    Serve {
        /// The address to listen on; 127.0.0.1:4000 by default.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        /// Applies pending migrations of PostgreSQL first; the embedded database always does.
        #[arg(long)]
        migrate: bool,
    },
    /// Shows and applies migrations of the database.
    Migrate {
        #[command(subcommand)]
        command: Migrate,
    },
    /// Prints the GraphQL schema.
    Schema {
        /// Compares it with a file instead, and fails when they differ.
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "schema.graphql")]
        check: Option<PathBuf>,
    },
    /// Prints the effective configuration, with secrets masked.
    Config,
    /// Checks what must hold in the data as a whole, and prints what does not. It changes nothing,
    /// and servers run on meanwhile. The exit code is 0 when all holds, 1 when something does not,
    /// and 2 when it could not be checked.
    Doctor {
        /// Prints each breach as a line of JSON, and a line with the numbers at the end.
        #[arg(long)]
        json: bool,
    },
    /// Looks after the stored secrets of providers.
    Secrets {
        #[command(subcommand)]
        command: Secrets,
    },
}

#[derive(Debug, Subcommand)]
enum Secrets {
    /// Re-wraps all stored secrets under the newest key-encryption key. It can be cut off at any
    /// moment, and goes on when it is run again. With PostgreSQL, servers run on meanwhile; the
    /// embedded database has one process, so stop its server first.
    Rotate {
        /// How many secrets one transaction re-wraps.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=500))]
        batch: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Applies all pending migrations.
    Up,
    /// Lists the migrations, and says which are applied. Fails when some are pending.
    Status,
    /// Takes migrations back, newest first. What they made is lost.
    Down {
        /// How many.
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
}

/// The exit code of an examination that could not be made: 1 is for what it finds.
const NOT_EXAMINED: u8 = 2;

type Failure = Box<dyn StdError + Send + Sync>;

/// Runs the command of the process.
///
/// # Errors
/// What keeps the command from doing its job.
pub async fn run() -> Result<ExitCode, Failure> {
    let cli = Cli::parse();
    let is_doctor = matches!(cli.command, Command::Doctor { .. });
    match run_command(cli).await {
        Err(error) if is_doctor => {
            print_error(error.as_ref());
            Ok(ExitCode::from(NOT_EXAMINED))
        }
        outcome => outcome,
    }
}

async fn run_command(cli: Cli) -> Result<ExitCode, Failure> {
    let mut overrides = Overrides {
        config: cli.settings.config,
        data_dir: cli.settings.data_dir,
        database_url: cli.settings.database_url.map(SecretText::from),
        ..Overrides::default()
    };
    if let Command::Serve { listen, migrate } = &cli.command {
        overrides.listen = listen.clone();
        overrides.migrate = migrate.then_some(true);
    }
    if let Command::Schema { check } = &cli.command {
        return schema(check.as_deref());
    }
    let config = Config::load(&overrides, config::environment()?)?;
    telemetry::init(&config.telemetry);
    match cli.command {
        Command::Serve { .. } => {
            config.validate_serve()?;
            run_server(config).await
        }
        Command::Migrate { command } => migrate(&config, &command).await,
        Command::Config => {
            print(&config.masked_toml())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { json } => doctor(&config, json).await,
        Command::Secrets { command: Secrets::Rotate { batch } } => {
            config.validate_serve()?;
            // A closed pipe is no reason to stop half way.
            app::rotate(&config, batch, |line| drop(print(&format!("{line}\n")))).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Schema { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// Prints an error and its causes to standard error.
pub fn print_error(error: &(dyn StdError + 'static)) {
    let mut text = format!("tollkeep: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  because: {error}\n"));
        cause = error.source();
    }
    // Nobody is left to tell when standard error is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

async fn run_server(config: Config) -> Result<ExitCode, Failure> {
    let listen = config.http.listen;
    let limits = ServeLimits {
        header_timeout: config.http.header_timeout,
        drain: config.http.drain_timeout,
        connections: config.http.max_connections,
        ..ServeLimits::default()
    };
    if config.database.engine() == Engine::Sqlite {
        make_folder(&config)?;
    }
    let Started { app, new_admin_key } = App::start(config, None).await?;
    let listener = bind(listen).map_err(|source| CannotListen { listen, source })?;
    let address = listener.local_addr()?;
    greet(&app, address, new_admin_key.as_ref())?;
    if let Some(key) = new_admin_key {
        key.keep().map_err(|source| KeyNotKept { source })?;
    }
    let draining = app.clone();
    let shutdown = async move {
        wait_for_signal().await;
        tracing::info!("shutting down");
        draining.drain();
    };
    let router = http::router(app.clone());
    serve(listener, router, limits, shutdown).await?;
    app.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: choose another address with --listen")]
struct CannotListen {
    listen: SocketAddr,
    source: std::io::Error,
}

/// The admin key that was shown cannot be stored.
#[derive(Debug, thiserror::Error)]
#[error("the admin key above could not be stored and does not work: start again for another")]
struct KeyNotKept {
    source: crate::secrets_file::Error,
}

/// Makes the data folder, for its owner alone.
fn make_folder(config: &Config) -> Result<(), Failure> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    let path = &config.data_dir;
    folder.create(path).map_err(|source| NoFolder { path: path.clone(), source })?;
    Ok(())
}

/// The data folder cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the data folder {path} cannot be made: choose another with --data-dir", path = path.display())]
struct NoFolder {
    path: PathBuf,
    source: std::io::Error,
}

/// Tells a person on the terminal where the server is, and what to do first.
fn greet(
    app: &App,
    address: SocketAddr,
    new_admin_key: Option<&NewAdminKey>,
) -> Result<(), Failure> {
    let url = format!("http://{address}/graphql");
    let database = match app::location(app.config()) {
        crate::db::Location::Sqlite(path) => path.display().to_string(),
        crate::db::Location::Postgres(_) => "PostgreSQL".to_owned(),
    };
    let mut text = format!("Tollkeep {} on {database}\n", env!("CARGO_PKG_VERSION"));
    let shown = match new_admin_key {
        Some(key) => {
            text.push_str(&format!(
                "\nAdmin key (shown this once; only its digest is kept):\n\n  {}\n",
                key.expose()
            ));
            key.expose()
        }
        None => "$TOLLKEEP_ADMIN_KEY",
    };
    text.push_str(&format!(
        "\nListening on {url}\nTry it:\n\n  curl -s {url} -H \"authorization: Bearer {shown}\" \
         -H 'content-type: application/json' -d '{{\"query\":\"{{ viewer {{ kind permissions }} }}\"}}'\n\n"
    ));
    print(&text)
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn schema(check: Option<&std::path::Path>) -> Result<ExitCode, Failure> {
    let sdl = graphql::sdl();
    let Some(path) = check else {
        print(&sdl)?;
        return Ok(ExitCode::SUCCESS);
    };
    if fs::read_to_string(path)? == sdl {
        return Ok(ExitCode::SUCCESS);
    }
    let text = format!("{} differs from the schema; run `tollkeep schema > {0}`\n", path.display());
    std::io::stderr().write_all(text.as_bytes())?;
    Ok(ExitCode::FAILURE)
}

async fn migrate(config: &Config, command: &Migrate) -> Result<ExitCode, Failure> {
    if config.database.engine() == Engine::Sqlite {
        make_folder(config)?;
    }
    let settings = DatabaseSettings::default();
    let database = Database::open(&app::location(config), &settings).await?;
    let outcome = match command {
        Migrate::Up => database.migrate().await,
        Migrate::Status => status(&database).await,
        Migrate::Down { steps } => database.migrate_down(Some(*steps)).await,
    };
    database.close().await;
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(OpenError::Pending(_)) => Ok(ExitCode::FAILURE),
        Err(error) => Err(error.into()),
    }
}

async fn status(database: &Database) -> Result<(), OpenError> {
    let migrations = database.migrations().await?;
    let pending = migrations.iter().filter(|(_, applied)| !applied).count();
    let mut lines = String::new();
    for (name, applied) in &migrations {
        lines.push_str(if *applied { "applied " } else { "pending " });
        lines.push_str(name);
        lines.push('\n');
    }
    // A closed pipe is no reason to change the answer.
    let _ = std::io::stdout().write_all(lines.as_bytes());
    if pending == 0 { Ok(()) } else { Err(OpenError::Pending(pending)) }
}

async fn doctor(config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let mut written = Ok(());
    let summary = app::doctor(config, &mut |breach| {
        let line = if json {
            serde_json::to_string(&breach).unwrap_or_default()
        } else {
            format!("{}: {} [{}]", breach.kind.code(), breach.message, breach.ids.join(", "))
        };
        if written.is_ok() {
            written = print(&format!("{line}\n"));
        }
    })
    .await?;
    written?;
    let (rows, breaches) = (summary.total_rows(), summary.total_breaches());
    let last = if json {
        serde_json::json!({ "rows": rows, "breaches": breaches }).to_string()
    } else {
        format!("{rows} rows examined, {breaches} breaches found")
    };
    print(&format!("{last}\n"))?;
    Ok(if breaches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
