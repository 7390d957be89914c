//! A watch keeps the value that was sent last, with its context.

use std::{any::Any, sync::mpsc as std_mpsc, time::Duration};

use ctxhop::{WithContext, prelude::*};
use opentelemetry::Context;
use tokio::sync::watch;

use crate::support::{Channel, Message, assert_stranger, stranger, tag, tagged};

row!(TokioWatch, "tokio watch Sender::send", message,
pass: {
    let (tx, rx) = watch::channel(None.detached());
    tx.send_with_current_context(Some(message)).unwrap();
    let message = rx.borrow().clone();
    message.map_inner(|message| message.expect("just sent"))
},
fill: {
    let (tx, rx) = watch::channel(None.detached());
    tx.send_with_current_context(Some(message)).unwrap();
    (tx, rx)
},
refuse: [{
    let (tx, _) = watch::channel(None.detached());
    tx.send_with_current_context(Some(message)).unwrap_err().0.expect("what was sent")
}]);

row!(TokioWatchReplace, "tokio watch Sender::send_replace", message,
pass: {
    let (tx, rx) = watch::channel(None.detached());
    assert!(tx.send_replace_with_current_context(Some(message)).into_inner().is_none());
    let message = rx.borrow().clone();
    message.map_inner(|message| message.expect("just sent"))
},
fill: {
    let (tx, rx) = watch::channel(None.detached());
    drop(tx.send_replace_with_current_context(Some(message)));
    (tx, rx)
},
refuse: []);

row!(TokioWatchModify, "tokio watch Sender::send_modify", message,
pass: {
    let (tx, rx) = watch::channel(None.detached());
    tx.send_modify_with_current_context(|value| *value = Some(message));
    let message = rx.borrow().clone();
    message.map_inner(|message| message.expect("just sent"))
},
fill: {
    let (tx, rx) = watch::channel(None.detached());
    assert!(tx.send_if_modified_with_current_context(|value| value.replace(message).is_none()));
    (tx, rx)
},
refuse: []);

#[test]
fn a_watch_whose_value_is_not_modified_keeps_its_context() {
    let (tx, rx) = watch::channel(1.with_context(tagged("first")));
    let seen = || rx.borrow().run_ref(|n| (*n, tag()));
    tagged("second").run(|| assert!(!tx.send_if_modified_with_current_context(|_| false)));
    assert_eq!(seen(), (1, Some("first")));

    let panics = || tagged("second").run(|| tx.send_modify_with_current_context(|_| std::panic::panic_any("own")));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics));
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"own"));
    assert_eq!(seen(), (1, Some("first")));

    tagged("second").run(|| tx.send_modify_with_current_context(|n| *n += 1));
    assert_eq!(seen(), (2, Some("second")));
}

#[test]
fn a_watch_is_modified_in_the_callers_context_and_gives_the_old_value_with_its_own() {
    let _guard = stranger().attach();
    let (tx, rx) = watch::channel(1.with_context(tagged("first")));
    let modify = |n: &mut u32| {
        assert_stranger("in `modify`");
        *n += 1;
    };
    tx.send_modify_with_context(tagged("second"), modify);
    let modified = tx.send_if_modified_with_context(tagged("third"), |n| {
        modify(n);
        true
    });
    assert!(modified);
    assert_eq!(rx.borrow().run_ref(|n| (*n, tag())), (3, Some("third")));

    let old = tx.send_replace_with_context(tagged("fourth"), 4);
    assert_eq!(old.run(|n| (n, tag())), (3, Some("third")));
}

/// A span processor may look at the channel whose message has kept the span open.
#[test]
fn a_watch_lets_the_previous_context_go_after_its_lock() {
    struct Looks(watch::Receiver<WithContext<u32>>, std_mpsc::Sender<u32>);

    impl Drop for Looks {
        fn drop(&mut self) {
            self.1.send(*self.0.borrow().inner()).unwrap();
        }
    }

    let (looked, seen) = std_mpsc::channel();
    let (tx, rx) = watch::channel(1.detached());
    tx.send_with_context(Context::new().with_value(Looks(rx, looked)), 2).unwrap();
    std::thread::spawn(move || tx.send_modify_with_context(Context::new(), |n| *n += 1));
    assert_eq!(seen.recv_timeout(Duration::from_secs(10)), Ok(3), "not locked");
}

/// A value that looks at the channel when it is dropped, as a processor may when a span ends.
struct LooksAtChannel(tokio::sync::watch::Receiver<WithContext<u32>>);

impl Drop for LooksAtChannel {
    fn drop(&mut self) {
        // Waits for ever where the channel is locked.
        drop(self.0.borrow());
    }
}

#[test]
fn a_context_that_a_watch_does_not_take_is_dropped_outside_its_lock() {
    let (tx, rx) = tokio::sync::watch::channel(0.detached());
    let looking = || Context::new().with_value(LooksAtChannel(rx.clone()));
    assert!(!tx.send_if_modified_with_context(looking(), |_| false));
    let panics = || tx.send_if_modified_with_context(looking(), |_| panic!("on purpose"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    assert!(tx.send_if_modified_with_context(looking(), |_| true));
    assert!(tx.send_if_modified_with_context(Context::new(), |_| true));
}
