//! The code of the README and of the manual is that of the examples, which run.

/// The lines between the marks, without their indent.
fn shown(example: &str) -> String {
    let lines = || example.lines();
    let mark = lines().find(|line| line.trim_start() == "// README").expect("two marks");
    let indent = &mark[..mark.len() - mark.trim_start().len()];
    let lines = lines().skip_while(|line| *line != mark).skip(1).take_while(|line| *line != mark);
    lines.map(|line| format!("{}\n", line.strip_prefix(indent).unwrap_or(line))).collect()
}

#[test]
fn pages_show_the_examples() {
    let readme = include_str!("../../README.md");
    let chapter = include_str!("../../src/manual/http.md");
    for (page, example) in [
        (readme, include_str!("../examples/axum_server.rs")),
        (chapter, include_str!("../examples/http.rs")),
        (chapter, include_str!("../examples/grpc.rs")),
    ] {
        let shown = shown(example);
        assert!(page.contains(&shown), "the page does not have:\n{shown}");
    }
}
