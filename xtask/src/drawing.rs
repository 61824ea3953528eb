//! Draws a topology for a terminal.
//!
//! Each node is a box. Each link is a vertical line between the rows of two boxes, with a dot at each
//! end. Where a row only crosses a link, there is no dot.
//!
//! ```text
//!  ┌───┐
//!  │ a ├─●───●
//!  └───┘ │   │
//!  ┌───┐ │   │
//!  │ b ├─●─● │
//!  └───┘   │ │
//!  ┌───┐   │ │
//!  │ c ├───●─●
//!  └───┘
//! ```

use std::collections::BTreeSet;

use crate::process::Adjacency;

/// Rows of text for each node: the box's top, its name, its bottom.
const ROWS_EACH: usize = 3;

/// Draws a topology.
pub(crate) fn draw(mesh: &Adjacency) -> String {
    let nodes: Vec<&String> = mesh.keys().collect();
    let width = nodes.iter().map(|name| name.len()).max().unwrap_or_default();
    let columns = columns(&links(&nodes, mesh));
    let mut picture = String::new();
    for (node, name) in nodes.iter().enumerate() {
        let last = columns.iter().rposition(|column| ends_at(column, node));
        for row in 0..ROWS_EACH {
            let is_name = row == 1;
            let edge = "─".repeat(width + 2);
            let mut line = match row {
                0 => format!(" ┌{edge}┐"),
                1 if last.is_some() => format!(" │ {name:width$} ├"),
                1 => format!(" │ {name:width$} │"),
                _ => format!(" └{edge}┘"),
            };
            for (place, column) in columns.iter().enumerate() {
                let reaches = is_name && last.is_some_and(|last| place <= last);
                let passes = passes(column, node, row);
                line.push(if reaches { '─' } else { ' ' });
                line.push(match (is_name && ends_at(column, node), passes, reaches) {
                    (true, true | false, true | false) => '●',
                    (false, true, true) => '┼',
                    (false, true, false) => '│',
                    (false, false, true) => '─',
                    (false, false, false) => ' ',
                });
            }
            picture.push_str(line.trim_end());
            picture.push('\n');
        }
    }
    picture
}

type Link = (usize, usize);

/// Each link once, as the positions of its nodes. Short links come first, so that they are next to
/// the boxes.
fn links(nodes: &[&String], mesh: &Adjacency) -> Vec<Link> {
    let place = |name: &String| nodes.iter().position(|node| *node == name);
    let each: BTreeSet<Link> = mesh
        .iter()
        .flat_map(|(a, list)| list.iter().map(move |b| (a, b)))
        .filter_map(|(a, b)| Some((place(a)?, place(b)?)))
        .filter(|(a, b)| a != b)
        .map(|(a, b)| (a.min(b), a.max(b)))
        .collect();
    let mut links: Vec<Link> = each.into_iter().collect();
    links.sort_by_key(|&(a, b)| (b - a, a));
    links
}

/// Assigns links to columns. Links that do not touch share a column.
fn columns(links: &[Link]) -> Vec<Vec<Link>> {
    let mut columns: Vec<Vec<Link>> = Vec::new();
    for &(a, b) in links {
        let free =
            columns.iter_mut().find(|column| column.iter().all(|&(from, to)| b < from || to < a));
        match free {
            Some(column) => column.push((a, b)),
            None => columns.push(vec![(a, b)]),
        }
    }
    columns
}

fn ends_at(column: &[Link], node: usize) -> bool {
    column.iter().any(|&(a, b)| a == node || b == node)
}

/// Whether a link of the column is drawn through this row.
fn passes(column: &[Link], node: usize, row: usize) -> bool {
    let at = node * ROWS_EACH + row;
    column.iter().any(|&(a, b)| (a * ROWS_EACH + 2..=b * ROWS_EACH).contains(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(edges: &[(&str, &str)]) -> Adjacency {
        let mut mesh = Adjacency::new();
        for (a, b) in edges {
            mesh.entry((*a).to_owned()).or_default().insert((*b).to_owned());
            mesh.entry((*b).to_owned()).or_default().insert((*a).to_owned());
        }
        mesh
    }

    #[test]
    fn a_triangle_is_three_boxes_and_three_lines() {
        let picture = draw(&mesh(&[("a", "b"), ("b", "c"), ("a", "c")]));
        let expected = "\
\x20┌───┐
 │ a ├─●───●
 └───┘ │   │
 ┌───┐ │   │
 │ b ├─●─● │
 └───┘   │ │
 ┌───┐   │ │
 │ c ├───●─●
 └───┘
";
        assert_eq!(picture, expected);
    }

    #[test]
    fn lines_that_do_not_touch_share_a_column() {
        let picture = draw(&mesh(&[("a", "b"), ("c", "d")]));
        assert!(picture.lines().all(|line| line.chars().count() <= 8), "{picture}");
        assert_eq!(picture.matches('●').count(), 4);
    }

    #[test]
    fn a_node_alone_has_a_closed_box() {
        let mut alone = Adjacency::new();
        alone.insert("a".into(), BTreeSet::new());
        assert_eq!(draw(&alone), " ┌───┐\n │ a │\n └───┘\n");
    }
}
