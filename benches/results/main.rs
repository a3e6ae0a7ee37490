//! Renders what the benches wrote: `benches/RESULTS.md`, a plot for each group, and the table of the README.
//!
//! `benches/run` measures everything and calls it; `cargo run --profile bench --example results` renders again.

mod goals;
mod machine;
mod pages;
mod plot;
#[path = "../common/record.rs"]
mod record;
#[path = "../common/stats.rs"]
mod stats;

use std::error::Error;
use std::path::Path;

use record::{Record, Turns};

impl Record {
    pub(crate) fn side(&self, name: &str) -> Option<&Turns> {
        self.sides.iter().find(|turns| turns.side == name)
    }
}

/// All records, in the order of groups and cases.
fn records() -> Result<Vec<Record>, Box<dyn Error>> {
    let folder = record::folder();
    let files =
        std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}; run `benches/run`", folder.display()))?;
    let mut records = Vec::new();
    for file in files {
        let path = file?.path();
        let record: Record = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        records.push(record);
    }
    records.sort_by_key(|record| (pages::place(&record.group), record.group.clone(), record.at));
    Ok(records)
}

fn main() -> Result<(), Box<dyn Error>> {
    let records = records()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (benches, readme) = (root.join("benches"), root.join("README.md"));
    std::fs::create_dir_all(benches.join("plots"))?;
    for group in records.chunk_by(|one, other| one.group == other.group) {
        let time = pages::about(&group[0].group).time;
        plot::draw(&benches.join("plots").join(format!("{}.svg", group[0].group)), group, time)?;
    }
    let goals = goals::table(&records);
    std::fs::write(benches.join("RESULTS.md"), pages::results(&records, &goals))?;
    let text = std::fs::read_to_string(&readme)?;
    std::fs::write(&readme, pages::readme(&text, &goals).ok_or("the README has no place for the table")?)?;
    println!("benches/RESULTS.md, {} cases", records.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::stats::Estimate;

    #[test]
    fn bounds_are_values_and_as_far_out_as_the_confidence_needs() {
        let of = |count: u32| Estimate::of((1..=count).rev().map(f64::from));
        let found = [1, 2, 5, 6, 9, 15, 31].map(of).map(|found| (found.low, found.median, found.high));
        let expected = [
            (1.0, 1.0, 1.0),
            (1.0, 1.5, 2.0),
            (1.0, 3.0, 5.0),
            (1.0, 3.5, 6.0),
            (2.0, 5.0, 8.0),
            (4.0, 8.0, 12.0),
            (10.0, 16.0, 22.0),
        ];
        assert_eq!(found, expected);
    }
}
