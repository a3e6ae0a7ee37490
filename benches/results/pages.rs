//! The texts.

use std::fmt::Write as _;

use crate::machine;
use crate::record::{Record, Time, Turns};
use crate::stats::Estimate;

/// What is to be known of a group.
pub(crate) struct About {
    name: &'static str,
    /// What is compared first, and plotted.
    pub(crate) time: Time,
    text: &'static str,
}

const GROUPS: [About; 7] = [
    About {
        name: "spawn",
        time: Time::Cpu,
        text: "A process from spawn to exit, of tiny guests and of usual ones. The floor is wasmtime alone, in a loop on each core \
               without sharing and without a scheduler.",
    },
    About {
        name: "step",
        time: Time::Cpu,
        text: "A yield and what follows until the guest goes on, and a round trip of 64 bytes over TCP.",
    },
    About {
        name: "steal",
        time: Time::Cpu,
        text: "The scheduler alone, without guests: native tasks, on two workers each.",
    },
    About { name: "timer", time: Time::Wall, text: "The time by the wall is the mean lateness of those that wake up." },
    About {
        name: "preempt",
        time: Time::Wall,
        text: "Delays: the time by the wall is the mean delay of a short process among guests that never give up their turn; the CPU \
               is what these compute meanwhile. Turns: what guests take that all compute for many slices.",
    },
    About {
        name: "compute",
        time: Time::Cpu,
        text: "Items that compute for 1 ms. In the mix, where one item of a hundred computes for 100 ms and the others for 50 µs, the \
               time by the wall is the mean of the short ones, from request to end.",
    },
    About { name: "map", time: Time::Cpu, text: "An item of a map over tiny guests." },
];

const OTHER: About = About { name: "", time: Time::Wall, text: "" };

/// The place of a group among the others.
pub(crate) fn place(group: &str) -> usize {
    GROUPS.iter().position(|about| about.name == group).unwrap_or(GROUPS.len())
}

pub(crate) fn about(group: &str) -> &'static About {
    GROUPS.get(place(group)).unwrap_or(&OTHER)
}

/// A median and its bounds.
pub(crate) fn estimate(found: Estimate) -> String {
    let Estimate { median, low, high } = found;
    let digits = if median.abs() < 10.0 { 3 } else { 1 };
    format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]")
}

/// A time in the unit that suits it.
fn time(seconds: f64) -> String {
    match seconds {
        ..1e-6 => format!("{:.0} ns", seconds * 1e9),
        ..1e-3 => format!("{:.2} µs", seconds * 1e6),
        ..1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

fn median(values: &[f64]) -> f64 {
    Estimate::of(values.iter().copied()).median
}

/// All of it.
pub(crate) fn results(records: &[Record], goals: &str) -> String {
    let mut page = String::from(
        "# Results of the benches\n\n\
         Written by `benches/run`, which measures all of this again. In each case all sides do the same work in the same run, by \
         turns; a ratio is the median of those of its rounds, and in brackets is where it is with a confidence of 95 % (of fewer \
         than six rounds: all of them). Times are medians for one piece of work: of the wall, and of the CPU of all threads. What \
         the sides are is said at the top of each group's source.\n\n",
    );
    for (name, found) in machine::facts() {
        let _ = writeln!(page, "- {name}: {found}");
    }
    let _ = writeln!(page, "\n## What was wanted\n\n{goals}");
    for group in records.chunk_by(|one, other| one.group == other.group) {
        let name = &group[0].group;
        let _ = writeln!(page, "## {name}\n\n{}\n\n![{name}](plots/{name}.svg)\n", about(name).text);
        group.iter().for_each(|record| page.push_str(&case(record)));
    }
    page
}

fn case(record: &Record) -> String {
    let rounds = record.sides.first().map_or(0, |turns| turns.wall.len());
    let mut page = format!("### {}\n\n{rounds} rounds, allocator `{}`.\n\n", record.case, record.allocator);
    let references = &record.sides[..record.references.min(record.sides.len())];
    page.push_str("| Side | CPU | Wall |");
    for reference in references {
        let _ = write!(page, " CPU, of {} | wall |", reference.side);
    }
    let _ = writeln!(page, "\n|---|---|---|{}", "---|---|".repeat(references.len()));
    for turns in &record.sides {
        let each = |values: &[f64]| time(median(values) / record.elements as f64);
        let _ = write!(page, "| {} | {} | {} |", turns.side, each(&turns.cpu), each(&turns.wall));
        for reference in references {
            match reference.side == turns.side {
                true => page.push_str(" 1 | 1 |"),
                false => {
                    let ratio = |time: Time| estimate(time.ratio(turns, reference));
                    let _ = write!(page, " {} | {} |", ratio(Time::Cpu), ratio(Time::Wall));
                }
            }
        }
        page.push('\n');
    }
    page.push_str(&figures(&record.sides));
    page.push('\n');
    page
}

/// What a time alone does not tell.
fn figures(sides: &[Turns]) -> String {
    let mut lines = String::new();
    for turns in sides.iter().filter(|turns| !turns.also.is_empty()) {
        let all: Vec<String> =
            turns.also.iter().map(|(what, figures)| format!("{what} {:.1}", median(figures))).collect();
        let _ = writeln!(lines, "- {}: {}", turns.side, all.join("; "));
    }
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Around the table in the README.
const BEGIN: &str = "<!-- written by benches/run -->\n";
const END: &str = "<!-- until here -->";

/// The README with this table.
pub(crate) fn readme(text: &str, goals: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{goals}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_keeps_all_but_the_table() {
        let text = format!("before\n{BEGIN}| old |\n{END}\nafter\n");
        let expected = format!("before\n{BEGIN}| new |\n{END}\nafter\n");
        assert_eq!(readme(&text, "| new |\n"), Some(expected));
        assert_eq!(readme("no place", ""), None);
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        assert_eq!([2.5e-7, 3.2e-6, 0.0155, 1.0].map(time), ["250 ns", "3.20 µs", "15.50 ms", "1.00 s"]);
    }
}
