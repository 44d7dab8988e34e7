//! The documentation has a heading for each code, and no others.

use azwi::checks::Code;

#[test]
fn every_code_has_its_heading() {
    let page = include_str!("../../../docs/checks.md");
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    let headings: Vec<&str> = headings.filter(|it| it.starts_with("AZWI-")).collect();
    let mut codes: Vec<&str> = Code::ALL.iter().map(|it| it.as_str()).collect();
    codes.sort_by_key(|it| "IWSFT".find(it.chars().nth(5).unwrap()));
    assert_eq!(headings, codes);
}

#[test]
fn no_code_is_used_twice_and_each_is_of_a_category() {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|it| it.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Code::ALL.len());
    assert!(Code::ALL.iter().all(|it| "IWSFT".contains(it.category())));
}
