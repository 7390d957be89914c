//! What a span says of its request: headers, methods, addresses, schemes and versions.

use std::convert::Infallible;

use bytes::Bytes;
use ctxhop_http_tests::rig::{Rig, get as attribute};
use http::{Request, Response};
use http_body_util::Empty;
use opentelemetry::trace::SpanKind;
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::mirror;

#[tokio::test]
async fn headers_and_secrets_are_recorded_if_asked_for() {
    let rig = Rig::new();
    let name = http::HeaderName::from_static("x-shop");
    let layer = rig.server().record_request_headers([name.clone()]).record_response_headers([name]);
    let service = tower::service_fn(async |_: Request<()>| {
        let response = Response::builder().header("x-shop", "north").header("set-cookie", "secret");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let request = Request::builder()
        .uri("https://user:password@shop.example/a?b=1&sig=secret")
        .header("x-shop", "south")
        .header("x-shop", "east")
        .header("authorization", "secret")
        .body(())
        .unwrap();
    let client = ServiceBuilder::new().layer(rig.client()).layer(layer).service(service);
    client.oneshot(request).await.unwrap();
    let spans = [rig.check(SpanKind::Server, &["GET 200"]).await, rig.check(SpanKind::Client, &["GET 200"]).await];
    let all = format!("{spans:?}");
    assert!(!all.contains("secret") && !all.contains("password"), "{all}");
    let server = &spans[0][0].attributes;
    assert_eq!(attribute(server, "http.request.header.x-shop").as_deref(), Some(r#"["south","east"]"#));
    assert_eq!(attribute(server, "http.response.header.x-shop").as_deref(), Some(r#"["north"]"#));
    assert_eq!(attribute(server, "url.query").as_deref(), Some("b=1&sig=REDACTED"));
    let url = attribute(&spans[1][0].attributes, "url.full");
    assert_eq!(url.as_deref(), Some("https://REDACTED:REDACTED@shop.example/a?b=1&sig=REDACTED"));
}

#[tokio::test]
async fn a_proxy_in_front_says_which_scheme_the_client_used() {
    let shop = "https://shop.example/";
    for (forwarded, uri, expected) in [
        (None, "/", "http"),
        (None, shop, "https"),
        (Some("https"), "/", "https"),
        (Some("HTTPS"), "/", "https"),
        (Some("https, http"), "/", "https"),
        (Some("http"), shop, "http"),
        (Some("gopher"), "/", "http"),
        (Some("gopher, https"), "/", "http"),
        (Some(""), shop, "https"),
    ] {
        let rig = Rig::new();
        let service =
            tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
        let mut request = Request::builder().uri(uri);
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-proto", forwarded);
        }
        let server = ServiceBuilder::new().layer(rig.server()).service(service);
        drop(server.oneshot(request.body(()).unwrap()).await.unwrap());
        let span = rig.check(SpanKind::Server, &["GET 200"]).await.remove(0);
        assert_eq!(attribute(&span.attributes, "url.scheme").as_deref(), Some(expected), "{forwarded:?} {uri}");
        let point = rig.points().remove(0);
        assert_eq!(point.get("url.scheme").as_deref(), Some(expected), "{forwarded:?} {uri}");
    }
}

#[tokio::test]
async fn methods_and_addresses_can_be_named() {
    for (method, expected) in [("HARVEST", "HARVEST 200"), ("GET", "HTTP 200")] {
        let rig = Rig::new();
        let server = rig.server().http_methods(["HARVEST"]).server_address("shop.internal", 8443);
        let client = rig.client().http_methods(["HARVEST"]).server_address("shop.internal", 8443);
        let request = Request::builder().method(method).uri("http://shop.example/").body(()).unwrap();
        drop(client.layer(server.layer(tower::service_fn(mirror))).oneshot(request).await.unwrap());
        for kind in [SpanKind::Server, SpanKind::Client] {
            let span = rig.check(kind, &[expected]).await.remove(0);
            let said = ["server.address", "server.port"].map(|key| attribute(&span.attributes, key).unwrap());
            assert_eq!(said, ["shop.internal", "8443"]);
        }
        let measured = |point: &ctxhop_http_tests::rig::Point| {
            point.metric.starts_with("http.client.") && point.get("server.address").as_deref() == Some("shop.internal")
        };
        assert!(rig.points().iter().any(measured));
    }
}

#[tokio::test]
async fn versions_and_default_ports_are_said() {
    for (version, scheme, expected) in [
        (http::Version::HTTP_09, "http", ["0.9", "80"]),
        (http::Version::HTTP_10, "https", ["1.0", "443"]),
        (http::Version::HTTP_11, "http", ["1.1", "80"]),
        (http::Version::HTTP_2, "https", ["2", "443"]),
        (http::Version::HTTP_3, "https", ["3", "443"]),
    ] {
        let rig = Rig::new();
        let service = tower::service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::builder().version(version).body(Empty::<Bytes>::new()).unwrap())
        });
        let request = Request::builder().uri(format!("{scheme}://shop.example/")).body(()).unwrap();
        drop(rig.client().layer(service).oneshot(request).await.unwrap());
        let span = rig.check(SpanKind::Client, &["GET 200"]).await.remove(0);
        assert_eq!(
            ["network.protocol.version", "server.port"].map(|key| attribute(&span.attributes, key).unwrap()),
            expected
        );
        assert_eq!(span.instrumentation_scope.name(), "ctxhop");
    }
}
