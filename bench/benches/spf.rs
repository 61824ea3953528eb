//! Measures the routes of meshes of 100, 1,000 and 10,000 nodes, whole and with one half cut off.

#[path = "../src/bin/worker/mesh_setup.rs"]
mod mesh_setup;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mesh_setup::SyntheticMesh;

fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spf");
    for nodes in [100, 1_000, 10_000] {
        for (parts, what) in [(1, "whole"), (2, "half")] {
            let mesh = SyntheticMesh::new(nodes, parts).expect("valid names");
            group.bench_function(BenchmarkId::new(what, nodes), |bencher| {
                bencher.iter(|| mesh.compute());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, routes);
criterion_main!(benches);
