//! Reads the text of `--help` that clap writes.

use crate::{code, table};

/// A table of the flags. A flag's variable is the one that clap names, else the result of `variable` for
/// the flag's name.
pub fn flags(help: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let (_, options) = help.split_once("\nOptions:\n").unwrap_or_default();
    let (options, _) = options
        .split_once("\n\n  -h, --help")
        .unwrap_or((options, ""));
    let rows = options.split("\n\n      --").filter_map(|part| {
        let (name, rest) = part.trim_start_matches([' ', '-']).split_once('\n')?;
        let name = name.split([' ', '[']).next()?;
        if name == "version" {
            return None;
        }
        let text = rest.split("[env: ").next()?.split("[default: ").next()?;
        let text = one_line(text);
        // The webhook writes a variable that clap does not know into the help text.
        let (text, default) = match text.strip_suffix(']').and_then(|it| it.rsplit_once(" [")) {
            Some((text, default)) => (text.to_owned(), default.to_owned()),
            None => (text, tag(rest, "default").unwrap_or_default()),
        };
        let variable = tag(rest, "env").or_else(|| variable(name));
        Some([
            code(&format!("--{name}")),
            code(&variable.unwrap_or_default()),
            code(default.trim_matches('"')),
            text.replace('|', "\\|").replace('<', "\\<"),
        ])
    });
    table(["flag", "variable", "default", "meaning"], rows)
}

/// A table of the variables in the list under `heading`: name, two spaces or more, and the meaning,
/// which may continue in the next lines.
pub fn variables(help: &str, heading: &str) -> String {
    let (_, list) = help.split_once(heading).unwrap_or_default();
    let mut rows: Vec<[String; 2]> = Vec::new();
    for line in list.lines().skip(1).take_while(|line| !line.is_empty()) {
        let is_meaning = line.starts_with("   ");
        let (names, meaning) = match line.trim().split_once("  ") {
            _ if is_meaning => ("", line.trim()),
            Some((names, meaning)) => (names, meaning.trim()),
            None => (line.trim(), ""),
        };
        match rows.last_mut() {
            Some([last, text]) if last.ends_with(',') || is_meaning => {
                append(last, names);
                append(text, meaning);
            }
            _ => rows.push([names.to_owned(), meaning.to_owned()]),
        }
    }
    let rows = rows.into_iter().map(|[names, meaning]| {
        let names: Vec<_> = names.split(", ").map(code).collect();
        [names.join(", "), meaning]
    });
    table(["variable", "meaning"], rows)
}

/// The value that clap puts in brackets behind this name, as in `[default: 8000]`.
fn tag(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("[{name}: "))?;
    let (value, _) = rest.split_once(']')?;
    Some(value.trim_end_matches('=').to_owned())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "\
Does it.

Options:
      --port <PORT>
          Port to listen on
          
          [env: APP_PORT=]
          [default: 8000]

      --mode[=<MODE>]
          Either a or b
          (nothing else) [a]

  -h, --help
          Print help

Variables without a flag:
  ONE        the one
  TWO_A, TWO_B,
  TWO_C
             The two
             others

Exit codes:
  0  well
";

    #[test]
    fn flags_have_their_variables_and_defaults() {
        let table = flags(HELP, |flag| Some(format!("APP_{}", flag.to_uppercase())));
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `--port` | `APP_PORT` | `8000` | Port to listen on |",
                "| `--mode` | `APP_MODE` | `a` | Either a or b (nothing else) |",
            ]
        );
    }

    #[test]
    fn variables_may_take_several_lines() {
        let table = variables(HELP, "Variables without a flag:");
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| `ONE` | the one |",
                "| `TWO_A`, `TWO_B`, `TWO_C` | The two others |",
            ]
        );
    }
}
