//! The page in a real browser, without a network and without scripts, wide and narrow, light and dark.
//!
//! It takes chromium, so a bare `cargo test` leaves it out: `cargo test --test browser`. The pages and what they look like are
//! in `target/tmp/pages` then.

mod devtools;
#[path = "../support/pages.rs"]
mod pages;

use std::{
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ctxhop::testing::{TraceRecorder, TraceTree};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, Tracer},
};
use serde_json::{Value, json};

use devtools::Browser;

fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// A browser without a network, in which pages run no scripts.
fn browser(test: &str) -> (Browser, MutexGuard<'static, ()>) {
    // One after the other, because each takes all of a small machine.
    static ONE: Mutex<()> = Mutex::new(());
    let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut browser = Browser::start(&directory().join(format!("profile-{test}-{}", process::id())));
    let offline = json!({ "offline": true, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0 });
    browser.call("Network.emulateNetworkConditions", offline);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    (browser, turn)
}

fn write(name: &str, tree: &TraceTree) -> String {
    let file = directory().join(name).with_extension("html");
    std::fs::write(&file, tree.html().title(name).to_string()).unwrap();
    format!("file://{}", file.display())
}

fn look(browser: &mut Browser, width: u32, scheme: &str) {
    // To lay out a long page again takes longer than to load it.
    browser.load("about:blank");
    let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", size);
    let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.call("Emulation.setEmulatedMedia", scheme);
}

/// Nothing has ended yet but one span, and another service has an open one below it.
fn unfinished() -> TraceTree {
    let recorder = TraceRecorder::new();
    let (shop, stock) = (recorder.service("shop").tracer("shop"), recorder.service("stock").tracer("stock"));
    let order = Context::new().with_span(shop.start("order"));
    let check = Context::new().with_span(shop.start_with_context("check", &order));
    let reserve = stock.start_with_context("reserve", &check);
    check.span().end();
    let tree = recorder.tree();
    drop(reserve);
    tree
}

#[test]
fn pages_are_whole_wide_and_narrow_light_and_dark() {
    let (mut browser, _turn) = browser("pages");
    let trees = [
        ("shop", pages::shop()),
        ("thousand", pages::thousand()),
        ("tangle", pages::tangle()),
        ("hostile", pages::hostile()),
        ("unfinished", unfinished()),
        ("empty", TraceTree::new([])),
    ];
    for (name, tree) in &trees {
        let url = write(name, tree);
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
            look(&mut browser, width, scheme);
            let events = browser.load(&url);
            let place = format!("{name}, {width}, {scheme}");
            says_nothing(&events, &url, &place);
            assert_eq!(browser.evaluate(CHECK), json!([]), "{place}");
            browser.screenshot(&directory().join(format!("{name}-{width}-{scheme}.png")));
            browser.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)");
            assert_eq!(browser.evaluate(CHECK), json!([]), "{place}, all unfolded");
            browser.evaluate("document.querySelector('.d table')?.scrollIntoView({ block: 'center' })");
            browser.screenshot(&directory().join(format!("{name}-{width}-{scheme}-unfolded.png")));
        }
    }
}

/// No word in the console, and nothing loaded but the page itself.
fn says_nothing(events: &[Value], url: &str, place: &str) {
    for event in events {
        match event["method"].as_str().unwrap_or_default() {
            "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => panic!("{place}: {event}"),
            "Network.requestWillBeSent" => {
                let asked = event["params"]["request"]["url"].as_str().unwrap();
                assert!(asked == url || asked == "data:,", "{place}: {event}");
            }
            _ => {}
        }
    }
}

