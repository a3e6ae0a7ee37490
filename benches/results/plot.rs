//! A plot of a group: for each side of each case how many times it takes what the first side takes, on a logarithmic scale.

use std::error::Error;
use std::path::Path;

use plotters::prelude::{
    BLACK, Circle, Color as _, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle, SVGBackend, Text,
    TextStyle, WHITE,
};

use crate::record::{Record, Time};

/// Pixels.
const WIDTH: i32 = 900;
const LABELS: i32 = 330;
const RIGHT: i32 = 110;
const ROW: i32 = 20;
const TOP: i32 = 46;
const TEXT: i32 = 13;

static GRID: RGBColor = RGBColor(221, 221, 221);
static OURS: RGBColor = RGBColor(200, 60, 30);
static OTHERS: RGBColor = RGBColor(60, 90, 140);

/// A line of the plot.
enum Row<'a> {
    Case(&'a str),
    Side { name: &'a str, median: f64, low: f64, high: f64 },
}

/// Draws the cases of a group.
pub(crate) fn draw(file: &Path, records: &[Record], time: Time) -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for record in records {
        rows.push(Row::Case(&record.case));
        for turns in &record.sides {
            let ratio = time.ratio(turns, &record.sides[0]);
            rows.push(Row::Side { name: &turns.side, median: ratio.median, low: ratio.low, high: ratio.high });
        }
    }
    let ends = rows.iter().flat_map(|row| match row {
        Row::Side { low, high, .. } => vec![*low, *high],
        Row::Case(_) => vec![],
    });
    // From a power of two to another, with 1 between them.
    let (least, most) = ends.fold((0.9_f64, 1.1_f64), |(least, most), end| (least.min(end), most.max(end)));
    let (least, most) = (least.log2().floor(), most.log2().ceil());
    let across =
        |ratio: f64| LABELS + ((ratio.log2() - least) / (most - least) * f64::from(WIDTH - LABELS - RIGHT)) as i32;

    let height = TOP + ROW * i32::try_from(rows.len() + 1)?;
    let area = SVGBackend::new(file, (u32::try_from(WIDTH)?, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |text: &str, at: (i32, i32), size: i32, color: &'static RGBColor| {
        Text::new(text.to_owned(), at, TextStyle::from(("sans-serif", size).into_font()).color(color))
    };
    let what = match time {
        Time::Wall => "Time by the wall, of that of the first side of each case",
        Time::Cpu => "CPU of all threads, of that of the first side of each case",
    };
    area.draw(&text(what, (10, 8), TEXT + 1, &BLACK))?;
    for power in least as i32..=most as i32 {
        // A few lines are enough for large ranges.
        if most - least > 8.0 && power % 2 != 0 {
            continue;
        }
        let ratio = 2.0_f64.powi(power);
        let x = across(ratio);
        let color = if power == 0 { &BLACK } else { &GRID };
        area.draw(&PathElement::new([(x, TOP - 4), (x, height - ROW)], color))?;
        let label = if power < 0 { format!("1/{}", 1 << -power) } else { (1_u64 << power).to_string() };
        area.draw(&text(&label, (x - 4, TOP - 18), TEXT - 2, &BLACK))?;
    }
    for (row, y) in rows.iter().zip((TOP..).step_by(usize::try_from(ROW)?)) {
        match row {
            Row::Case(name) => area.draw(&text(name, (10, y + 4), TEXT, &BLACK))?,
            Row::Side { name, median, low, high } => {
                let color: &'static RGBColor = if name.starts_with("wippy") { &OURS } else { &OTHERS };
                let middle = y + ROW / 2;
                area.draw(&text(name, (30, y + 4), TEXT, color))?;
                area.draw(&Rectangle::new([(across(*low), middle - 1), (across(*high), middle + 1)], color.filled()))?;
                area.draw(&Circle::new((across(*median), middle), 4, color.filled()))?;
                area.draw(&text(&format!("{median:.2}"), (WIDTH - RIGHT + 30, y + 4), TEXT, color))?;
            }
        }
    }
    area.present()?;
    Ok(())
}
