//! Findings, for people and for programs.

pub mod json;
pub mod text;

use crate::checks::{Finding, Severity};
use crate::facts::Gap;

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found, the gravest first.
    pub findings: Vec<Finding>,
    /// What could not be checked.
    pub gaps: Vec<Gap>,
    /// How much was looked at.
    pub checked: Checked,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    /// Objects with a pod template.
    pub workloads: usize,
    /// Labelled pods, and pods without a workload.
    pub pods: usize,
    /// Service accounts.
    pub accounts: usize,
}

impl Report {
    /// Whether something is wrong: information is not.
    #[must_use]
    pub fn has_findings(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|it| it.code.severity() != Severity::Information)
    }
}
