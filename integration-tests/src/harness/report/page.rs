//! A page for people: headings, words, tables; as Markdown and as HTML.

use std::fmt::Write as _;

use super::junit::attribute;
use super::plain;

/// A part of a page.
#[derive(Debug, Clone)]
pub enum Block {
    /// A heading.
    Heading(String),
    /// Words.
    Words(String),
    /// A list.
    List(Vec<String>),
    /// A table.
    Table {
        /// The head.
        head: Vec<String>,
        /// The lines.
        lines: Vec<Vec<String>>,
    },
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// Its parts.
    pub blocks: Vec<Block>,
}

impl Page {
    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", marked(&self.title));
        for block in &self.blocks {
            text.push('\n');
            match block {
                Block::Heading(words) => {
                    let _ = writeln!(text, "## {}", marked(words));
                }
                Block::Words(words) => {
                    let _ = writeln!(text, "{}", marked(words));
                }
                Block::List(items) => {
                    for item in items {
                        let _ = writeln!(text, "- {}", marked(item));
                    }
                }
                Block::Table { head, lines } => {
                    let row = |cells: &[String]| {
                        let cells: Vec<String> = cells.iter().map(|cell| marked(cell)).collect();
                        format!("| {} |\n", cells.join(" | "))
                    };
                    text.push_str(&row(head));
                    let _ = writeln!(text, "|{}", " --- |".repeat(head.len()));
                    text.extend(lines.iter().map(|line| row(line)));
                }
            }
        }
        text
    }

    /// As HTML, complete and without anything from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        let title = attribute(&self.title);
        let mut text = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        for block in &self.blocks {
            let _ = match block {
                Block::Heading(words) => writeln!(text, "<h2>{}</h2>", attribute(words)),
                Block::Words(words) => writeln!(text, "<p>{}</p>", attribute(words)),
                Block::List(items) => {
                    let items: String = items
                        .iter()
                        .map(|it| format!("<li>{}</li>", attribute(it)))
                        .collect();
                    writeln!(text, "<ul>{items}</ul>")
                }
                Block::Table { head, lines } => {
                    let head: String = head
                        .iter()
                        .map(|it| format!("<th>{}</th>", attribute(it)))
                        .collect();
                    let lines: String = lines.iter().map(|line| line_of(line)).collect();
                    writeln!(
                        text,
                        "<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>"
                    )
                }
            };
        }
        text.push_str("</body>\n</html>\n");
        text
    }
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}\
    table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}\
    .ESCAPED{background:#f8b4b4}.CONTAINED{background:#cdeccd}.HARNESS_ERROR,.DEGRADED{background:#fbe3a8}";

fn line_of(cells: &[String]) -> String {
    let cell = |cell: &String| {
        let class = cell.split([' ', '(']).next().unwrap_or_default();
        let class = match class {
            "ESCAPED" | "CONTAINED" | "HARNESS_ERROR" | "DEGRADED" => format!(" class=\"{class}\""),
            _ => String::new(),
        };
        format!("<td{class}>{}</td>", attribute(cell))
    };
    format!("<tr>{}</tr>\n", cells.iter().map(cell).collect::<String>())
}

/// Text that no Markdown reader takes for anything else.
fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
