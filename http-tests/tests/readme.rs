//! The README's code is that of the examples, which run.

#[test]
fn shows_the_examples() {
    let readme = include_str!("../../README.md");
    for example in [include_str!("../examples/http.rs"), include_str!("../examples/grpc.rs")] {
        let shown = example.split("    // README\n").nth(1).expect("between two marks");
        let shown: String =
            shown.trim_end().lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
        assert!(readme.contains(&shown), "the README does not have:\n{shown}");
    }
}
