//! Environment variables, with the names that OpenTelemetry's specification of environment carriers says.

use std::{borrow::Cow, collections::BTreeMap, env, ffi::OsStr, fmt, process::Command};

use super::{Carrier, is_line};

/// The environment variables of this process, at the time when it looked.
///
/// Use it in a program that others start: extract at the start, and work in that context. To pass the context on to a
/// child process, inject into its [`Command`], which is a carrier too. (tokio's command has one inside:
/// `command.as_std_mut()`.)
///
/// Names and keys are in capitals (`TRACEPARENT`), with `_` for every character that is neither letter nor digit.
/// Variables with other names and values that are not text are not seen. Setting a value here changes this
/// copy, and not the process.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{self, Carrier, Environment};
/// use std::process::Command;
///
/// # opentelemetry::global::set_text_map_propagator(ctxhop::propagation::TraceContextPropagator::new());
/// let cx = carrier::extract(&Environment::current());
///
/// let mut child = Command::new("make");
/// carrier::inject(&cx, &mut child);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process, now.
    #[must_use]
    pub fn current() -> Self {
        let text =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        text.collect()
    }
}

/// Variables of other names are left out.
impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(name, _)| is_named(name.as_ref(), name)).collect())
    }
}

impl Carrier for Environment {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0.get(&name_of(key)).map(String::as_str).into_iter()
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let is_line = is_line(&value);
        if is_line {
            self.0.insert(name_of(key), value);
        }
        is_line
    }

    fn remove(&mut self, key: &str) {
        self.0.remove(&name_of(key));
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        name_of(key).into()
    }
}

/// The variables that a child process will get besides those that it inherits.
///
/// A variable that is removed is not inherited either: no stale `TRACESTATE` of this process reaches the child.
impl Carrier for Command {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.get_envs().filter(move |(name, _)| is_named(name, key)).filter_map(|(_, value)| value?.to_str())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let names = self.get_envs().filter_map(|(name, value)| value.and(name.to_str()));
        names.filter(|name| is_named(name.as_ref(), name))
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let is_line = is_line(&value);
        if is_line {
            self.env(name_of(key), value);
        }
        is_line
    }

    fn remove(&mut self, key: &str) {
        self.env_remove(name_of(key));
    }

    fn spelling<'k>(&self, key: &'k str) -> Cow<'k, str> {
        name_of(key).into()
    }
}

fn name_of(key: &str) -> String {
    name_characters(key).collect()
}

fn is_named(name: &OsStr, key: &str) -> bool {
    name.to_str().is_some_and(|name| name_characters(key).eq(name.chars()))
}

fn name_characters(key: &str) -> impl Iterator<Item = char> {
    let unfit_start = key.chars().next().is_none_or(|first| first.is_ascii_digit());
    let allowed =
        |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' };
    unfit_start.then_some('_').into_iter().chain(key.chars().map(allowed))
}
