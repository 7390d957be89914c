use std::{
    fmt,
    time::{Duration, SystemTime},
};

use opentelemetry::{KeyValue, trace::Status};

use super::{
    markup::{Markup, Value, name},
    model::{Model, Trace},
    waterfall::where_parent_is,
};
use crate::testing::drawing::{duration, humanise};

/// All that is known of a span.
pub(super) fn write(m: &mut Markup<'_, '_>, model: &Model<'_>, trace: &Trace, number: usize) -> fmt::Result {
    let row = &model.rows[number];
    let span = row.node.span();
    m.raw("<div class=d><p>Starts ")?.text(Since(span.start_time, trace.start))?;
    match row.open {
        true => m.raw(", has not ended; this is as it was when it started")?,
        false => m.raw(", takes ")?.text(humanise(duration(span)))?,
    };
    m.raw(" · span <code>")?.text(span.span_context.span_id())?.raw("</code>")?;
    if let Some(parent) = row.parent {
        m.raw(" · below ")?;
        write_anchor(m, model, parent)?;
    } else if let Some(parent) = where_parent_is(row.node.parent()) {
        m.raw(" · ")?.raw(parent)?.raw(" <code>")?.text(span.parent_span_id)?.raw("</code>")?;
    }
    let scope = &span.instrumentation_scope;
    if !scope.name().is_empty() {
        m.raw(" · scope <bdi>")?.text(Value(scope.name()))?.raw("</bdi>")?;
        if let Some(version) = scope.version() {
            m.raw(" <bdi>")?.text(Value(version))?.raw("</bdi>")?;
        }
    }
    m.raw("</p>\n")?;
    if let Status::Error { description } = &span.status {
        m.raw("<p class=x>✖ failed")?;
        if !description.is_empty() {
            m.raw(": <span class=v>")?.lines(Value(description))?.raw("</span>")?;
        }
        m.raw("</p>\n")?;
    }
    write_links(m, model, number)?;
    if !span.attributes.is_empty() {
        m.raw("<table><caption>Attributes</caption>\n")?;
        write_attributes(m, &span.attributes)?;
        m.raw("</table>\n")?;
    }
    write_events(m, model, trace, number)?;
    write_dropped(m, span.dropped_attributes_count, "attributes")?;
    write_dropped(m, span.events.dropped_count, "events")?;
    write_dropped(m, span.links.dropped_count, "links")?;
    m.raw("</div>\n")?;
    Ok(())
}

/// Rows of a table.
pub(super) fn write_attributes<'a>(
    m: &mut Markup<'_, '_>,
    attributes: impl IntoIterator<Item = &'a KeyValue>,
) -> fmt::Result {
    for attribute in attributes {
        m.raw("<tr><th scope=row><bdi>")?.text(Value(attribute.key.as_str()))?.raw("</bdi></th><td class=v>")?;
        m.lines(Value(&attribute.value.as_str()))?.raw("</td></tr>\n")?;
    }
    Ok(())
}

fn write_links(m: &mut Markup<'_, '_>, model: &Model<'_>, number: usize) -> fmt::Result {
    let links = &model.rows[number].node.span().links;
    if !links.is_empty() {
        m.raw("<p>Links to</p>\n<ul>\n")?;
        for link in links.iter() {
            m.raw("<li>")?;
            match model.find(&link.span_context) {
                Some(row) => write_anchor(m, model, row)?,
                None => {
                    m.raw("a span that is not recorded, <code>")?.text(link.span_context.trace_id())?;
                    m.raw("</code> <code>")?.text(link.span_context.span_id())?.raw("</code>")?;
                }
            }
            if !link.attributes.is_empty() {
                m.raw("<table>\n")?;
                write_attributes(m, &link.attributes)?;
                m.raw("</table>\n")?;
            }
            m.raw("</li>\n")?;
        }
        m.raw("</ul>\n")?;
    }
    let linked_from = model.linked_from(number);
    if !linked_from.is_empty() {
        m.raw("<p>Linked from</p>\n<ul>\n")?;
        for &row in linked_from {
            m.raw("<li>")?;
            write_anchor(m, model, row)?;
            m.raw("</li>\n")?;
        }
        m.raw("</ul>\n")?;
    }
    Ok(())
}

fn write_events(m: &mut Markup<'_, '_>, model: &Model<'_>, trace: &Trace, number: usize) -> fmt::Result {
    let events = &model.rows[number].node.span().events;
    if events.is_empty() {
        return Ok(());
    }
    m.raw("<p>Events</p>\n<ul>\n")?;
    for event in events.iter() {
        m.raw("<li><b><bdi>")?.text(Value(name(&event.name)))?.raw("</bdi></b> ")?;
        m.text(Since(event.timestamp, trace.start))?;
        if !event.attributes.is_empty() {
            m.raw("<table>\n")?;
            write_attributes(m, &event.attributes)?;
            m.raw("</table>\n")?;
        }
        m.raw("</li>\n")?;
    }
    m.raw("</ul>\n")?;
    Ok(())
}

fn write_dropped(m: &mut Markup<'_, '_>, count: u32, what: &'static str) -> fmt::Result {
    if count > 0 {
        m.raw("<p>The span's limits kept ")?.text(count)?.raw(" more ")?.raw(what)?.raw(" out.</p>\n")?;
    }
    Ok(())
}

/// A link to a span's row, which says whose it is.
fn write_anchor(m: &mut Markup<'_, '_>, model: &Model<'_>, row: usize) -> fmt::Result {
    let node = model.rows[row].node;
    m.raw("<a href=\"#s")?.text(row + 1)?.raw("\"><bdi>")?.text(Value(name(node.name())))?.raw("</bdi></a> (<bdi>")?;
    m.text(Value(node.service()))?.raw("</bdi>)")?;
    Ok(())
}

/// How long after the trace's start: `+1.20ms`.
struct Since(SystemTime, SystemTime);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after: Duration = self.0.duration_since(self.1).unwrap_or_default();
        if after.is_zero() { f.write_str("+0") } else { write!(f, "+{}", humanise(after)) }
    }
}
