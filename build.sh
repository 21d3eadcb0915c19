cd /tmp/wc; RUSTFLAGS="-C target-feature=+simd128" CARGO_TARGET_DIR=/tmp/eng/ex cargo build --release --offline --target wasm32-wasip2 -p ampoule-engine --example time_graph 2>&1 | grep -A9 "^error\|^warning" | head -60
/tmp/wt/bin/wasmtime compile /tmp/eng/ex/wasm32-wasip2/release/examples/time_graph.wasm -o /tmp/tg$1.cwasm
