//! `wippy ps`: the processes of running runtimes, as a table or as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::PsArgs;
use super::exit::SUCCESS;
use super::peers::{Seen, look_once};
use super::report::{BOLD, CommandError, RESET, Terminal};
use super::watch;
use crate::control::{ProcessInfo, RuntimeInfo};
use crate::registry::render::one_line;

pub(super) fn run(args: &PsArgs, terminal: Terminal) -> Result<u8, CommandError> {
    if args.watch {
        return watch::run(args, terminal);
    }
    let seen = look_once(&args.runtime, terminal)?;
    if args.json {
        terminal.out(&format!("{:#}\n", as_json(&seen)))?;
    } else {
        let lines = as_lines(&seen, terminal.colors_out());
        terminal.out(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    }
    Ok(SUCCESS)
}

/// An array with an object for each process: what it says of itself, and its runtime.
pub(super) fn as_json(seen: &[Seen]) -> Value {
    let mut all = Vec::new();
    for Seen { runtime, processes, .. } in seen {
        for process in processes {
            let mut value = json!(process);
            value["runtime"] = json!(runtime.id);
            all.push(value);
        }
    }
    Value::Array(all)
}

/// A column of the table.
struct Column {
    name: &'static str,
    is_number: bool,
    cell: fn(&RuntimeInfo, &ProcessInfo) -> String,
}

const fn text(name: &'static str, cell: fn(&RuntimeInfo, &ProcessInfo) -> String) -> Column {
    Column { name, is_number: false, cell }
}

const fn number(name: &'static str, cell: fn(&RuntimeInfo, &ProcessInfo) -> String) -> Column {
    Column { name, is_number: true, cell }
}

/// Where there are several runtimes.
const RUNTIME: Column = text("RUNTIME", |runtime, _| runtime.id.clone());

/// Where somebody has a name. Guests choose them, and must not write control sequences to a terminal.
const NAME: Column = text("NAME", |_, process| or_none(&one_line(&process.names.join(","))));

const COLUMNS: [Column; 9] = [
    text("PID", |_, process| process.pid.clone()),
    text("ENTRY", |_, process| process.entry.clone()),
    text("STATE", |_, process| process.state.clone()),
    text("WAIT", |_, process| or_none(&process.wait.join(","))),
    number("STEPS", |_, process| process.steps.to_string()),
    number("CPU", |_, process| time(process.cpu_ns)),
    number("MEMORY", |_, process| bytes(process.memory)),
    number("MAILBOX", |_, process| process.mailbox.map_or("-".to_owned(), |messages| messages.to_string())),
    number("UPTIME", |_, process| time(process.uptime_ns)),
];

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// The table, its heading first.
pub(super) fn as_lines(seen: &[Seen], colors: bool) -> Vec<String> {
    let has_names = seen.iter().flat_map(|seen| &seen.processes).any(|process| !process.names.is_empty());
    let mut columns: Vec<&Column> = COLUMNS.iter().collect();
    if has_names {
        columns.insert(2, &NAME);
    }
    if seen.len() > 1 {
        columns.insert(0, &RUNTIME);
    }
    let mut rows = vec![columns.iter().map(|column| column.name.to_owned()).collect::<Vec<_>>()];
    for Seen { runtime, processes, .. } in seen {
        rows.extend(
            processes.iter().map(|process| columns.iter().map(|column| (column.cell)(runtime, process)).collect()),
        );
    }
    let width = |text: &str| text.chars().count();
    let widths: Vec<_> =
        (0..columns.len()).map(|at| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0)).collect();
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let cells = row.iter().zip(&columns).zip(&widths).map(|((cell, column), widest)| {
            let gap = " ".repeat(widest - width(cell));
            if column.is_number { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
        });
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
    }
    if colors && let Some(heading) = lines.first_mut() {
        *heading = format!("{BOLD}{heading}{RESET}");
    }
    lines
}

