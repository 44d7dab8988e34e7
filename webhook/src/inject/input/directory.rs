//! Paths in a container, compared as the runtime resolves them.

/// A path without the parts that do not matter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Directory<'a>(Vec<&'a str>);

impl<'a> Directory<'a> {
    /// `/var/run` counts as `/run`: most images link one to the other.
    pub(crate) fn new(path: &'a str) -> Self {
        let mut parts = Vec::with_capacity(USUAL_DEPTH);
        enter(&mut parts, path);
        if parts.starts_with(&["var", "run"]) {
            parts.remove(0);
        }
        Self(parts)
    }

    pub(crate) fn join(&self, path: &'a str) -> Self {
        let mut parts = self.0.clone();
        enter(&mut parts, path);
        Self(parts)
    }

    pub(crate) fn is_at_or_below(&self, other: &Directory<'_>) -> bool {
        self.0.starts_with(&other.0)
    }

    pub(crate) fn is_below(&self, other: &Directory<'_>) -> bool {
        self != other && self.is_at_or_below(other)
    }
}

fn enter<'a>(parts: &mut Vec<&'a str>, path: &'a str) {
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
}

/// Parts of the path of the token.
const USUAL_DEPTH: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_paths_as_the_runtime_resolves_them() {
        let directory = Directory::new("/var/run/secrets");
        for same in [
            "/run/secrets/",
            "var//run/./secrets",
            "/var/run/x/../secrets",
            "/../run/secrets",
        ] {
            let same = Directory::new(same);
            assert_eq!(same, directory);
            assert!(same.is_at_or_below(&directory) && !same.is_below(&directory));
        }
        assert!(Directory::new("/run/secrets/x").is_below(&directory));
        assert!(directory.join("x").is_below(&directory));
        for other in ["/run", "/run/secrets-x", "/var/secrets", "/"] {
            assert!(!Directory::new(other).is_at_or_below(&directory), "{other}");
        }
        assert!(directory.is_below(&Directory::new("/")));
    }
}
