//! Every adaptor of rayon's parallel iterators: which of the closures before it, in it and after it are in context.

mod support;
#[path = "support/rayon.rs"]
mod watch;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rayon::prelude::*;
use watch::{Matrix, Watched, for_each, numbers};

#[test]
fn one_item_to_one() {
    let matrix = Matrix::new();
    matrix.row("no adaptor", &["end"]).check(|it, _| it, for_each);
    matrix.row("map", &["before", "end"]).check(|it, seen| it.map(seen.pass("before")), for_each);
    matrix.row("map_with", &["before", "Clone", "map", "after", "end"]).tail_misses(&["Clone"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.map_with(Watched(0, seen), |_, n| seen.pass("map")(n)).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("map_init", &["before", "init", "map", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.map_init(|| seen.at("init"), |_, n| seen.pass("map")(n)).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("cloned", &["before", "Clone", "after", "end"]).check(
        |it, seen| {
            let watched: &Watched = Box::leak(Box::new(Watched(0, seen)));
            it.map(seen.pass("before")).map(move |_| watched).cloned().map(seen.pass("after"))
        },
        for_each,
    );
    matrix
        .row("copied", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).map(|_| &7).copied().map(seen.pass("after")), for_each);
    matrix.row("inspect", &["before", "inspect", "after", "end"]).check(
        |it, seen| it.map(seen.pass("before")).inspect(|_| seen.at("inspect")).map(seen.pass("after")),
        for_each,
    );
    matrix
        .row("update", &["before", "update", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).update(|_| seen.at("update")).map(seen.pass("after")), for_each);
    matrix
        .row("panic_fuse", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).panic_fuse().map(seen.pass("after")), for_each);
}

#[test]
fn one_item_to_none() {
    let matrix = Matrix::new();
    matrix.row("filter", &["before", "filter", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.filter(|n| seen.pass("filter")(n % 2 == 0)).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("filter_map", &["before", "filter", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.filter_map(|n| seen.pass("filter")((n % 2 == 0).then_some(n))).map(seen.pass("after"))
        },
        for_each,
    );
    matrix
        .row("while_some", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).map(Some).while_some().map(seen.pass("after")), for_each);
    matrix
        .row("take_any", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).take_any(60).map(seen.pass("after")), for_each);
    matrix
        .row("skip_any", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).skip_any(4).map(seen.pass("after")), for_each);
    matrix.row("take_any_while", &["before", "while", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.take_any_while(|_| seen.pass("while")(true)).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("skip_any_while", &["before", "while", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.skip_any_while(|_| seen.pass("while")(false)).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("positions", &["before", "position", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.positions(|_| seen.pass("position")(true)).map(seen.pass("after"))
        },
        for_each,
    );
    matrix
        .row("step_by", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).step_by(2).map(seen.pass("after")), for_each);
    // What is skipped is processed too, on a way of its own.
    matrix
        .row("skip", &["before", "after", "end"])
        .tail_misses(&["before"])
        .check(|it, seen| it.map(seen.pass("before")).skip(4).map(seen.pass("after")), for_each);
    matrix
        .row("take", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).take(60).map(seen.pass("after")), for_each);
}

/// The inner items come of a single outer one, so that the second thread can only have stolen them.
#[test]
fn one_item_to_many() {
    let matrix = Matrix::new();
    let in_flat_map = &["before", "outer", "inner", "after", "end"];
    matrix
        .row("flat_map", in_flat_map)
        .head_misses(&["inner", "after", "end"])
        .tail_misses(&["before", "outer"])
        .check(
            |it, seen| {
                // A single item, and not on the thread that drives, where all is bound; its inner ones on two others.
                let (driver, first) = (thread::current().id(), AtomicBool::new(true));
                let it = it.inspect(|_| seen.meet("before"));
                let it = it.filter(move |_| thread::current().id() != driver && first.swap(false, Ordering::Relaxed));
                it.flat_map(|_| {
                    seen.note("outer");
                    numbers().inspect(|_| seen.meet_all("inner", 3))
                })
                .map(seen.pass("after"))
            },
            for_each,
        );
    matrix
        .row("flatten", &["outer", "inner", "after", "end"])
        .head_misses(&["inner", "after", "end"])
        .tail_misses(&["outer"])
        .check(
            |it, seen| {
                let it = it.inspect(|_| seen.meet("outer")).filter(|n| *n == 0);
                it.map(|_| numbers().inspect(|_| seen.meet("inner"))).flatten().map(seen.pass("after"))
            },
            for_each,
        );
    matrix.row("flat_map_iter", in_flat_map).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.flat_map_iter(|_| {
                seen.at("outer");
                (0..2).inspect(|_| seen.at("inner"))
            })
            .map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("flatten_iter", &["outer", "inner", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("outer")).map(|_| (0..2).inspect(|_| seen.at("inner")));
            it.flatten_iter().map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("intersperse", &["before", "Clone", "after", "end"]).tail_misses(&["Clone"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before")).map(move |n| Watched(n, seen));
            it.intersperse(Watched(0, seen)).map(seen.pass("after"))
        },
        for_each,
    );
}

#[test]
fn many_items_to_one() {
    let matrix = Matrix::new();
    matrix.row("fold", &["before", "identity", "fold", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.fold(|| seen.at("identity"), |(), _| seen.at("fold")).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("fold_with", &["before", "Clone", "fold", "after", "end"]).tail_misses(&["Clone"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.fold_with(Watched(0, seen), |sum, _| seen.pass("fold")(sum)).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("try_fold", &["before", "identity", "fold", "after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.try_fold(|| seen.at("identity"), |(), _| seen.pass("fold")(Some(()))).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("try_fold_with", &["before", "Clone", "fold", "after", "end"]).tail_misses(&["Clone"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.try_fold_with(Watched(0, seen), |sum, _| Some(seen.pass("fold")(sum))).map(seen.pass("after"))
        },
        for_each,
    );
    matrix
        .row("chunks", &["before", "after", "end"])
        .head_misses(&["after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).chunks(4).map(seen.pass("after")), for_each);
    matrix.row("fold_chunks", &["before", "identity", "fold", "after", "end"]).head_misses(&["after", "end"]).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.fold_chunks(4, || seen.at("identity"), |(), _| seen.at("fold")).map(seen.pass("after"))
        },
        for_each,
    );
    matrix
        .row("fold_chunks_with", &["before", "Clone", "fold", "after", "end"])
        .head_misses(&["after", "end"])
        .splits_miss(&["Clone"])
        .check(
            |it, seen| {
                let it = it.map(seen.pass("before"));
                it.fold_chunks_with(4, Watched(0, seen), |sum, _| seen.pass("fold")(sum)).map(seen.pass("after"))
            },
            for_each,
        );
}

#[test]
fn order_and_size() {
    let matrix = Matrix::new();
    matrix
        .row("enumerate", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).enumerate().map(seen.pass("after")), for_each);
    matrix
        .row("rev", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).rev().map(seen.pass("after")), for_each);
    matrix
        .row("with_min_len", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).with_min_len(2).map(seen.pass("after")), for_each);
    matrix
        .row("with_max_len", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).with_max_len(1).map(seen.pass("after")), for_each);
    matrix
        .row("by_uniform_blocks", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).by_uniform_blocks(16).map(seen.pass("after")), for_each);
    matrix
        .row("by_exponential_blocks", &["before", "after", "end"])
        .check(|it, seen| it.map(seen.pass("before")).by_exponential_blocks().map(seen.pass("after")), for_each);
}

#[test]
fn two_iterators() {
    let matrix = Matrix::new();
    let places = &["before", "other", "after", "end"];
    matrix.row("zip", places).check(
        |it, seen| it.map(seen.pass("before")).zip(numbers().map(seen.pass("other"))).map(seen.pass("after")),
        for_each,
    );
    matrix.row("zip, bound on the right", places).check(
        |it, seen| numbers().map(seen.pass("other")).zip(it.map(seen.pass("before"))).map(seen.pass("after")),
        for_each,
    );
    matrix.row("zip_eq", places).check(
        |it, seen| it.map(seen.pass("before")).zip_eq(numbers().map(seen.pass("other"))).map(seen.pass("after")),
        for_each,
    );
    matrix.row("interleave", places).check(
        |it, seen| it.map(seen.pass("before")).interleave(numbers().map(seen.pass("other"))).map(seen.pass("after")),
        for_each,
    );
    matrix.row("interleave_shortest", places).check(
        |it, seen| {
            let it = it.map(seen.pass("before"));
            it.interleave_shortest(numbers().map(seen.pass("other"))).map(seen.pass("after"))
        },
        for_each,
    );
    matrix.row("chain", places).head_misses(&["other", "after", "end"]).check(
        |it, seen| it.map(seen.pass("before")).chain(numbers().map(seen.pass("other"))).map(seen.pass("after")),
        for_each,
    );
    matrix.row("chain, bound on the right", places).head_misses(&["other", "after", "end"]).check(
        |it, seen| numbers().map(seen.pass("other")).chain(it.map(seen.pass("before"))).map(seen.pass("after")),
        for_each,
    );
}

/// Behind `enumerate`, rayon pulls the items out of a leaf instead of pushing them through: other code of ours.
#[test]
fn pulled_out() {
    let matrix = Matrix::new();
    matrix.row("map, pulled", &["before", "after", "end"]).check(
        |it, seen| it.map(seen.pass("before")),
        |it, seen| for_each(it.enumerate().map(seen.pass("after")), seen),
    );
    matrix.row("map_init, pulled", &["init", "map", "end"]).check(
        |it, seen| it.map_init(|| seen.at("init"), |_, n| seen.pass("map")(n)),
        |it, seen| for_each(it.rev(), seen),
    );
    matrix.row("chunks, pulled", &["before", "after", "end"]).head_misses(&["after", "end"]).check(
        |it, seen| it.map(seen.pass("before")).chunks(4).map(seen.pass("after")),
        |it, seen| for_each(it.zip(numbers()), seen),
    );
    matrix
        .row("chunks behind both", &["before", "end"])
        .head_misses(&["end"])
        .tail_misses(&["end"])
        .splits_miss(&["end"])
        .check(|it, seen| it.map(seen.pass("before")), |it, seen| for_each(it.chunks(4), seen));
    matrix.row("chain, pulled", &["before", "other", "end"]).head_misses(&["other", "end"]).check(
        |it, seen| it.map(seen.pass("before")).chain(numbers().map(seen.pass("other"))),
        |it, seen| for_each(it.enumerate(), seen),
    );
    matrix.row("interleave, pulled", &["before", "other", "end"]).check(
        |it, seen| it.map(seen.pass("before")).interleave(numbers().map(seen.pass("other"))),
        |it, seen| for_each(it.step_by(2), seen),
    );
}
