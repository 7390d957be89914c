use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use super::{
    details::write_attributes,
    markup::{Markup, Value},
    model::Model,
};
use crate::testing::{Service, ServiceEdge, ServiceGraph};

/// As many colours as can be told from each other by everybody, and then the same with stripes.
const CLASSES: [&str; 18] = [
    "s0", "s1", "s2", "s3", "s4", "s5", "s0 w1", "s1 w1", "s2 w1", "s3 w1", "s4 w1", "s5 w1", "s0 w2", "s1 w2",
    "s2 w2", "s3 w2", "s4 w2", "s5 w2",
];

/// Which service has which colour.
pub(super) struct Colours<'a>(HashMap<&'a str, &'static str>);

impl<'a> Colours<'a> {
    pub(super) fn new(graph: &'a ServiceGraph) -> Self {
        let names = graph.services().iter().map(|service| &*service.name);
        Self(names.zip(CLASSES.into_iter().cycle()).collect())
    }

    /// The classes of a service's elements.
    pub(super) fn of(&self, service: &str) -> &'static str {
        self.0.get(service).copied().unwrap_or_default()
    }
}

/// The graph in words: for whoever does not see it, and to copy from.
pub(super) fn write_tables(
    m: &mut Markup<'_, '_>,
    model: &Model<'_>,
    graph: &ServiceGraph,
    colours: &Colours<'_>,
) -> fmt::Result {
    m.raw("<div class=tables>\n<div class=scroll tabindex=0 role=group aria-label=\"Table of services\"><table>\n")?;
    m.raw("<caption>Services</caption>\n<thead><tr><th scope=col>Service</th><th scope=col class=t>Spans</th>")?;
    m.raw("<th scope=col class=t>Failed</th></tr></thead>\n<tbody>\n")?;
    let resources = resources(model);
    for service in graph.services() {
        let resources = resources.get(&*service.name).map(Vec::as_slice).unwrap_or_default();
        write_service(m, service, resources, colours)?;
    }
    m.raw("</tbody></table></div>\n")?;
    if !graph.edges().is_empty() {
        m.raw("<div class=scroll tabindex=0 role=group aria-label=\"Table of calls\"><table>\n")?;
        m.raw(
            "<caption>Calls (→) and messages (⇢)</caption>\n<thead><tr><th scope=col>From</th><th scope=col>To</th>",
        )?;
        m.raw("<th scope=col>By</th><th scope=col class=t>Count</th><th scope=col class=t>Failed</th></tr></thead>\n")?;
        m.raw("<tbody>\n")?;
        for edge in graph.edges() {
            write_edge(m, edge)?;
        }
        m.raw("</tbody></table></div>\n")?;
    }
    m.raw("</div>\n")?;
    Ok(())
}

fn write_service(
    m: &mut Markup<'_, '_>,
    service: &Service,
    resources: &[&Resource],
    colours: &Colours<'_>,
) -> fmt::Result {
    m.raw("<tr><th scope=row><span class=\"sw ")?.raw(colours.of(&service.name))?.raw("\"></span> ")?;
    if resources.is_empty() {
        m.raw("<bdi>")?.text(Value(&service.name))?.raw("</bdi>")?;
    } else {
        m.raw("<details><summary><bdi>")?.text(Value(&service.name))?.raw("</bdi></summary>\n")?;
        for resource in resources {
            let mut attributes: Vec<_> =
                resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
            attributes.sort_by(|a, b| a.key.cmp(&b.key));
            m.raw("<table><caption>Resource</caption>\n")?;
            write_attributes(m, &attributes)?;
            m.raw("</table>\n")?;
        }
        m.raw("</details>")?;
    }
    m.raw("</th><td class=t>")?.text(service.spans)?.raw("</td>")?;
    write_errors(m, service.errors, service.spans)?;
    m.raw("</tr>\n")?;
    Ok(())
}

fn write_edge(m: &mut Markup<'_, '_>, edge: &ServiceEdge) -> fmt::Result {
    m.raw("<tr><td><bdi>")?.text(Value(&edge.from))?.raw("</bdi></td><td>")?.raw(edge.kind.arrow())?;
    m.raw(" <bdi>")?.text(Value(&edge.to))?.raw("</bdi></td><td><bdi>")?.text(Value(&edge.by()))?;
    m.raw("</bdi></td><td class=t>")?.text(edge.count)?.raw("</td>")?;
    write_errors(m, edge.errors, edge.count)?;
    m.raw("</tr>\n")?;
    Ok(())
}

fn write_errors(m: &mut Markup<'_, '_>, errors: usize, of: usize) -> fmt::Result {
    match errors {
        0 => m.raw("<td class=t>0</td>")?,
        _ => m
            .raw("<td class=\"t x\">✖ ")?
            .text(errors)?
            .raw(" (")?
            .text(format_args!("{:.0}", 100.0 * errors as f64 / of as f64))?
            .raw(" %)</td>")?,
    };
    Ok(())
}

/// The different resources of each service: several, where several instances of it run.
fn resources<'a>(model: &Model<'a>) -> BTreeMap<&'a str, Vec<&'a Resource>> {
    let mut resources = BTreeMap::<_, Vec<_>>::new();
    for row in &model.rows {
        if let Some(resource) = row.node.resource() {
            let known = resources.entry(row.node.service()).or_default();
            if !known.contains(&resource) {
                known.push(resource);
            }
        }
    }
    resources
}
