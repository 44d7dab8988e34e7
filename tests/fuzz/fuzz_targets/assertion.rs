//! The service account token's file: whatever is in it, nothing of it is shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::entra::Assertion;

fuzz_target!(|text: &str| {
    let Some(assertion) = Assertion::parse(text) else {
        return;
    };
    assert_eq!(assertion.reveal(), text.trim());
    assert_eq!(format!("{assertion:?}"), "Assertion(REDACTED)");
    let presented = assertion.presented();
    let _ = presented.audience();
});
