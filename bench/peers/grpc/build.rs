//! Generates the code of the service as from a `.proto` file, but without the protobuf compiler. The
//! two messages are written by hand in `src/main.rs`.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let set = Method::builder()
        .name("set")
        .route_name("Set")
        .input_type("crate::Message")
        .output_type("crate::Acknowledgement")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let service = Service::builder().name("Receiver").package("bench").method(set).build();
    Builder::new().compile(&[service]);
}
