//! The table of results.

use std::io::Write as _;

use crate::load::Measured;

/// One measurement.
pub(crate) struct Row {
    pub(crate) database: &'static str,
    pub(crate) what: String,
    pub(crate) clients: usize,
    pub(crate) statements: Option<u32>,
    pub(crate) measured: Measured,
    /// The floor's answers in a second.
    pub(crate) floor: f64,
    pub(crate) note: String,
}

enum Line {
    Measured(Row),
    Fact(String),
}

/// All measurements so far.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

impl Table {
    /// Notes a measurement, and tells whoever waits.
    pub(crate) fn push(&mut self, row: Row) {
        eprintln!("{}", row.text());
        self.0.push(Line::Measured(row));
    }

    /// Adds a note to the last measurement.
    pub(crate) fn note(&mut self, note: &str) {
        if let Some(Line::Measured(row)) = self.0.last_mut() {
            note.clone_into(&mut row.note);
            eprintln!("    {note}");
        }
    }

    /// Notes something that has no floor.
    pub(crate) fn fact(&mut self, database: &str, what: &str, value: &str) {
        let text = format!("| {database} | {what} | | | | | | | | | | {value} |");
        eprintln!("{text}");
        self.0.push(Line::Fact(text));
    }
}

impl Row {
    fn text(&self) -> String {
        let statements = self.statements.map_or_else(|| "?".to_owned(), |count| count.to_string());
        let Measured { rate, p50, p99, spent } = self.measured;
        format!(
            "| {} | {} | {} | {statements} | {rate:.0} | {p50:.2} | {p99:.2} | {:.3} | {:.3} | {:.0} \
             | {:.3} | {} |",
            self.database,
            self.what,
            self.clients,
            spent.process,
            spent.database,
            self.floor,
            rate / self.floor,
            self.note
        )
    }
}

/// Prints the table as Markdown.
pub(crate) fn print(table: &Table) {
    let mut text = String::from(
        "| Database | What | Clients | Statements | Answers/s | p50 ms | p99 ms | CPU ms | CPU ms of the database | Floor/s \
         | Ratio | Note |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for line in &table.0 {
        match line {
            Line::Measured(row) => text.push_str(&row.text()),
            Line::Fact(fact) => text.push_str(fact),
        }
        text.push('\n');
    }
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}
