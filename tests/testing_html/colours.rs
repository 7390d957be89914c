//! Everybody can tell the colours of services.

use std::collections::HashMap;

use ctxhop::testing::TraceTree;

use crate::page;

/// The colours of a scheme in the style sheet: `--c0` to `--c5`, and some by name.
fn colours(scheme: &str) -> HashMap<String, [f64; 3]> {
    let page = page(&TraceTree::new([]));
    let (light, rest) = page.split_once("prefers-color-scheme: dark").unwrap();
    let text = if scheme == "light" { light } else { rest.split_once("}").unwrap().0 };
    let colour = |declaration: &str| {
        let (name, value) = declaration.trim().split_once(": #")?;
        let digits: Vec<_> = value.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        let [r, g, b] = match digits[..] {
            [r, g, b] => [r * 17, g * 17, b * 17],
            [a, b, c, d, e, f] => [a * 16 + b, c * 16 + d, e * 16 + f],
            _ => return None,
        };
        let linear = |part| match f64::from(part) / 255.0 {
            part if part <= 0.04045 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        };
        Some((name.rsplit("--").next()?.to_owned(), [linear(r), linear(g), linear(b)]))
    };
    text.split([';', '{']).filter_map(colour).collect()
}

/// How different two colours look: the distance in Björn Ottosson's Oklab.
fn difference(a: [f64; 3], b: [f64; 3]) -> f64 {
    let [a, b] = [a, b].map(|[r, g, b]| {
        let l = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b).cbrt();
        let m = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b).cbrt();
        let s = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b).cbrt();
        [
            0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
            1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
            0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
        ]
    });
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Everybody's eyes, and those without red, green or blue, after Machado, Oliveira and Fernandes (2009).
const EYES: [[[f64; 3]; 3]; 4] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
];

#[test]
fn everybody_can_tell_the_colours_of_services() {
    for scheme in ["light", "dark"] {
        let colours = colours(scheme);
        let services: Vec<_> = (0..6).map(|n| colours[&format!("c{n}")]).collect();
        for eyes in EYES {
            let seen =
                |colour: [f64; 3]| eyes.map(|row| (0..3).map(|n| row[n] * colour[n]).sum::<f64>().clamp(0.0, 1.0));
            for (n, &a) in services.iter().enumerate() {
                for &b in &services[n + 1..] {
                    let difference = difference(seen(a), seen(b));
                    assert!(difference > 0.075, "{scheme}: {difference} between {a:?} and {b:?}");
                }
            }
        }
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let paper = luminance(colours["bg"]);
        for colour in services {
            let (dark, bright) = (paper.min(luminance(colour)), paper.max(luminance(colour)));
            assert!((bright + 0.05) / (dark + 0.05) >= 3.0, "{scheme}: {colour:?} is too near to the page's");
        }
    }
}
