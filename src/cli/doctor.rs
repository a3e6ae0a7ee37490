//! `wippy doctor`: what this machine has, how many processes it can hold, and what would change that.

use std::fmt::Write as _;

use super::args::{DoctorArgs, Global};
use super::exit::SUCCESS;
use super::log::{self, Audience};
use super::report::{BOLD, CommandError, RESET, Terminal};
use super::run::{build_error, builder};
use crate::limits::Bytes;
use crate::process::{Bound, Footprint};
use crate::registry::render;
use crate::runtime::{EngineClass, LARGE_BINARY, SMALL_BINARY, Survey, TICK};

/// Who gives out the memory of this program.
const ALLOCATOR: &str = "the system's";

pub(super) fn run(args: &DoctorArgs, global: &Global, terminal: Terminal) -> Result<u8, CommandError> {
    log::install(global, Audience::Command, None)?;
    let survey = match builder(global).survey() {
        Ok(survey) => survey,
        Err(error) => return build_error(error, terminal),
    };
    let app = global.app.display().to_string();
    terminal.out(&if args.json { as_json(&survey) } else { as_text(&survey, &app, terminal.colors_out()) })?;
    Ok(SUCCESS)
}

fn as_text(survey: &Survey, app: &str, colors: bool) -> String {
    let (bold, reset) = if colors { (BOLD, RESET) } else { ("", "") };
    let machine = &survey.machine;
    let cache = survey.cache.as_ref().map_or("none".to_owned(), |folder| folder.display().to_string());
    let limit = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let descriptors = &machine.descriptors;
    let facts = [
        ("kernel", machine.kernel.clone()),
        ("cores", machine.cores.to_string()),
        ("workers", format!("{} a host, unless its entry says otherwise", machine.cores)),
        ("tick", format!("{TICK:?}")),
        ("allocator", ALLOCATOR.to_owned()),
        ("memories", memories(survey)),
        ("code cache", cache),
        (
            "descriptors",
            format!(
                "{} for files and sockets, {} in use; `wippy run` raises it to {}, `ulimit -n` further",
                limit(descriptors.limit),
                descriptors.open,
                limit(descriptors.maximum)
            ),
        ),
    ];
    let mut text = format!("{bold}Machine{reset}\n");
    for (name, value) in facts {
        let _ = writeln!(text, "  {name:<13}{value}");
    }
    let _ = writeln!(text, "\n{bold}What bounds the number of processes{reset}");
    table(&mut text, survey);
    let _ = writeln!(text, "\n{bold}Ceiling{reset}");
    for (name, binary, footprint) in sizes(survey) {
        let size = Bytes(binary as u64);
        let _ = match survey.ceiling.processes(footprint) {
            Some((count, bound)) => {
                let processes = if count == 1 { "process" } else { "processes" };
                writeln!(text, "  {count} {processes} of a {name} binary ({size}), by {}", bound.resource.name())
            }
            None => writeln!(text, "  none is known for a {name} binary ({size})"),
        };
    }
    let _ = writeln!(text, "\n{bold}Application{reset}");
    application(&mut text, survey, app);
    text
}

