//! The service account token's file: any content is read or refused, and `Debug` shows none of it.

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
