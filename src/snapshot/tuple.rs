use opentelemetry::Context;

use super::Snapshot;

/// Tuples attach left to right and detach right to left.
macro_rules! impl_for_tuple {
    ($($member:ident $index:tt),+; $($reversed:ident $reversed_index:tt),+) => {
        impl<$($member: Snapshot),+> Snapshot for ($($member,)+) {
            /// In reverse, because a tuple's fields are dropped left to right.
            type Guard = ($($reversed::Guard,)+);

            fn capture() -> Self {
                ($($member::capture(),)+)
            }

            #[allow(non_snake_case, reason = "the bindings are named after the type parameters")]
            fn attach(self) -> Self::Guard {
                $(let $member = self.$index.attach();)+
                ($($reversed,)+)
            }

            fn opentelemetry(&self) -> Option<&Context> {
                None$(.or_else(|| self.$index.opentelemetry()))+
            }

            /// Each by its own `run`, which may be cheaper than to clone and attach it.
            #[inline]
            fn run<R>(&self, f: impl FnOnce() -> R) -> R {
                $(let f = || self.$reversed_index.run(f);)+
                f()
            }
        }
    };
}

impl_for_tuple!(A 0; A 0);
impl_for_tuple!(A 0, B 1; B 1, A 0);
impl_for_tuple!(A 0, B 1, C 2; C 2, B 1, A 0);
impl_for_tuple!(A 0, B 1, C 2, D 3; D 3, C 2, B 1, A 0);
