use std::{cell::Cell, sync::Arc};

use opentelemetry::{
    Context,
    context::{ContextObserver, GlobalContextObserver},
};

use super::thread;

/// Hears of every attach in the process, also by others than this crate.
struct Observer;

thread_local!(static HEARD: Cell<bool> = const { Cell::new(false) });

/// Sets the observer. Returns whether it is the one that is called: a process has one, and the first one stays.
pub(super) fn install() -> bool {
    GlobalContextObserver::set(Arc::new(Observer));
    HEARD.set(false);
    thread::attaching();
    drop(Context::map_current(Clone::clone).attach());
    HEARD.get()
}

/// OpenTelemetry calls it while its current context is borrowed: nothing here calls OpenTelemetry or logs.
impl ContextObserver for Observer {
    fn on_context_enter(&self, _from: &Context, _to: &Context) {
        let _ = HEARD.try_with(|heard| heard.set(true));
        thread::entered();
    }

    fn on_context_exit(&self, _from: &Context, _to: &Context) {
        thread::exited();
    }
}
