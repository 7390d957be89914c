//! The manual. Each chapter is short, and a test compiles each example in it and runs most.
//!
//! **Start here**
//!
//! | chapter | what it answers |
//! |---|---|
//! | [`adopt`] | How do I bring this into a service that exists? |
//! | [`hops`] | Which call replaces which? What does each one promise? |
//! | [`features`] | Which feature do I need? |
//!
//! **Inside the process**
//!
//! | chapter | what it answers |
//! |---|---|
//! | [`handlers`] | What do I have to know in asynchronous code? |
//! | [`open_spans`] | Why does this span stay open, and which call does not hold it? |
//! | [`cancellation`] | What happens to work that is aborted, timed out or dropped? |
//! | [`rayon`] | How do jobs and parallel iterators carry the context? |
//! | [`channels`] | How do messages, actors and batches carry it? |
//! | [`tracing`] | What if my spans are those of `tracing`? |
//!
//! **Between processes**
//!
//! | chapter | what it answers |
//! |---|---|
//! | [`headers`] | How does the context get into headers, child processes and plain bytes? |
//! | [`messages`] | How do I trace a queue or a broker? |
//! | [`http`] | How do I trace axum, hyper, tonic and reqwest? |
//! | [`trust`] | What may strangers do to my traces and my baggage? |
//!
//! **Make sure**
//!
//! | chapter | what it answers |
//! |---|---|
//! | [`testing`] | How does a test assert that a trace is whole? |
//! | [`lost`] | Where does my trace fall apart? |
//! | [`limits`] | What does the crate not do? |
//!
//! **Decide**
//!
//! | chapter | what it answers |
//! |---|---|
//! | [`scale`] | What does it cost at 100,000 and at 10 million hops a second? |
//! | [`performance`] | What does each hop cost, and beside which others? |
//! | [`compare`] | What do others do better, and what worse? |

#[doc = include_str!("adopt.md")]
pub mod adopt {}
#[doc = include_str!("cancellation.md")]
pub mod cancellation {}
#[doc = include_str!("channels.md")]
pub mod channels {}
#[doc = include_str!("compare.md")]
pub mod compare {}
#[doc = include_str!("features.md")]
pub mod features {}
#[doc = include_str!("handlers.md")]
pub mod handlers {}
#[doc = include_str!("headers.md")]
pub mod headers {}
#[doc = include_str!("hops.md")]
pub mod hops {}
#[doc = include_str!("http.md")]
pub mod http {}
#[doc = include_str!("limits.md")]
pub mod limits {}
#[doc = include_str!("lost.md")]
pub mod lost {}
#[doc = include_str!("messages.md")]
pub mod messages {}
#[doc = include_str!("open_spans.md")]
pub mod open_spans {}
#[doc = include_str!("performance.md")]
pub mod performance {}
#[doc = include_str!("rayon.md")]
pub mod rayon {}
#[doc = include_str!("scale.md")]
pub mod scale {}
#[doc = include_str!("testing.md")]
pub mod testing {}
#[doc = include_str!("tracing.md")]
pub mod tracing {}
#[doc = include_str!("trust.md")]
pub mod trust {}
