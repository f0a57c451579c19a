//! How long processes have been on a processor. Where the load shares the machine with everything
//! else, this says more of a program than the time that passes.

use crate::database::database_name;

/// Milliseconds on a processor, of all processors; Linux counts in hundredths of a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// By the process that answers.
    pub(crate) process: f64,
    /// By the processes of PostgreSQL that work for this run.
    pub(crate) database: f64,
}

impl Spent {
    /// What was spent so far.
    pub(crate) fn by(process: u32) -> Self {
        let name = database_name();
        let mut database = 0.0;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let title = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if id != std::process::id() && String::from_utf8_lossy(&title).contains(&name) {
                database += of(id);
            }
        }
        Self { process: of(process), database }
    }

    /// For each of so many answers.
    pub(crate) fn since(self, earlier: Self, answers: f64) -> Self {
        Self {
            process: (self.process - earlier.process) / answers,
            database: (self.database - earlier.database) / answers,
        }
    }

    pub(crate) fn total(self) -> f64 {
        self.process + self.database
    }
}

fn of(process: u32) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0.0 };
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    f64::from(ticks.sum::<u32>()) * 10.0
}
