use std::{fmt, ops::Range, time::Duration};

use opentelemetry::trace::Status;

use super::{
    details,
    markup::{Markup, Short, name},
    model::{Item, Model, Row, Trace},
    services::Colours,
    time::{Utc, percent},
};
use crate::testing::{
    Parent,
    drawing::{counted, duration, humanise},
};

/// So many bytes of a name are shown in a row. Its details show more.
const NAME: usize = 200;
/// More marks on a bar could not be told from each other.
const MARKS: usize = 50;

pub(super) fn write_trace(
    m: &mut Markup<'_, '_>,
    model: &Model<'_>,
    colours: &Colours<'_>,
    number: usize,
    unfolded: bool,
) -> fmt::Result {
    let trace = &model.traces[number];
    let first = &model.rows[trace.rows.start];
    m.raw("<details class=trace id=t")?.text(number + 1)?.raw(if unfolded { " open>\n" } else { ">\n" })?;
    m.raw("<summary><h3><bdi>")?.text(Short(name(first.node.name()), NAME))?.raw("</bdi></h3> <span class=facts>")?;
    m.text(humanise(trace.length))?.raw(" · ")?;
    write_counts(m, model, trace.rows.clone())?;
    m.raw("</span></summary>\n<p class=id>Trace <code>")?.text(trace.id)?.raw("</code>, ")?;
    m.text(Utc(trace.start))?.raw("</p>\n")?;
    write_axis(m, trace.length)?;
    m.raw("<ol role=list>\n")?;
    for item in &trace.items {
        match item {
            &Item::Row(row) => write_row(m, model, colours, trace, row)?,
            Item::Fold { names, rows } => write_fold(m, model, names, rows.clone())?,
            Item::End => _ = m.raw("</ol></details></li>\n")?,
        }
    }
    m.raw("</ol>\n</details>\n")?;
    Ok(())
}

/// `12 spans · 1 failed · 2 not ended`
pub(super) fn write_counts(m: &mut Markup<'_, '_>, model: &Model<'_>, rows: Range<usize>) -> fmt::Result {
    m.text(counted(rows.len(), "span"))?;
    let (failed, open) = (model.failed(rows.clone()), model.open(rows));
    if failed > 0 {
        m.raw(" · <em class=x>✖ ")?.text(failed)?.raw(" failed</em>")?;
    }
    if open > 0 {
        m.raw(" · <em class=o>… ")?.text(open)?.raw(" not ended</em>")?;
    }
    Ok(())
}

fn write_axis(m: &mut Markup<'_, '_>, length: Duration) -> fmt::Result {
    m.raw("<div class=axis aria-hidden=true><span>Span</span><span class=t>Took</span><span class=ticks>")?;
    m.raw("<i>0</i>")?;
    for quarter in 1..=4 {
        m.raw("<i>")?.text(humanise(length / 4 * quarter))?.raw("</i>")?;
    }
    m.raw("</span></div>\n")?;
    Ok(())
}

fn write_fold(m: &mut Markup<'_, '_>, model: &Model<'_>, names: &str, rows: Range<usize>) -> fmt::Result {
    let depth = model.rows[rows.start].depth;
    m.raw("<li class=fold style=\"--d:")?.text(depth)?.raw("\"><details><summary>More: <bdi>")?;
    m.text(Short(names, NAME))?.raw("</bdi> <span class=facts>")?;
    write_counts(m, model, rows)?;
    m.raw("</span></summary>\n<ol role=list>\n")?;
    Ok(())
}

fn write_row(
    m: &mut Markup<'_, '_>,
    model: &Model<'_>,
    colours: &Colours<'_>,
    trace: &Trace,
    number: usize,
) -> fmt::Result {
    let row = &model.rows[number];
    let span = row.node.span();
    m.raw("<li aria-level=")?.text(row.depth + 1)?.raw(" class=\"")?.raw(colours.of(row.node.service()))?;
    m.raw(if row.failed() { " bad" } else { "" })?.raw(if row.open { " open bad" } else { "" })?;
    m.raw("\" style=\"--d:")?.text(row.depth)?.raw("\"><details id=s")?.text(number + 1)?.raw("><summary>")?;

    m.raw("<span class=n><b><bdi>")?.text(Short(name(row.node.name()), NAME))?.raw("</bdi></b> <span class=w>")?;
    m.raw("<bdi>")?.text(Short(row.node.service(), NAME))?.raw("</bdi></span>")?;
    if let Some(kind) = row.kind() {
        m.raw(" <span class=k>")?.raw(kind)?.raw("</span>")?;
    }
    write_badges(m, row)?;
    m.raw("</span> <span class=t>")?;
    match row.open {
        true => m.raw("–")?,
        false => m.text(humanise(duration(span)))?,
    };
    m.raw("</span> <span class=b aria-hidden=true>")?;
    write_bar(m, trace, row)?;
    m.raw("</span></summary>\n")?;
    details::write(m, model, trace, number)?;
    m.raw("</details></li>\n")?;
    Ok(())
}

fn write_badges(m: &mut Markup<'_, '_>, row: &Row<'_>) -> fmt::Result {
    let span = row.node.span();
    match &span.status {
        Status::Unset => {}
        Status::Ok => _ = m.raw(" <span class=k>✔ ok</span>")?,
        Status::Error { description } if description.is_empty() => _ = m.raw(" <em class=x>✖ failed</em>")?,
        Status::Error { description } => {
            m.raw(" <em class=x>✖ <bdi>")?.text(Short(description, NAME))?.raw("</bdi></em>")?;
        }
    }
    if row.open {
        m.raw(" <em class=o>… not ended</em>")?;
    }
    if !span.links.is_empty() {
        m.raw(" <span class=k>⇢ ")?.text(counted(span.links.len(), "link"))?.raw("</span>")?;
    }
    if !span.events.is_empty() {
        m.raw(" <span class=k>◆ ")?.text(counted(span.events.len(), "event"))?.raw("</span>")?;
    }
    if let Some(parent) = where_parent_is(row.node.parent()) {
        m.raw(" <span class=k>↑ ")?.raw(parent)?.raw("</span>")?;
    }
    Ok(())
}

/// Where a parent is that has no row.
pub(super) const fn where_parent_is(parent: Parent) -> Option<&'static str> {
    match parent {
        Parent::None | Parent::Recorded => None,
        Parent::Remote => Some("remote parent"),
        Parent::Open | Parent::Missing => Some("parent not recorded"),
    }
}

fn write_bar(m: &mut Markup<'_, '_>, trace: &Trace, row: &Row<'_>) -> fmt::Result {
    let span = row.node.span();
    let since = |time: std::time::SystemTime| time.duration_since(trace.start).unwrap_or_default();
    let start = since(span.start_time);
    // Nobody knows how long an open span takes; it is there to the end of what is known.
    let taken = if row.open { trace.length.saturating_sub(start) } else { duration(span) };
    m.raw("<i style=\"--l:")?.text(percent(start, trace.length))?.raw(";--w:")?;
    m.text(percent(taken, trace.length))?.raw("\"></i>")?;
    for event in span.events.iter().take(MARKS) {
        m.raw("<u style=\"--l:")?.text(percent(since(event.timestamp), trace.length))?.raw("\"></u>")?;
    }
    Ok(())
}
