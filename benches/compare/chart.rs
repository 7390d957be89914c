//! A bar for each competitor, with a line from the first to the third quarter of its rounds.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::{Measured, competitors::Competitor, report::nanoseconds};

const WIDTH: u32 = 760;
const ROW: i32 = 30;
const TOP: i32 = 56;
/// Where the bars begin, and how long the longest one is.
const LEFT: i32 = 150;
const LONGEST: i32 = 480;

pub(crate) fn draw(hop: &Measured, path: &Path) -> Result<(), Box<dyn Error>> {
    let height = TOP + ROW * i32::try_from(hop.cells.len())? + 10;
    let area = SVGBackend::new(path, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw(&Text::new(hop.name, (12, 8), text(16)))?;
    area.draw(&Text::new(hop.body, (12, 30), text(12)))?;
    let longest = hop.cells.iter().map(|cell| cell.time.high).fold(0.0, f64::max);
    let length = |time: f64| (time / longest * f64::from(LONGEST)).round() as i32;
    for (row, cell) in (0..).zip(&hop.cells) {
        let top = TOP + ROW * row;
        let color = match cell.competitor {
            Competitor::Bare => RGBColor(150, 150, 150),
            Competitor::Ctxhop => RGBColor(215, 95, 30),
            _ => RGBColor(90, 135, 185),
        };
        let middle = top + ROW / 2 - 4;
        area.draw(&Text::new(cell.competitor.to_string(), (12, top + 4), text(15)))?;
        area.draw(&Rectangle::new([(LEFT, top), (LEFT + length(cell.time.median), top + ROW - 8)], color.filled()))?;
        let quarters = vec![(LEFT + length(cell.time.low), middle), (LEFT + length(cell.time.high), middle)];
        area.draw(&PathElement::new(quarters, BLACK.stroke_width(1)))?;
        let end = LEFT + length(cell.time.high.max(cell.time.median)) + 8;
        area.draw(&Text::new(nanoseconds(cell.time.median), (end, top + 4), text(15)))?;
    }
    area.present()?;
    Ok(())
}
