//! Entra's answer under each kind of status: a token has a bounded lifetime, and every other body is an
//! error with a text and without a token.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use proxy::entra::parse;

fuzz_target!(|body: &[u8]| {
    for status in [200, 302, 400, 401, 429, 503] {
        for retry_after in [None, Some(Duration::from_secs(7))] {
            match parse(status, retry_after, body, SECRET) {
                Ok(granted) => {
                    assert_eq!(status, 200);
                    let year = Duration::from_secs(366 * 24 * 3600);
                    assert!(granted.expires_in <= year && granted.ext_expires_in <= year);
                }
                Err(rejection) => {
                    assert_eq!(rejection.status, status);
                    assert!(rejection.retry_after >= retry_after);
                    let shown = format!("{rejection:?}");
                    assert!(!shown.contains(SECRET) && !shown.contains("eyJhbGciOiJSUzI1"));
                }
            }
        }
    }
});

const SECRET: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3VlciJ9.c2lnbmF0dXJl";
