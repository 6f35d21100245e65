//! The switch of deliberate mistakes, written once for the crates that can make some.
//!
//! What lives here: [`mutation_switch!`](macro@crate::mutation_switch), which gives a crate's `mutation` module its `set` and its
//! `mutated`. It stands here because every crate that decides knows this one; this crate itself makes no mistakes.
//!
//! What does not: the mistakes. Each crate has a list of its own.
//!
//! Invariants:
//! - Whether there is a switch is asked of the crate that calls the macro, by its own feature `mutations`. Without that feature
//!   `mutated` is a constant, and nothing of a mistake is compiled in.
//! - A mistake is made in the thread that asked for it and in no other, so that histories run side by side.

/// Defines `set` and `mutated` for an enum of mistakes, in the module where it is called.
///
/// The enum is `Copy + Eq` and is named by one word that is in scope. With the feature `mutations` of the calling crate:
/// `pub fn set(Option<Enum>)` makes one mistake in this thread, or none; `pub(crate) fn mutated(Enum) -> bool` tells whether
/// this mistake is to be made. Without it there is no `set`, and `mutated` is false at compile time.
#[macro_export]
macro_rules! mutation_switch {
    ($mutation:ident) => {
        #[cfg(feature = "mutations")]
        mod switch {
            use std::cell::Cell;

            use super::$mutation;

            thread_local! {
                static ACTIVE: Cell<Option<$mutation>> = const { Cell::new(None) };
            }

            /// Makes one mistake in this thread, or none.
            pub fn set(mutation: Option<$mutation>) {
                ACTIVE.set(mutation);
            }

            pub(crate) fn mutated(mutation: $mutation) -> bool {
                ACTIVE.get() == Some(mutation)
            }
        }

        #[cfg(feature = "mutations")]
        pub(crate) use switch::mutated;
        #[cfg(feature = "mutations")]
        pub use switch::set;

        /// True when this mistake is to be made.
        #[cfg(not(feature = "mutations"))]
        pub(crate) const fn mutated(_: $mutation) -> bool {
            false
        }
    };
}
