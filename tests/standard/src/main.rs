//! Runs a plain ampoule as any runtime with standard `wasi:nn` could: the sealed file on wasmtime's own implementation of
//! that interface, with the graphs offered by their names.
//!
//!     ampoule-standard AMPOULE < REQUEST
//!
//! REQUEST is `{"instances": […]}`; each prediction is a line of JSON.

mod tract;

use std::io::{Read as _, Write as _};

use ampoule_wire::{Decoder, Manifest, encode};
use wasmparser::{Parser, Payload};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime::{Config, Engine, Result, Store, bail, format_err};
use wasmtime_wasi_nn::wit::{WasiNnCtx, WasiNnView};
use wasmtime_wasi_nn::{Backend, InMemoryRegistry, Registry};

use tract::Tract;

mod contract {
    wasmtime::component::bindgen!({
        inline: "
            package ampoule:standard;
            world opened {
                export ampoule:model/predictor@0.1.0;
            }
        ",
        path: ["../../guest/wit"],
        world: "ampoule:standard/opened",
        with: { "ampoule:model/types@0.1.0": ampoule_wire::types },
    });
}

struct State {
    table: ResourceTable,
    nn: WasiNnCtx,
}

fn main() -> Result<()> {
    let Some(path) = std::env::args().nth(1) else { bail!("expected AMPOULE, got nothing") };
    let file = std::fs::read(&path)?;
    let (manifest, registry) = parts(&file)?;
    let mut predictor = Predictor::new(&file, registry)?;
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let request = Decoder::new(&manifest, 1000).request(&body)?;
    let predictions = match predictor.predict(&request.instances)? {
        Ok(predictions) => predictions,
        Err(failure) => bail!("{}", failure.describe()),
    };
    let mut lines = Vec::new();
    encode::predictions(&predictions, &manifest.outputs, b"\n", &mut lines)
        .map_err(|why| format_err!("{why}"))?;
    lines.push(b'\n');
    std::io::stdout().write_all(&lines)?;
    Ok(())
}

/// What the file's sections hold: the manifest, and the graphs, made ready.
fn parts(file: &[u8]) -> Result<(Manifest, InMemoryRegistry)> {
    let (mut manifest, mut registry, mut depth) = (None, InMemoryRegistry::new(), 0);
    let folder = tempfile::tempdir()?;
    for payload in Parser::new(0).parse_all(file) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if depth == 0 => {
                if section.name() == "ampoule:manifest" {
                    manifest = Some(Manifest::from_json(section.data())?);
                } else if let Some(name) = section.name().strip_prefix("ampoule:graph/") {
                    // The registry takes a graph's name from its folder's.
                    let graph = folder.path().join(name);
                    std::fs::create_dir(&graph)?;
                    std::fs::write(graph.join(tract::FILE), section.data())?;
                    registry.load(&mut Tract, &graph)?;
                }
            }
            _ => {}
        }
    }
    Ok((manifest.ok_or_else(|| format_err!("expected an ampoule, got a file without a manifest"))?, registry))
}

/// Of WASI, a prediction uses nothing: what is imported traps.
fn without_wasi(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    let engine = component.engine();
    for (interface, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if interface.starts_with("wasi:nn/") {
            continue;
        }
        let mut linked = linker.instance(interface)?;
        for (name, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    let function = format!("{interface}#{name}");
                    linked.func_new(name, move |_, _, _, _| bail!("{function} was called"))?;
                }
                ComponentItem::Resource(_) => {
                    linked.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

struct Predictor {
    store: Store<State>,
    opened: contract::Opened,
}

impl Predictor {
    /// `load` has run when the file was sealed.
    fn new(file: &[u8], registry: InMemoryRegistry) -> Result<Self> {
        let engine = Engine::new(&Config::new())?;
        let component = Component::new(&engine, file)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi_nn::wit::add_to_linker(&mut linker, |state| {
            WasiNnView::new(&mut state.table, &mut state.nn)
        })?;
        without_wasi(&mut linker, &component)?;
        let nn = WasiNnCtx::new([Backend::from(Tract)], Registry::from(registry));
        let mut store = Store::new(&engine, State { table: ResourceTable::new(), nn });
        let opened = contract::Opened::instantiate(&mut store, &component, &linker)?;
        Ok(Self { store, opened })
    }

    fn predict(
        &mut self,
        batch: &ampoule_wire::Batch,
    ) -> Result<std::result::Result<ampoule_wire::Batch, ampoule_wire::Failure>> {
        self.opened.ampoule_model_predictor().call_predict(&mut self.store, batch, None)
    }
}
