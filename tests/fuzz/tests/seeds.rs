//! Runs every fuzz target on its seeds, `corpus/<target>/`, as an ordinary test. Finding new inputs
//! needs libFuzzer: `make fuzz`.

// The targets import `fuzz_target` from the crate `libfuzzer_sys`. Here that is this crate.
extern crate self as libfuzzer_sys;

use std::fs;
use std::path::Path;

mod engine {
    /// Stands in for libFuzzer's macro: the target becomes a function that takes one input.
    macro_rules! fuzz_target {
        (|$input:ident: $kind:ty| $body:block) => {
            pub(crate) fn on_input(bytes: &[u8]) {
                let check = |$input: $kind| $body;
                check(crate::Input::of(bytes));
            }
        };
    }
    pub(crate) use fuzz_target;
}
pub(crate) use engine::fuzz_target;

/// One module and one test for each target.
macro_rules! targets {
    ($($name:ident: $path:literal;)*) => {
        $(
            #[path = $path]
            #[expect(unused_attributes, reason = "`no_main` is for libFuzzer's program")]
            mod $name;
        )*

        $(
            #[test]
            fn $name() {
                run_on_seeds(stringify!($name), $name::on_input);
            }
        )*

        const TARGETS: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    assertion: "../fuzz_targets/assertion.rs";
    connection: "../fuzz_targets/connection.rs";
    entra_answer: "../fuzz_targets/entra_answer.rs";
    netlink: "../fuzz_targets/netlink.rs";
    path: "../fuzz_targets/path.rs";
    query: "../fuzz_targets/query.rs";
    webhook_annotations: "../fuzz_targets/webhook_annotations.rs";
    webhook_bundle: "../fuzz_targets/webhook_bundle.rs";
    webhook_patch: "../fuzz_targets/webhook_patch.rs";
    webhook_review: "../fuzz_targets/webhook_review.rs";
    webhook_settings: "../fuzz_targets/webhook_settings.rs";
}

#[test]
fn every_target_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut names: Vec<_> = files
        .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS);
}

fn run_on_seeds(target: &str, on_input: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let seeds: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
    on_input(b"");
    for seed in seeds {
        let seed = seed.unwrap().path();
        // Shown when the target panics.
        println!("{}", seed.display());
        on_input(&fs::read(&seed).unwrap());
    }
}

/// A target's input, made from a seed's bytes as libFuzzer makes it.
trait Input<'a> {
    fn of(bytes: &'a [u8]) -> Self;
}

impl<'a> Input<'a> for &'a [u8] {
    fn of(bytes: &'a [u8]) -> Self {
        bytes
    }
}

impl<'a> Input<'a> for &'a str {
    fn of(bytes: &'a [u8]) -> Self {
        let valid = str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        str::from_utf8(&bytes[..valid]).unwrap()
    }
}
