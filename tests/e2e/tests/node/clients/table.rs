//! The tables of clients in `docs/sdk-compatibility.md`: each test compares its row, or writes it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/sdk-compatibility.md"
);

/// A table of docs/sdk-compatibility.md, between two HTML comments.
pub struct Table {
    begin: &'static str,
    end: &'static str,
    head: &'static str,
}

/// The results of clients in mode `redirect`.
pub const REDIRECT: Table = Table {
    begin: "<!-- The rows below are written by: UPDATE_DOCS=1 make e2e ARGS=clients -->",
    end: "<!-- The rows above are written by the test. -->",
    head: "| SDK | probes at the first call | the second call | finds IMDS by itself | \
        shows Entra's error | Entra is down | with Workload ID's variables |\n\
        |---|---|---|---|---|---|---|",
};

/// Where clients get tokens in mode `environment`.
pub const ENVIRONMENT: Table = Table {
    begin: "<!-- Mode environment: written by: UPDATE_DOCS=1 make e2e ARGS=in_mode_environment -->",
    end: "<!-- Mode environment: the rows above are written by the test. -->",
    head: "| SDK | its credential for managed identities | what finds a credential by itself |\n|---|---|---|",
};

/// The results of drivers and tools.
pub const DRIVERS: Table = Table {
    begin: "<!-- Drivers: written by: UPDATE_DOCS=1 make e2e ARGS=driver -->",
    end: "<!-- Drivers: the rows above are written by the test. -->",
    head: "| driver or tool | shows Entra's error | when Entra refuses | with Workload ID's variables | in mode `environment` |\n\
        |---|---|---|---|---|",
};

/// The measurements of one client.
pub struct Cells {
    /// The number of probes before the first token.
    pub probes_first: u64,
    /// The number of requests for a token that it got before.
    pub second_call: u64,
    /// The number of probes when it looks for IMDS by itself; `None` when it does not.
    pub probes_default: Option<u64>,
    /// Where its error shows Entra's text.
    pub shown: Shown,
    /// Whether it retries when the proxy reports that Entra is unavailable.
    pub asks_again: bool,
    /// Where it gets tokens in a container with Workload ID's variables.
    pub way: Way,
}

/// The measurements of one driver.
pub struct DriverCells {
    /// Whether its error shows Entra's text.
    pub shows_error: bool,
    /// The number of requests until it reports that Entra refuses.
    pub attempts: u64,
    /// Where it gets tokens in a container with Workload ID's variables.
    pub way: Way,
    /// Where it gets tokens in mode `environment`.
    pub environment: &'static str,
}

/// Where a client's error shows Entra's text.
pub enum Shown {
    /// In its message, or in the message of a cause.
    InText,
    /// In the response that the error holds.
    InResponse,
    /// The error does not show it.
    Nowhere,
}

/// Where a client gets its tokens.
pub enum Way {
    /// From the proxy.
    Proxy,
    /// From Entra, with the pod's own token.
    Entra,
    /// Not tried: its runtime cannot use TLS here.
    NotTried,
}

impl Way {
    fn text(&self) -> &'static str {
        match self {
            Self::Proxy => "asks the proxy",
            Self::Entra => "asks Entra itself",
            Self::NotTried => "not tried",
        }
    }
}

/// Compares a client's row with the page's, or writes it when `UPDATE_DOCS` is set.
pub fn check(table: &Table, title: &str, row: String) {
    // Tests run in parallel.
    static PAGE_IN_USE: Mutex<()> = Mutex::new(());
    let _guard = PAGE_IN_USE.lock();
    let page = Page::read(table);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        page.with(title, row).write(table);
    } else {
        assert_eq!(
            page.rows.get(title),
            Some(&row),
            "docs/sdk-compatibility.md is out of date: UPDATE_DOCS=1 make e2e ARGS=clients"
        );
    }
}

/// Asserts that each of the tables has a row for each of these clients and no other.
pub fn check_titles(tables: &[Table], titles: &[&str]) {
    let mut wanted = titles.to_vec();
    wanted.sort_unstable();
    for table in tables {
        let rows = Page::read(table).rows;
        let found: Vec<_> = rows.keys().map(String::as_str).collect();
        if std::env::var_os("UPDATE_DOCS").is_none() {
            assert_eq!(
                found, wanted,
                "docs/sdk-compatibility.md has other clients than the tests"
            );
        }
    }
}

/// A client's row in [`REDIRECT`].
pub fn row(title: &str, cells: &Cells) -> String {
    let second_call = match cells.second_call {
        0 => "remembered".to_owned(),
        requests => format!("{requests} request"),
    };
    let probes_default = match cells.probes_default {
        None => "no".to_owned(),
        Some(0) => "yes, no request".to_owned(),
        Some(1) => "yes, 1 probe".to_owned(),
        Some(probes) => format!("yes, {probes} probes"),
    };
    let asks_again = if cells.asks_again {
        "asks again"
    } else {
        "shows the error"
    };
    let way = cells.way.text();
    let shown = match cells.shown {
        Shown::InText => "yes",
        Shown::InResponse => "in its response",
        Shown::Nowhere => "no",
    };
    let probes = cells.probes_first;
    format!(
        "| {title} | {probes} | {second_call} | {probes_default} | {shown} | {asks_again} | {way} |"
    )
}

/// A driver's row in [`DRIVERS`].
pub fn driver_row(title: &str, cells: &DriverCells) -> String {
    let shown = if cells.shows_error { "yes" } else { "no" };
    let attempts = match cells.attempts {
        1 => "1 request",
        2..10 => "some requests",
        _ => "10 requests or more",
    };
    let way = cells.way.text();
    let environment = cells.environment;
    format!("| {title} | {shown} | {attempts} | {way} | {environment} |")
}

/// The page, split at the table.
struct Page {
    before: String,
    rows: BTreeMap<String, String>,
    after: String,
}

impl Page {
    fn read(table: &Table) -> Self {
        let text = fs::read_to_string(PAGE).expect("docs/sdk-compatibility.md can be read");
        let (before, rest) = text
            .split_once(table.begin)
            .expect("the page has the table's beginning");
        let (rows, after) = rest
            .split_once(table.end)
            .expect("the page has the table's end");
        let rows = rows.lines().filter(|line| line.starts_with("| ")).skip(1);
        let titled = rows.filter_map(|row| Some((row.split(" | ").next()?.get(2..)?, row)));
        Self {
            before: before.to_owned(),
            rows: titled
                .map(|(title, row)| (title.to_owned(), row.to_owned()))
                .collect(),
            after: after.to_owned(),
        }
    }

    fn with(mut self, title: &str, row: String) -> Self {
        self.rows.insert(title.to_owned(), row);
        self
    }

    fn write(&self, table: &Table) {
        let rows: String = self.rows.values().map(|row| format!("{row}\n")).collect();
        let Table { begin, end, head } = table;
        let (before, after) = (&self.before, &self.after);
        let text = format!("{before}{begin}\n\n{head}\n{rows}\n{end}{after}");
        fs::write(PAGE, text).expect("docs/sdk-compatibility.md can be written");
    }
}