/// The bounds, with how many processes each of them allows.
fn table(text: &mut String, survey: &Survey) {
    let head = ["", "limit", "in use", "reserved", "small", "large", "raised by"].map(str::to_owned);
    let rows = survey.ceiling.bounds().iter().map(|bound| {
        let amount = |amount: u64| if bound.resource.is_bytes() { rounded(amount) } else { amount.to_string() };
        let count = |footprint| bound.processes(footprint).map_or("-".to_owned(), |count| count.to_string());
        [
            bound.resource.name().to_owned(),
            amount(bound.limit),
            amount(bound.used),
            amount(bound.reserved),
            count(&survey.small),
            count(&survey.large),
            bound.raise.clone(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let widths: [usize; 6] = std::array::from_fn(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0));
    for [name, numbers @ .., raise] in &rows {
        let _ = write!(text, "  {name:<0$}", widths[0]);
        for (number, width) in numbers.iter().zip(&widths[1..]) {
            let _ = write!(text, "  {number:>width$}");
        }
        let _ = writeln!(text, "  {raise}");
    }
}

fn application(text: &mut String, survey: &Survey, app: &str) {
    if !has_application(survey) {
        let _ = writeln!(text, "  none in `{app}`");
        return;
    }
    let _ = match survey.registry.len() {
        1 => writeln!(text, "  1 entry in `{app}`"),
        entries => writeln!(text, "  {entries} entries in `{app}`"),
    };
    if !survey.diagnostics.is_empty() {
        let _ = writeln!(text, "  {}: `wippy check` tells more", render::summary(&survey.diagnostics));
    }
    for engine in &survey.engines {
        let stack = Bytes(engine.stack() as u64);
        let fuel = if engine.counts_fuel() { ", counting fuel" } else { "" };
        let dense = if engine.is_dense() { ", dense memories" } else { "" };
        let _ = writeln!(text, "  an engine with stacks of {stack}, {} images{fuel}{dense}", image(*engine));
    }
}

/// Whether there is anything that looks like an application, be it a broken one.
fn has_application(survey: &Survey) -> bool {
    !(survey.registry.is_empty() && survey.diagnostics.is_empty())
}

/// The binaries that processes are counted for.
fn sizes(survey: &Survey) -> [(&'static str, usize, &Footprint); 2] {
    [("small", SMALL_BINARY, &survey.small), ("large", LARGE_BINARY, &survey.large)]
}

/// Where memories and stacks come from, and why.
fn memories(survey: &Survey) -> String {
    match &survey.without_slabs {
        Some(reason) => format!("{}, without slabs: {reason}", survey.allocator),
        None => survey.allocator.to_string(),
    }
}

fn image(engine: EngineClass) -> &'static str {
    if engine.maps_images() { "mapped" } else { "copied" }
}

/// A number of bytes to a tenth of its unit: these are for a reader who compares.
fn rounded(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

fn as_json(survey: &Survey) -> String {
    let machine = &survey.machine;
    let bound = |bound: &Bound| {
        serde_json::json!({
            "name": bound.resource.name(),
            "unit": if bound.resource.is_bytes() { "bytes" } else { "count" },
            "limit": bound.limit,
            "in_use": bound.used,
            "reserved": bound.reserved,
            "small": bound.processes(&survey.small),
            "large": bound.processes(&survey.large),
            "raise": bound.raise,
        })
    };
    let ceiling = |binary: usize, footprint| {
        let found = survey.ceiling.processes(footprint);
        serde_json::json!({
            "binary": binary,
            "processes": found.map(|(count, _)| count),
            "bound": found.map(|(_, bound)| bound.resource.name()),
            "raise": found.map(|(_, bound)| &bound.raise),
        })
    };
    let engine = |engine: &EngineClass| {
        serde_json::json!({
            "stack": engine.stack(),
            "image": image(*engine),
            "fuel": engine.counts_fuel(),
            "dense": engine.is_dense(),
        })
    };
    let [small, large] = sizes(survey).map(|(_, binary, footprint)| ceiling(binary, footprint));
    let report = serde_json::json!({
        "kernel": machine.kernel,
        "cores": machine.cores,
        "workers": machine.cores,
        "tick_ms": TICK.as_millis(),
        "allocator": ALLOCATOR,
        "memories": { "from": survey.allocator.to_string(), "without_slabs": survey.without_slabs },
        "cache": survey.cache,
        "descriptors": {
            "limit": machine.descriptors.limit,
            "maximum": machine.descriptors.maximum,
            "open": machine.descriptors.open,
        },
        "bounds": survey.ceiling.bounds().iter().map(bound).collect::<Vec<_>>(),
        "ceiling": { "small": small, "large": large },
        "application": has_application(survey).then(|| serde_json::json!({
            "entries": survey.registry.len(),
            "errors": survey.diagnostics.errors(),
            "warnings": survey.diagnostics.warnings(),
            "engines": survey.engines.iter().map(engine).collect::<Vec<_>>(),
        })),
    });
    format!("{report:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_to_a_tenth() {
        let told = [0, 1023, 1536, 24_684_084 << 10, 1 << 47].map(rounded);
        assert_eq!(told, ["0 B", "1023 B", "1.5 KiB", "23.5 GiB", "128.0 TiB"]);
    }
}
