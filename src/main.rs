//! The program: reads its command and runs it.

use std::process::ExitCode;

use tollkeep::http::threads::STACK_BYTES;

/// An answer is made of thousands of small pieces, by several threads: the system's own allocator
/// takes up to a third of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    match builder.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => {
            tollkeep::cli::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run() -> ExitCode {
    match tollkeep::cli::run().await {
        Ok(code) => code,
        Err(error) => {
            tollkeep::cli::print_error(error.as_ref());
            ExitCode::FAILURE
        }
    }
}
