//! The page says what the tree says, whatever that is. `browser` looks at it in a browser.

mod colours;
#[path = "../support/pages.rs"]
mod pages;
mod picture;
mod shown;

use std::collections::HashMap;

use ctxhop::testing::TraceTree;

fn page(tree: &TraceTree) -> String {
    tree.html().to_string()
}

// Reading the page.

#[derive(Debug)]
struct Element {
    tag: String,
    attributes: HashMap<String, String>,
    /// All text in it.
    text: String,
}

impl Element {
    fn has_class(&self, class: &str) -> bool {
        self.attributes.get("class").is_some_and(|classes| classes.split(' ').any(|found| found == class))
    }

    fn number(&self, attribute: &str) -> f64 {
        self.attributes[attribute].parse().unwrap()
    }
}

/// The elements of a page, by their beginnings. Panics if a tag is open at the end, or ends that is not open.
fn elements(page: &str) -> Vec<Element> {
    let mut elements = Vec::<Element>::new();
    let mut open = Vec::<usize>::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a page of HTML");
    while let Some(start) = rest.find('<') {
        let text = unescaped(&rest[..start]);
        open.iter().for_each(|&element| elements[element].text += &text);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(closing) = tag.strip_prefix('/') {
            assert_eq!(open.pop().map(|element| &*elements[element].tag), Some(closing), "before {:.80}", rest);
            continue;
        }
        let (inner, closed) = tag.strip_suffix('/').map_or((tag, false), |inner| (inner, true));
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        let closed = closed || ["meta", "link", "input"].contains(&name);
        elements.push(Element { tag: name.to_owned(), attributes: parse(attributes), text: String::new() });
        if !closed {
            open.push(elements.len() - 1);
        }
        if name == "style" {
            rest = &rest[rest.find("</style>").unwrap()..];
        }
    }
    assert!(open.is_empty(), "open at the end: {open:?}");
    elements
}

fn parse(mut text: &str) -> HashMap<String, String> {
    let mut attributes = HashMap::new();
    while !text.trim_start().is_empty() {
        text = text.trim_start();
        let end = text.find([' ', '=']).unwrap_or(text.len());
        let name = text[..end].to_owned();
        text = &text[end..];
        let mut value = String::new();
        if let Some(quoted) = text.strip_prefix("=\"") {
            let (inside, rest) = quoted.split_once('"').expect("the quotes end");
            (value, text) = (unescaped(inside), rest);
        } else if let Some(bare) = text.strip_prefix('=') {
            let end = bare.find(' ').unwrap_or(bare.len());
            (value, text) = (bare[..end].to_owned(), &bare[end..]);
        }
        assert!(attributes.insert(name, value).is_none(), "an attribute comes once");
    }
    attributes
}

fn unescaped(text: &str) -> String {
    assert!(!text.contains(['<', '>', '"']), "unescaped: {text}");
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The rows of spans, by the text of each one's line.
fn rows(page: &str) -> Vec<String> {
    let elements = elements(page);
    let named = |pair: &[Element]| {
        let [details, summary] = pair else { return None };
        let row = details.tag == "details" && details.attributes.get("id").is_some_and(|id| id.starts_with('s'));
        row.then(|| summary.text.trim().to_owned())
    };
    elements.windows(2).filter_map(named).collect()
}
