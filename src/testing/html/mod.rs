mod details;
mod graph;
mod layout;
mod markup;
mod model;
mod services;
mod time;
mod waterfall;

use std::{collections::HashSet, fmt};

use super::{TraceTree, drawing::counted, tree::key};
use markup::Markup;
use model::Model;
use services::Colours;

/// So many traces are unfolded when the page opens.
const UNFOLDED: usize = 5;

/// A [`TraceTree`] as a web page, which [`TraceTree::html`] makes.
///
/// Use it to look at what a test or an example has recorded: write it to a file, and open the file in a browser. It shows
/// which service calls which, as a picture and as tables, and each trace as a waterfall: names, services, kinds, failures,
/// events, durations, spans that [have not ended](TraceTree::open_spans). A span unfolds, and shows its attributes, events
/// and links; a link leads to the span, also in another trace. Of more than 25 siblings, the later ones are folded.
///
/// # Guarantees
///
/// - The page is one file. It loads nothing, and has no script; its content security policy forbids both.
/// - All that spans say is escaped: names, attributes, descriptions. Control characters, and those that turn text around,
///   are shown as Rust writes them (`\u{202e}`). Of a value the first 8 KiB are shown.
/// - Equal trees, with equal ids and times, give the same page.
/// - It is for everybody: light and dark as the browser is set, services told by names and by colours that the colour-blind
///   can tell, headings and tables for screen readers, all of it within reach of the keyboard, wide screens and narrow.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::TraceRecorder;
/// use opentelemetry::trace::Tracer;
///
/// let recorder = TraceRecorder::new();
/// let (shop, stock) = (recorder.service("shop").tracer("shop"), recorder.service("stock").tracer("stock"));
/// shop.in_span("order <1>", |_| stock.in_span("reserve", |_| {}));
///
/// let file = std::env::temp_dir().join("ctxhop-trace.html");
/// std::fs::write(&file, recorder.tree().html().title("One order").to_string())?;
/// let page = std::fs::read_to_string(&file)?;
/// assert!(page.starts_with("<!DOCTYPE html>"));
/// assert!(page.contains("order &lt;1&gt;"));
/// # std::fs::remove_file(file)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "this only describes a page: write it to a file"]
pub struct TreeHtml<'a> {
    tree: &'a TraceTree,
    title: &'a str,
}

impl<'a> TreeHtml<'a> {
    pub(super) const fn new(tree: &'a TraceTree) -> Self {
        Self { tree, title: "Traces" }
    }

    /// The page's title and first heading: `Traces`, unless told otherwise.
    pub const fn title(mut self, title: &'a str) -> Self {
        self.title = title;
        self
    }
}

impl fmt::Display for TreeHtml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open: HashSet<_> = self.tree.open_spans().iter().map(key).collect();
        let tree = self.tree.with_open_as_finished();
        let model = Model::new(&tree, &open);
        let graph = self.tree.services();
        let colours = Colours::new(&graph);
        let m = &mut Markup::new(f);

        m.raw("<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<title>")?.text(self.title)?;
        m.raw("</title>\n")?.raw(HEAD)?.raw("<style>\n")?.raw(include_str!("style.css"))?.raw("</style>\n</head>\n")?;
        m.raw("<body>\n<header>\n<h1>")?.text(self.title)?.raw("</h1>\n<p class=facts>")?;
        m.text(counted(graph.services().len(), "service"))?.raw(" · ")?;
        m.text(counted(model.traces.len(), "trace"))?.raw(" · ")?;
        waterfall::write_counts(m, &model, 0..model.rows.len())?;
        m.raw("</p>\n</header>\n<main>\n")?;
        if model.rows.is_empty() {
            m.raw("<p>There are no spans.</p>\n")?;
        } else {
            m.raw("<section>\n<h2>Services</h2>\n")?;
            graph::write(m, &graph, &colours)?;
            services::write_tables(m, &model, &graph, &colours)?;
            m.raw("</section>\n<section class=traces>\n<h2>Traces</h2>\n")?;
            m.raw("<p><label><input type=checkbox id=bad autocomplete=off> Only spans that failed or have not ended")?;
            m.raw("</label></p>\n")?;
            for trace in 0..model.traces.len() {
                waterfall::write_trace(m, &model, &colours, trace, trace < UNFOLDED)?;
            }
            m.raw("</section>\n")?;
        }
        m.raw("</main>\n</body>\n</html>\n")?;
        Ok(())
    }
}

/// The policy holds even if a stranger's text were not escaped. The icon is empty, so that browsers look for none.
const HEAD: &str = "\
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<meta name=color-scheme content=\"light dark\">
<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
base-uri 'none'; form-action 'none'\">
<link rel=icon href=\"data:,\">
";
