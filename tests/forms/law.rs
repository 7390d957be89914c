//! A hop that is added later has all forms at once: read from the sources.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The Rust files in a folder of this package, at any depth.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The names of the functions that a text defines, or with `pub ` before them.
fn functions(text: &str, public: bool) -> BTreeSet<&str> {
    let prefix = if public { "pub fn " } else { "fn " };
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix(prefix))
        .map(|rest| rest.split(['(', '<']).next().unwrap())
        .collect()
}

/// The hops' files, with those of the same names in `src/tracing`.
fn rooms() -> Vec<(PathBuf, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rooms = vec![(src.join("thread.rs"), "thread")];
    for room in ["tokio", "rayon", "channel"] {
        rooms.extend(sources(&format!("src/{room}")).into_iter().map(|path| (path, room)));
    }
    rooms
        .into_iter()
        .map(|(path, room)| (path.clone(), read(path), read(src.join("tracing").join(room).with_extension("rs"))))
        .collect()
}

#[test]
fn every_method_has_every_form_and_is_in_the_matrix() {
    let matrix: String = sources("tests/forms").into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut methods = 0;
    for (path, text, tracing) in rooms() {
        let (here, twins) = (functions(&text, false), functions(&tracing, false));
        for name in here.iter().filter_map(|name| name.strip_suffix("_with_current_context")) {
            methods += 1;
            let [given, span] = ["context", "current_span"].map(|form| format!("{name}_with_{form}"));
            assert!(here.contains(&*given), "{}: {name} has no {given}", path.display());
            assert!(twins.contains(&*span), "{}: {name} has no {span}", path.display());
            for form in [given, format!("{name}_with_current_context"), span] {
                assert!(matrix.contains(&format!(".{form}(")), "{}: {form} has no row", path.display());
            }
        }
        for name in here.iter().filter(|name| name.ends_with("_parent_only") && !name.starts_with("spawn")) {
            let span = name.replace("_parent_only", "_parent_span_only");
            assert!(twins.contains(&*span), "{}: {name} has no {span}", path.display());
        }
    }
    assert!(methods > 30, "{methods} found");
}

#[test]
fn every_function_has_every_form_and_is_in_the_matrix() {
    let matrix: String = sources("tests/forms").into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut found = 0;
    for (path, text, tracing) in rooms() {
        let (here, twins) = (functions(&text, true), functions(&tracing, true));
        for name in here.iter().filter_map(|name| name.strip_suffix("_with_context")) {
            found += 1;
            assert!(here.contains(name), "{}: {name}_with_context has no {name}", path.display());
            assert!(twins.contains(name), "{}: {name} has no twin for tracing", path.display());
            for form in [name.to_owned(), format!("{name}_with_context")] {
                assert!(matrix.contains(&format!("::{form}(")), "{}: {form} has no row", path.display());
            }
        }
        for name in here.iter().filter(|name| name.ends_with("_detached") || name.ends_with("_parent_only")) {
            assert!(twins.contains(name), "{}: {name} has no twin for tracing", path.display());
        }
    }
    assert!(found > 10, "{found} found");
}
