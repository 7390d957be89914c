use toml::{Table, Value};

use super::Finding;

const API: &str = "opentelemetry";

/// Whoever uses another version of `opentelemetry` than this crate does.
pub(super) fn check(lockfile: &str) -> Vec<Finding> {
    let unreadable = |error: String| vec![Finding::UnreadableLockfile { error }];
    let table = match lockfile.parse::<Table>() {
        Ok(table) => table,
        Err(error) => return unreadable(error.message().to_owned()),
    };
    let Some(packages) = table.get("package").and_then(Value::as_array) else {
        return unreadable("it lists no packages".to_owned());
    };
    let users: Vec<_> = packages.iter().flat_map(User::all_of).collect();
    let Some(ours) = users.iter().find(|user| user.name == env!("CARGO_PKG_NAME")) else {
        return unreadable(format!("it lists no {} that uses {API}", env!("CARGO_PKG_NAME")));
    };
    let others = users.iter().filter(|user| user.api != ours.api);
    let finding = |user: &User<'_>| Finding::OtherOpentelemetry {
        package: format!("{} {}", user.name, user.version),
        theirs: user.api.to_owned(),
        ours: ours.api.to_owned(),
    };
    others.map(finding).collect()
}

/// A package that depends on `opentelemetry`.
struct User<'a> {
    name: &'a str,
    version: &'a str,
    /// The version of `opentelemetry`; empty where there is only one.
    api: &'a str,
}

impl<'a> User<'a> {
    /// One for each version that the package uses; by renaming, a package may use several.
    fn all_of(package: &'a Value) -> impl Iterator<Item = Self> {
        let text = |key| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        // "opentelemetry" where there is one version, "opentelemetry 0.33.1" where there are several.
        let versions = dependencies.filter_map(Value::as_str).filter_map(|dependency| {
            let mut words = dependency.split(' ');
            (words.next()? == API).then(|| words.next().unwrap_or_default())
        });
        versions.map(move |api| Self { name, version, api })
    }
}
