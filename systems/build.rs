//! Makes the client and the server of the gRPC service, as `protoc` would make them of this:
//!
//! ```proto
//! package shop;
//! service Checkout { rpc Process(Order) returns (Receipt); }
//! ```

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let process = Method::builder()
        .name("process")
        .route_name("Process")
        .input_type("crate::api::Order")
        .output_type("crate::api::Receipt")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let checkout = Service::builder().package("shop").name("Checkout").method(process).build();
    Builder::new().compile(&[checkout]);
    println!("cargo::rerun-if-changed=build.rs");
}
