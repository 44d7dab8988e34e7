//! Where the time of a review goes: each stage of the webhook's own work alone, without network.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, anyhow};
use webhook::admission::review::{Review, Size, Verdict};
use webhook::inject::{Account, PodSecurity, Prepared, Seed, inject};

use crate::review;
use crate::table::{aligned, machine, median};

#[path = "../../../webhook/tests/webhook/operator.rs"]
mod operator;

/// Prints a table with the microseconds of each stage, for reviews of several lengths.
///
/// # Errors
///
/// When a review is malformed or its pod refused.
pub fn run() -> Result<()> {
    let columns = LENGTHS
        .map(measure)
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let head = LENGTHS.map(|length| format!("{} KB", length / 1_000));
    let mut lines = vec![[vec!["stage, µs (median)".to_owned()], head.to_vec()].concat()];
    for (index, name) in STAGES.iter().enumerate() {
        let mut line = vec![(*name).to_owned()];
        let times = columns.iter().filter_map(|column| column.get(index));
        line.extend(times.map(|it| format!("{it:.1}")));
        lines.push(line);
    }
    println!("{}\n\n{}", machine(), aligned(&lines));
    Ok(())
}

/// The microseconds of each stage, and of all.
fn measure(length: usize) -> Result<Vec<f64>> {
    let body = review::of_length(length);
    let config = Prepared::from(operator::config(true));
    let account = Account {
        client_id: operator::CLIENT_ID.into(),
        ..Account::default()
    };
    let review = Review::parse(&body)?;
    let pod = review
        .pod()
        .ok_or_else(|| anyhow!("the review has no pod"))?;
    let decide = || {
        let seed = Seed([7; Seed::LENGTH]);
        inject(pod, &config, &account, &seed, PodSecurity::Unknown)
    };
    let verdict = Verdict::Injected(decide()?);
    // In the order of STAGES.
    let mut times = vec![
        time(length, || Size::of(&body).is_ok()),
        time(length, || Review::parse(&body).is_ok()),
        time(length, || decide().is_ok()),
        time(length, || review.answer(&verdict).is_ok()),
    ];
    times.push(times.iter().sum());
    Ok(times)
}

/// The microseconds of a call, the median of some rounds.
fn time<T>(length: usize, mut call: impl FnMut() -> T) -> f64 {
    const ROUNDS: usize = 15;
    let calls = u32::try_from(BYTES_PER_ROUND / length).unwrap_or(1).max(1);
    let rounds = (0..ROUNDS).map(|_| {
        let since = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        since.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    });
    median(rounds.collect()).unwrap_or_default()
}

const STAGES: [&str; 5] = [
    "bound its memory: count objects and lists",
    "read the JSON",
    "decide, and write the JSON Patch",
    "write the answer, with the patch in base64",
    "all",
];

const LENGTHS: [usize; 4] = [2_000, 4_000, 20_000, 200_000];

/// So many that a round takes some 20 ms.
const BYTES_PER_ROUND: usize = 8_000_000;