/// What is wrong with a page: overflow, links that lead nowhere, elements that this crate does not write, poor contrast.
const CHECK: &str = r#"
(() => {
    const wrong = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) {
        const wide = [...document.body.querySelectorAll(":not(.scroll *)")]
            .filter(element => element.getBoundingClientRect().right > root.clientWidth);
        const which = wide.map(element => `${element.tagName}.${element.className}`).slice(0, 5);
        wrong.push(`the page is ${root.scrollWidth} wide, the window ${root.clientWidth}: ${which}`);
    }
    const known = new Set(("html head meta title link style body header main section h1 h2 h3 p details summary ol ul li " +
        "span b i u em bdi a code table caption thead tbody tr th td div label input svg path marker rect g text").split(" "));
    const ids = new Set();
    for (const element of document.querySelectorAll("*")) {
        if (!known.has(element.tagName.toLowerCase())) wrong.push(`<${element.tagName}>`);
        for (const { name, value } of element.attributes) {
            if (name.startsWith("on") || name === "src") wrong.push(`attribute ${name}`);
            if (name === "href" && element.tagName === "A" && !document.getElementById(value.slice(1))) {
                wrong.push(`no target: ${value}`);
            }
        }
        if (element.id && ids.size === ids.add(element.id).size) wrong.push(`twice: ${element.id}`);
    }
    if (document.querySelectorAll("h1").length !== 1 || root.lang !== "en" || !document.title) wrong.push("no heading");
    for (const named of document.querySelectorAll("summary, a, [role=group]")) {
        if (!named.textContent.trim()) wrong.push(`no name: ${named.outerHTML}`);
    }

    const rgb = color => color.match(/[\d.]+/g).map(Number);
    const light = color => rgb(color).slice(0, 3).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
    const contrast = (a, b) => {
        const [dark, bright] = [light(a), light(b)].sort((a, b) => a - b);
        return (bright + 0.05) / (dark + 0.05);
    };
    const solid = color => !(rgb(color).length === 4 && rgb(color)[3] === 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const color = getComputedStyle(element).backgroundColor;
            if (solid(color)) return color;
        }
    };
    const poor = new Map();
    const compare = (element, color, least) => {
        const found = contrast(color, behind(element));
        if (!(found >= least)) poor.set(`${element.tagName}.${element.className}: ${color} ${found.toFixed(2)}`, true);
    };
    for (const element of document.body.querySelectorAll("*")) {
        if (!element.checkVisibility()) continue;
        const text = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        const style = getComputedStyle(element);
        if (element.closest("svg")) {
            if (element.tagName === "text") compare(element, style.fill, 4.5);
            if (element.matches("rect.c")) compare(element, style.fill, 3);
        } else if (text) {
            compare(element, style.color, 4.5);
        }
        if (element.matches(".b i, .sw") && solid(style.backgroundColor)) {
            compare(element.parentElement, style.backgroundColor, 3);
        }
    }
    return [...wrong, ...poor.keys()].slice(0, 20);
})()
"#;

#[test]
fn a_link_unfolds_what_it_leads_to() {
    let (mut browser, _turn) = browser("links");
    look(&mut browser, 1280, "light");
    browser.load(&write("links", &pages::thousand()));
    let shown = "document.querySelector(':target')?.checkVisibility()";
    let folded = "document.querySelector('.fold .fold li details, .fold li details').id";
    let id = browser.evaluate(folded);
    assert_eq!(browser.evaluate(&format!("document.getElementById({id}).checkVisibility()")), json!(false));
    browser.evaluate(&format!("location.hash = {id}"));
    assert_eq!(browser.evaluate(shown), json!(true));
    // What sticks to the top is not above it.
    let free = "document.querySelector(':target').getBoundingClientRect().top >= \
                document.querySelector('.axis').getBoundingClientRect().bottom - 1";
    assert_eq!(browser.evaluate(free), json!(true));
}

#[test]
fn the_keyboard_reaches_and_unfolds_a_span() {
    let (mut browser, _turn) = browser("keyboard");
    look(&mut browser, 1280, "light");
    browser.load(&write("keyboard", &pages::shop()));
    let focused = "document.activeElement.parentElement.id";
    let tabs = (1..100).find(|_| {
        browser.press("Tab", 9);
        browser.evaluate(focused) == json!("s1")
    });
    assert!(tabs.is_some(), "no tabulator leads to the first span");
    browser.press("Enter", 13);
    assert_eq!(browser.evaluate("document.getElementById('s1').open"), json!(true));
}

/// How many of these elements can be seen.
fn shown(browser: &mut Browser, elements: &str) -> Value {
    let seen = "filter(element => element.checkVisibility()).length";
    browser.evaluate(&format!("[...document.querySelectorAll('{elements}')].{seen}"))
}

#[test]
fn only_what_failed_is_left() {
    let (mut browser, _turn) = browser("filter");
    for (name, tree) in [("filter-shop", pages::shop()), ("filter-thousand", pages::thousand())] {
        look(&mut browser, 1280, "light");
        browser.load(&write(name, &tree));
        let failed = browser.evaluate("document.querySelectorAll('.traces li.bad').length");
        let listed = browser.evaluate("document.querySelectorAll('.traces li.bad .d li').length");
        assert!(failed.as_u64() > Some(0) && listed.as_u64() > Some(0), "{name}: {failed} failed, {listed} listed");

        browser.evaluate("document.querySelectorAll('.trace').forEach(trace => trace.open = true)");
        browser.evaluate("document.getElementById('bad').click()");
        assert_eq!(shown(&mut browser, ".traces ol > li:not(.fold)"), failed, "{name}: folded ones, too");
        assert_eq!(shown(&mut browser, ".traces .d"), json!(0), "{name}: nobody has unfolded a span's details");

        browser.evaluate("document.querySelectorAll('li.bad > details').forEach(details => details.open = true)");
        assert_eq!(shown(&mut browser, ".traces .d"), failed, "{name}: the details of the failed spans");
        assert_eq!(shown(&mut browser, ".traces .d li"), listed, "{name}: their events and links");
    }
}
