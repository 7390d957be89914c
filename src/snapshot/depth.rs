//! More contexts on a thread than OpenTelemetry has room for.
//!
//! Its stack takes 65,534 contexts a thread. It ignores contexts beyond that, and work would see whichever was attached last. Only
//! the `Debug` of a guard tells how deep the stack is. That takes some hundred instructions, so
//! `Attaches` (`teardown.rs`) has a hop look only now and then, and always when the end is near.
//!
//! Beyond the end, contexts lie on a stack of our own, and the last place of OpenTelemetry's is for the innermost of them:
//! nobody can attach anything above it.

use std::{
    cell::RefCell,
    fmt::{self, Write},
};

use opentelemetry::{Context, ContextGuard};

use crate::trail;

/// The last place in OpenTelemetry's stack.
const LAST: u16 = u16::MAX - 1;

/// The most attaches between two looks.
const MAX_ATTACHES: u32 = 4096;

/// Where a context was attached.
pub(super) enum Place {
    /// On OpenTelemetry's stack, with so much room left that the next look is due after that many attaches.
    Theirs(ContextGuard, u32),
    /// On ours.
    Ours(Guard),
    /// Nowhere: the last place of OpenTelemetry's stack belongs to others.
    None,
}

/// Attaches, and looks where.
pub(super) fn attach(context: Context) -> Place {
    let guard = Context::attach(context.clone());
    match position(&guard) {
        // Others attach too: it is not too late even if they do so three times as often.
        Some(position @ ..LAST) => Place::Theirs(guard, MAX_ATTACHES.min(u32::from(LAST - position) / 4)),
        // It does not tell any more.
        None => Place::Theirs(guard, MAX_ATTACHES),
        Some(position) => {
            let guard = (position == LAST).then_some(guard);
            // What is not taken is dropped after the borrow: it may run destructors that attach again.
            let mut context = Some(context);
            STACK.try_with(|stack| stack.borrow_mut().push(&mut context, guard)).unwrap_or(Place::None)
        }
    }
}

/// Detaches what is at this place of our stack.
pub(super) struct Guard(u32);

impl Drop for Guard {
    fn drop(&mut self) {
        // Fails while the thread ends. Its result is dropped after the borrow: it may run destructors that attach again.
        let _detached = STACK.try_with(|stack| stack.borrow_mut().remove(self.0 as usize));
    }
}

thread_local!(static STACK: RefCell<Stack> = const { RefCell::new(Stack { last: Vec::new(), contexts: Vec::new() }) });

struct Stack {
    /// The last one has the innermost of `contexts` in the last place of OpenTelemetry's stack. Those before it fill places that became
    /// free below, so that nothing can be attached above ours that is not ours.
    last: Vec<ContextGuard>,
    /// Those whose guards were dropped too early are `None`.
    contexts: Vec<Option<Context>>,
}

impl Stack {
    /// `guard` is there if the context has got the last place. If not, somebody else has it: us, or others.
    fn push(&mut self, context: &mut Option<Context>, guard: Option<ContextGuard>) -> Place {
        match (guard, &*context) {
            (Some(guard), _) => self.last.push(guard),
            (None, Some(context)) if !self.last.is_empty() => self.attach(context),
            _ => return Place::None,
        }
        self.contexts.push(context.take());
        Place::Ours(Guard(self.contexts.len() as u32 - 1))
    }

    fn remove(&mut self, index: usize) -> Option<Context> {
        let removed = self.contexts.get_mut(index)?.take();
        if index + 1 == self.contexts.len() {
            while let Some(None) = self.contexts.last() {
                self.contexts.pop();
            }
            match self.contexts.last().cloned().flatten() {
                Some(context) => self.attach(&context),
                None => while self.last.pop().is_some() {},
            }
        }
        removed
    }

    /// In place of the innermost one. That is in `contexts` too, so that nothing is destroyed here.
    fn attach(&mut self, context: &Context) {
        self.last.pop();
        loop {
            trail::attaching();
            let guard = Context::attach(context.clone());
            let position = position(&guard);
            self.last.push(guard);
            if position.is_none_or(|position| position >= LAST) {
                return;
            }
        }
    }
}

/// How many contexts are attached with this one; more than `LAST` if it was refused.
fn position(guard: &ContextGuard) -> Option<u16> {
    /// Takes the only number.
    struct Number(Option<u16>);

    impl Write for Number {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            if let Ok(number) = text.parse() {
                self.0 = Some(number);
            }
            Ok(())
        }
    }

    let mut number = Number(None);
    write!(number, "{guard:?}").ok()?;
    number.0
}
