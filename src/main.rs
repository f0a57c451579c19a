//! The program: reads its command and runs it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match tollkeep::cli::run().await {
        Ok(code) => code,
        Err(error) => {
            tollkeep::cli::print_error(error.as_ref());
            ExitCode::FAILURE
        }
    }
}
