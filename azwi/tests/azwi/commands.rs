//! The commands that are printed for ordinary names, whole: people paste them, and documents show them.
//! `UPDATE_GOLDEN=1` writes the file again.

use std::fmt::Write;
use std::fs;

use azwi::checks;
use azwi::facts::read::Scope;
use azwi::migrate::plan::Options;
use azwi::migrate::write::{commands, text};

use crate::causes::{DRY_RUNS, FAULTS, facts, findings};
use crate::fixture::healthy;
use crate::migration::planned;
use crate::pod_identity::cluster;

#[tokio::test]
async fn printed_commands_are_those_of_the_golden_file() {
    let mut out = String::new();
    for (_, _, fault) in FAULTS {
        let mut cluster = healthy();
        fault(&mut cluster);
        for found in findings(cluster).await {
            let fix = found.fix.as_deref().unwrap_or_default();
            writeln!(out, "{} {}: {fix}", found.code, found.object).unwrap();
        }
    }
    for (dry_run, _, _) in DRY_RUNS {
        let mut cluster = healthy();
        cluster.dry_run = *dry_run;
        cluster.remove("Pod", "shop-1-a");
        let scope = Scope {
            dry_run: true,
            ..Scope::default()
        };
        for found in checks::all(&facts(cluster, &scope).await) {
            let fix = found.fix.as_deref().unwrap_or_default();
            writeln!(out, "{} {}: {fix}", found.code, found.object).unwrap();
        }
    }
    let (inventory, plan) = planned(cluster(), &Options::default()).await;
    text::write(&mut out, &plan, &inventory.facts.gaps).unwrap();
    out.push_str(&commands::forward(&plan));
    out.push_str(&commands::back(&plan));

    let file = format!(
        "{}/tests/azwi/outputs/commands.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &out).unwrap();
    }
    let golden = fs::read_to_string(&file).unwrap();
    assert_eq!(golden, out, "UPDATE_GOLDEN=1 writes {file} again");
}
