//! Hostile JSON: deep, wide, long, and what is no JSON at all.

use fastrand::Rng;

/// A value for a place in a document, as bytes: one of four is malformed.
pub fn hostile(rng: &mut Rng) -> Vec<u8> {
    let size = size(rng);
    of_size(size, rng)
}

/// The same, with many parts and at most `most` bytes.
pub fn large(most: usize, rng: &mut Rng) -> Vec<u8> {
    loop {
        let value = of_size(most >> rng.u32(..6), rng);
        if (most / 4..most).contains(&value.len()) {
            return value;
        }
    }
}

fn of_size(size: usize, rng: &mut Rng) -> Vec<u8> {
    if rng.u8(..4) == 0 {
        return malformed(size, rng);
    }
    match rng.u8(..16) {
        0 => [b"[".repeat(size), b"]".repeat(size)].concat(),
        1 => [br#"{"a":"#.repeat(size), b"1".to_vec(), b"}".repeat(size)].concat(),
        2 => list(size, b"0"),
        3 => list(size, b"{}"),
        4 => list(size, br#"{"name":"a"}"#),
        5 => object(size, |nth| format!(r#""k{nth}":1"#)),
        6 => object(size, |_| r#""same":{}"#.to_owned()),
        7 => object(size, |nth| {
            format!(r#""azure.workload.identity/k{nth}":"v""#)
        }),
        8 => quoted(&b"x".repeat(size)),
        9 => quoted(&br"\u0000\n".repeat(size)),
        10 => quoted(&"\u{1f980}\u{202e}".repeat(size).into_bytes()),
        11 => b"9".repeat(size),
        12 => pick(rng, &VALUES),
        13 => [b"null".to_vec(), b" \t\r\n".repeat(size)].concat(),
        _ => quoted(&pick(rng, &TEXTS)),
    }
}

fn malformed(size: usize, rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..8) {
        0 => b"[".repeat(size),
        1 => br#"{"a":"#.repeat(size),
        2 => quoted(&[b"x".repeat(size), br"\ud800".to_vec()].concat()),
        3 => quoted(&[b"x".repeat(size), br"\q".to_vec()].concat()),
        4 => quoted(&[b"x".repeat(size), vec![0xff, 0xc0, 0xaf, 0xed, 0xa0, 0x80]].concat()),
        5 => quoted(&[b"\n".repeat(size.min(99)), b"\x1b[2J\x00\x7f".to_vec()].concat()),
        6 => [b"-0.".to_vec(), b"1".repeat(size), b"e-999999999".to_vec()].concat(),
        _ => pick(
            rng,
            &["1e999", "NaN", "0x10", "01", "1.", "", "'a'", "/**/1"],
        ),
    }
}

/// A count whose magnitude is random, mostly small.
pub fn size(rng: &mut Rng) -> usize {
    let most = if rng.u8(..12) == 0 { 22 } else { 14 };
    let magnitude = rng.u32(..most);
    rng.usize(..2 << magnitude)
}

/// One of these texts.
pub fn pick(rng: &mut Rng, texts: &[&str]) -> Vec<u8> {
    texts[rng.usize(..texts.len())].as_bytes().to_vec()
}

fn quoted(text: &[u8]) -> Vec<u8> {
    [b"\"", text, b"\""].concat()
}

fn list(size: usize, item: &[u8]) -> Vec<u8> {
    let mut text = [b"[", item].concat();
    for _ in 1..size {
        text.push(b',');
        text.extend(item);
    }
    text.push(b']');
    text
}

fn object(size: usize, field: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = format!("{{{}", field(0));
    for nth in 1..size {
        text.push(',');
        text.push_str(&field(nth));
    }
    text.push('}');
    text.into_bytes()
}

const VALUES: [&str; 11] = [
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "\"\"",
    "[null]",
    "{\"\":null}",
    "-1",
    "18446744073709551616",
    "1e99",
];

/// Texts that some reader interprets.
const TEXTS: [&str; 12] = [
    "true",
    "false",
    "TRUE",
    "80",
    "65536",
    "-1",
    "86401",
    "redirect",
    "$(AZURE_CLIENT_SECRET)",
    "../../../etc/passwd",
    "91be0000-1111-2222-3333-444455556666",
    "{\\\"clientId\\\":1}",
];
