//! Every operation that consumes a parallel iterator: which of its closures, and of those before it, are in context.

mod support;
#[path = "support/rayon.rs"]
mod watch;

use std::{cmp::Ordering, collections::BTreeSet};

use rayon::{iter::Either, prelude::*};
use watch::{ITEMS, Matrix, Seen, Source, Total, Watched, numbers};

/// The chain of the rows about what consumes it.
fn map(it: Source, seen: &'static Seen) -> impl IndexedParallelIterator<Item = u32> + use<> {
    it.map(seen.pass("before"))
}

/// The same, of items that note what is done to them.
fn watched(it: Source, seen: &'static Seen) -> impl IndexedParallelIterator<Item = Watched> + use<> {
    it.map(seen.pass("before")).map(move |n| Watched(n, seen))
}

fn others(seen: &'static Seen) -> impl IndexedParallelIterator<Item = Watched> {
    numbers().map(seen.pass("other")).map(move |n| Watched(n, seen))
}

#[test]
fn each() {
    let matrix = Matrix::new();
    matrix.row("for_each", &["before", "end"]).check(map, |it, seen| it.for_each(seen.end("end")));
    matrix
        .row("for_each_with", &["before", "Clone", "end"])
        .check(map, |it, seen| it.for_each_with(Watched(0, seen), |_, _| seen.at("end")));
    matrix
        .row("for_each_init", &["before", "init", "end"])
        .check(map, |it, seen| it.for_each_init(|| seen.at("init"), |(), _| seen.at("end")));
    matrix.row("try_for_each", &["before", "end"]).check(map, |it, seen| {
        let done = it.try_for_each(|n| seen.pass("end")(if n < ITEMS { Ok(()) } else { Err(n) }));
        assert_eq!(done, Ok(()));
    });
    matrix.row("try_for_each_with", &["before", "Clone", "end"]).check(map, |it, seen| {
        assert_eq!(it.try_for_each_with(Watched(0, seen), |_, _| seen.pass("end")(Some(()))), Some(()));
    });
    matrix.row("try_for_each_init", &["before", "init", "end"]).check(map, |it, seen| {
        assert_eq!(it.try_for_each_init(|| seen.at("init"), |(), _| seen.pass("end")(Some(()))), Some(()));
    });
    matrix.row("count", &["before"]).check(
        |it, seen| map(it, seen).filter(|_| true),
        |it, _| {
            assert_eq!(it.count(), ITEMS as usize);
        },
    );
}

#[test]
fn reduce() {
    let matrix = Matrix::new();
    matrix.row("reduce", &["before", "identity", "reduce"]).check(map, |it, seen| {
        let sum = it.reduce(|| seen.pass("identity")(0), |a, b| seen.pass("reduce")(a + b));
        assert_eq!(sum, (0..ITEMS).sum::<u32>());
    });
    matrix
        .row("reduce_with", &["before", "reduce"])
        .check(map, |it, seen| it.reduce_with(|a, b| seen.pass("reduce")(a + b)));
    matrix.row("try_reduce", &["before", "identity", "reduce"]).check(map, |it, seen| {
        it.map(Some).try_reduce(|| seen.pass("identity")(0), |a, b| seen.pass("reduce")(a.checked_add(b)))
    });
    matrix
        .row("try_reduce_with", &["before", "reduce"])
        .check(map, |it, seen| it.map(Some).try_reduce_with(|a, b| seen.pass("reduce")(a.checked_add(b))));
    matrix.row("sum", &["before", "Sum"]).check(watched, |it, _| it.sum::<Total>());
    matrix.row("product", &["before", "Product"]).check(watched, |it, _| it.product::<Total>());
    matrix.row("min", &["before", "Ord"]).check(watched, |it, _| assert_eq!(it.min().unwrap().0, 0));
    matrix.row("max", &["before", "Ord"]).check(watched, |it, _| assert_eq!(it.max().unwrap().0, ITEMS - 1));
    matrix.row("min_by", &["before", "by"]).check(map, |it, seen| it.min_by(|a, b| seen.pass("by")(a.cmp(b))));
    matrix.row("max_by", &["before", "by"]).check(map, |it, seen| it.max_by(|a, b| seen.pass("by")(a.cmp(b))));
    matrix
        .row("min_by_key", &["before", "key", "Ord"])
        .check(map, |it, seen| it.min_by_key(|n| seen.pass("key")(Watched(*n, seen))));
    matrix
        .row("max_by_key", &["before", "key", "Ord"])
        .check(map, |it, seen| it.max_by_key(|n| seen.pass("key")(Watched(*n, seen))));
}