/// A time in the two units that say most: `12ms`, `1.2s`, `3m02s`, `2h05m`, `3d04h`.
fn time(nanos: u64) -> String {
    let time = Duration::from_nanos(nanos);
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{}ms", time.subsec_millis()),
        1..60 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A number of bytes in the largest unit of which there is at least one: `0B`, `640KiB`, `1.4MiB`.
fn bytes(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift != 0) {
        None => format!("{bytes}B"),
        Some((shift, unit)) => {
            // Tenths, cut off: nothing is shown as more than it is.
            let tenths = (u128::from(bytes) * 10) >> shift;
            if tenths.is_multiple_of(10) || tenths >= 1000 {
                format!("{}{unit}", tenths / 10)
            } else {
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A runtime with processes, as they come over the line.
    pub(in crate::cli) fn seen(program: u32, processes: &[Value]) -> Seen {
        let runtime =
            json!({ "id": format!("{program}-1"), "program": program, "version": "1", "app": "/a", "uptime_ns": 0 });
        let read = |value: &Value| serde_json::from_value(value.clone()).expect("a process");
        Seen {
            peer: crate::control::Peer::for_tests(program),
            runtime: serde_json::from_value(runtime).expect("a runtime"),
            processes: processes.iter().map(read).collect(),
        }
    }

    pub(in crate::cli) fn process(number: u64, entry: &str, wait: &[&str]) -> Value {
        json!({
            "pid": format!("{{app:host|{number:#07x}}}"), "entry": entry, "names": [], "state": "blocked", "wait": wait, "steps": 7,
            "preemptions": 0, "cpu_ns": 1_250_000_000u64, "memory": 1_500_000, "memory_peak": 2_000_000, "mailbox": null,
            "uptime_ns": 182_000_000_000u64,
        })
    }

    #[test]
    fn columns_are_aligned_and_name_the_runtime_where_there_are_several() {
        let mut computing = process(10, "app:spinner", &[]);
        (computing["state"], computing["steps"], computing["mailbox"]) = (json!("running"), json!(12345), json!(3));
        let one = seen(7, &[process(1, "app:s", &["timer", "tcp-read"]), computing]);
        let expected = "\
PID                 ENTRY        STATE    WAIT            STEPS   CPU  MEMORY  MAILBOX  UPTIME
{app:host|0x00001}  app:s        blocked  timer,tcp-read      7  1.2s  1.4MiB        -   3m02s
{app:host|0x0000a}  app:spinner  running  -               12345  1.2s  1.4MiB        3   3m02s";
        assert_eq!(as_lines(&[one], false).join("\n"), expected);
        let lines = as_lines(&[seen(7, &[process(1, "app:s", &[])]), seen(12, &[process(1, "app:s", &[])])], true);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("\x1b[1mRUNTIME  PID") && lines[0].ends_with("UPTIME\x1b[0m"), "{}", lines[0]);
        assert!(lines[1].starts_with("7-1      {app") && lines[2].starts_with("12-1     {app"), "{lines:?}");
    }

    #[test]
    fn names_have_a_column_where_somebody_has_one_and_write_no_control_sequences() {
        let mut named = process(1, "app:s", &[]);
        named["names"] = json!(["web", "\x1b[31mred"]);
        let lines = as_lines(&[seen(7, &[named, process(2, "app:t", &[])])], false);
        let before_the_state = |line: &String| line[..39].trim_end().to_owned();
        let expected = [
            "PID                 ENTRY  NAME",
            "{app:host|0x00001}  app:s  web, [31mred",
            "{app:host|0x00002}  app:t  -",
        ];
        assert_eq!(lines.iter().map(before_the_state).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn json_has_all_that_is_known_and_the_runtime() {
        let json = as_json(&[seen(7, &[process(1, "app:s", &["stdin"])]), seen(8, &[])]);
        let mut expected = process(1, "app:s", &["stdin"]);
        expected["runtime"] = json!("7-1");
        assert_eq!(json, json!([expected]));
    }

    #[test]
    fn times_are_in_the_units_that_say_most() {
        for (millis, expected) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1.0s"),
            (59_999, "59.9s"),
            (60_000, "1m00s"),
            (182_000, "3m02s"),
            (3_599_999, "59m59s"),
            (7_500_000, "2h05m"),
            (273_600_000, "3d04h"),
        ] {
            assert_eq!(time(millis * 1_000_000), expected);
        }
    }

    #[test]
    fn sizes_are_cut_not_rounded_up() {
        for (size, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1535, "1.4KiB"),
            (640 << 10, "640KiB"),
            ((1 << 20) - 1, "1023KiB"),
            (3 << 30, "3GiB"),
            (u64::MAX, "16777215TiB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }
}