#[test]
fn find() {
    let matrix = Matrix::new();
    let places = &["before", "find"];
    matrix.row("find_any", places).check(map, |it, seen| it.find_any(|n| seen.pass("find")(*n > ITEMS)));
    matrix.row("find_first", places).check(map, |it, seen| it.find_first(|n| seen.pass("find")(*n > 40)));
    matrix.row("find_last", places).check(map, |it, seen| it.find_last(|n| seen.pass("find")(*n < 20)));
    matrix.row("find_map_any", places).check(map, |it, seen| it.find_map_any(|_| seen.pass("find")(None::<u32>)));
    matrix
        .row("find_map_first", places)
        .check(map, |it, seen| it.find_map_first(|n| seen.pass("find")((n > 40).then_some(n))));
    matrix
        .row("find_map_last", places)
        .check(map, |it, seen| it.find_map_last(|n| seen.pass("find")((n < 20).then_some(n))));
    matrix.row("any", places).check(map, |it, seen| assert!(!it.any(|n| seen.pass("find")(n > ITEMS))));
    matrix.row("all", places).check(map, |it, seen| assert!(it.all(|n| seen.pass("find")(n < ITEMS))));
    matrix.row("position_any", places).check(map, |it, seen| it.position_any(|n| seen.pass("find")(n > ITEMS)));
    matrix.row("position_first", places).check(map, |it, seen| {
        assert_eq!(it.position_first(|n| seen.pass("find")(n > 40)), Some(41));
    });
    matrix.row("position_last", places).check(map, |it, seen| {
        assert_eq!(it.position_last(|n| seen.pass("find")(n < 20)), Some(19));
    });
}

#[test]
fn collect() {
    let matrix = Matrix::new();
    let all = || (0..ITEMS).collect::<Vec<_>>();
    matrix.row("collect", &["before"]).check(map, |it, _| assert_eq!(it.collect::<Vec<_>>(), all()));
    matrix.row("collect, unindexed", &["before", "filter"]).check(
        |it, seen| map(it, seen).filter(|_| seen.pass("filter")(true)),
        |it, _| assert_eq!(it.collect::<Vec<_>>(), all()),
    );
    // A collection is put together where `collect` was called, and so in the context of there.
    matrix
        .row("collect, ordering", &["before", "Ord"])
        .splits_miss(&["Ord"])
        .check(watched, |it, _| it.collect::<BTreeSet<_>>());
    matrix.row("collect_vec_list", &["before"]).check(map, |it, _| {
        assert_eq!(it.collect_vec_list().into_iter().flatten().collect::<Vec<_>>(), all());
    });
    matrix.row("par_extend", &["before"]).check(map, |it, _| {
        let mut vec = Vec::new();
        vec.par_extend(it);
        assert_eq!(vec, all());
    });
    matrix.row("unzip", &["before", "unzip"]).check(map, |it, seen| {
        let (a, b): (Vec<_>, Vec<_>) = it.map(|n| seen.pass("unzip")((n, n))).unzip();
        assert_eq!((a, b), (all(), all()));
    });
    matrix
        .row("partition", &["before", "part"])
        .check(map, |it, seen| it.partition::<Vec<_>, Vec<_>, _>(|n| seen.pass("part")(n % 2 == 0)));
    matrix.row("partition_map", &["before", "part"]).check(map, |it, seen| {
        it.partition_map::<Vec<_>, Vec<_>, _, _, _>(|n| {
            seen.pass("part")(if n % 2 == 0 { Either::Left(n) } else { Either::Right(n) })
        })
    });
    matrix.row("collect_into_vec", &["before"]).check(map, |it, _| {
        let mut vec = Vec::new();
        it.collect_into_vec(&mut vec);
        assert_eq!(vec, all());
    });
    matrix.row("unzip_into_vecs", &["before", "unzip"]).check(map, |it, seen| {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        it.map(|n| seen.pass("unzip")((n, n))).unzip_into_vecs(&mut a, &mut b);
        assert_eq!((a, b), (all(), all()));
    });
}

#[test]
fn compare() {
    let matrix = Matrix::new();
    let ord = &["before", "other", "Ord"];
    let partial_eq = &["before", "other", "PartialEq"];
    matrix.row("cmp", ord).check(watched, |it, seen| assert_eq!(it.cmp(others(seen)), Ordering::Equal));
    matrix.row("partial_cmp", ord).check(watched, |it, seen| it.partial_cmp(others(seen)));
    matrix.row("eq", partial_eq).check(watched, |it, seen| assert!(it.eq(others(seen))));
    matrix.row("ne", partial_eq).check(watched, |it, seen| assert!(!it.ne(others(seen))));
    matrix.row("lt", ord).check(watched, |it, seen| assert!(!it.lt(others(seen))));
    matrix.row("le", ord).check(watched, |it, seen| assert!(it.le(others(seen))));
    matrix.row("gt", ord).check(watched, |it, seen| assert!(!it.gt(others(seen))));
    matrix.row("ge", ord).check(watched, |it, seen| assert!(it.ge(others(seen))));
}
