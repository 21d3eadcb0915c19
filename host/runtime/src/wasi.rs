//! The little of WASI that a predictor gets: clocks, random numbers, and a log.
//!
//! A toolchain's standard library imports more than a predictor has a use for. Of that, the
//! environment is empty, standard input is at its end, and standard output and error go to the log
//! of the call. Everything else traps when it is called.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut, bail};

use crate::call::{Entropy, Sandbox};

/// The version that Rust's standard library asks for.
const VERSION: &str = "@0.2.6";

/// A stream handle; there is nothing behind it but the call's log.
struct Stream;

/// The handle of a standard input that is at its end.
struct Input;

/// What a stream is waited for with: it is always ready.
struct Pollable;

/// `wasi:clocks/wall-clock.datetime`.
#[derive(ComponentType, Lower, Lift)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// `wasi:io/streams.stream-error`, of which only the end is ever returned.
#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

struct IoError;

type Written = (Result<(), StreamError>,);

/// The most random bytes that one host call gives.
const MAX_RANDOM_BYTES: u64 = 4096;

pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> Result<()> {
    add_version(linker, VERSION)
}

/// What `component` asks for beyond that: the same under other versions, as the minor line of WASI 0.2
/// is one track, and our resources in interfaces that only trap. What stands in for an unknown import
/// is looked up by its exact name, so both have to be there before it.
pub(crate) fn add_imported(linker: &mut Linker<Sandbox>, component: &Component) -> Result<()> {
    let (engine, ty) = (component.engine(), component.component_type());
    let imports: Vec<_> = ty.imports(engine).filter(|(name, _)| name.starts_with("wasi:")).collect();
    let versions: BTreeSet<&str> =
        imports.iter().filter_map(|(name, _)| Some(&name[name.find("@0.2.")?..])).collect();
    for version in versions.into_iter().filter(|&version| version != VERSION && !version.contains("-rc-")) {
        add_version(linker, version)?;
    }
    for (name, import) in imports {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if ["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:nn/"]
            .iter()
            .any(|ours| name.starts_with(ours))
        {
            continue;
        }
        for (export, _) in interface.exports(engine) {
            let resource = match export {
                "error" => ResourceType::host::<IoError>(),
                "input-stream" => ResourceType::host::<Input>(),
                "output-stream" => ResourceType::host::<Stream>(),
                "pollable" => ResourceType::host::<Pollable>(),
                _ => continue,
            };
            linker.instance(name)?.resource(export, resource, |_, _| Ok(()))?;
        }
    }
    Ok(())
}

fn add_version(linker: &mut Linker<Sandbox>, version: &str) -> Result<()> {
    let name = |interface: &str| format!("wasi:{interface}{version}");

    let mut environment = linker.instance(&name("cli/environment"))?;
    environment.func_wrap("get-environment", |_: StoreContextMut<'_, Sandbox>, (): ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    environment
        .func_wrap("get-arguments", |_: StoreContextMut<'_, Sandbox>, (): ()| Ok((Vec::<String>::new(),)))?;

    let mut exit = linker.instance(&name("cli/exit"))?;
    exit.func_wrap("exit", |_: StoreContextMut<'_, Sandbox>, (_status,): (Result<(), ()>,)| -> Result<()> {
        bail!("the predictor called exit")
    })?;

    let mut io_error = linker.instance(&name("io/error"))?;
    io_error.resource("error", ResourceType::host::<IoError>(), |_, _| Ok(()))?;

    // A libc that knows files polls before it writes. Nothing here is ever waited for.
    let mut poll = linker.instance(&name("io/poll"))?;
    poll.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    poll.func_wrap("[method]pollable.ready", |_: StoreContextMut<'_, Sandbox>, _: (Resource<Pollable>,)| {
        Ok((true,))
    })?;
    poll.func_wrap("[method]pollable.block", |_: StoreContextMut<'_, Sandbox>, _: (Resource<Pollable>,)| {
        Ok(())
    })?;
    poll.func_wrap("poll", |_: StoreContextMut<'_, Sandbox>, (all,): (Vec<Resource<Pollable>>,)| {
        Ok(((0u32..).take(all.len()).collect::<Vec<_>>(),))
    })?;

    let mut streams = linker.instance(&name("io/streams"))?;
    streams.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    streams.func_wrap(
        "[method]input-stream.subscribe",
        |_: StoreContextMut<'_, Sandbox>, _: (Resource<Input>,)| Ok((Resource::<Pollable>::new_own(0),)),
    )?;
    streams.func_wrap(
        "[method]output-stream.subscribe",
        |_: StoreContextMut<'_, Sandbox>, _: (Resource<Stream>,)| Ok((Resource::<Pollable>::new_own(0),)),
    )?;
    // An interface that uses another's resource imports it once more under its own name.
    streams.resource("error", ResourceType::host::<IoError>(), |_, _| Ok(()))?;
    streams.resource("input-stream", ResourceType::host::<Input>(), |_, _| Ok(()))?;
    streams.resource("output-stream", ResourceType::host::<Stream>(), |_, _| Ok(()))?;
    for read in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func_wrap(read, |_: StoreContextMut<'_, Sandbox>, _: (Resource<Input>, u64)| {
            Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
        })?;
    }
    streams.func_wrap(
        "[method]output-stream.check-write",
        |_: StoreContextMut<'_, Sandbox>, _: (Resource<Stream>,)| Ok((Ok::<u64, StreamError>(4096),)),
    )?;
    for write in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func_wrap(
            write,
            |mut store: StoreContextMut<'_, Sandbox>,
             (_, bytes): (Resource<Stream>, Vec<u8>)|
             -> Result<Written> {
                store.data_mut().log(&bytes);
                Ok((Ok(()),))
            },
        )?;
    }
    for flush in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(
            flush,
            |_: StoreContextMut<'_, Sandbox>, _: (Resource<Stream>,)| -> Result<Written> { Ok((Ok(()),)) },
        )?;
    }

    for (interface, function) in [("cli/stdout", "get-stdout"), ("cli/stderr", "get-stderr")] {
        let mut output = linker.instance(&name(interface))?;
        output.resource("output-stream", ResourceType::host::<Stream>(), |_, _| Ok(()))?;
        output.func_wrap(function, |_: StoreContextMut<'_, Sandbox>, (): ()| {
            Ok((Resource::<Stream>::new_own(0),))
        })?;
    }
    let mut input = linker.instance(&name("cli/stdin"))?;
    input.resource("input-stream", ResourceType::host::<Input>(), |_, _| Ok(()))?;
    input.func_wrap("get-stdin", |_: StoreContextMut<'_, Sandbox>, (): ()| {
        Ok((Resource::<Input>::new_own(0),))
    })?;

    let mut monotonic = linker.instance(&name("clocks/monotonic-clock"))?;
    monotonic.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    monotonic.func_wrap("now", |store: StoreContextMut<'_, Sandbox>, (): ()| {
        Ok((nanoseconds(store.data().started.elapsed()),))
    })?;
    monotonic.func_wrap("resolution", |_: StoreContextMut<'_, Sandbox>, (): ()| Ok((1u64,)))?;

    let mut wall = linker.instance(&name("clocks/wall-clock"))?;
    wall.func_wrap("now", |_: StoreContextMut<'_, Sandbox>, (): ()| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() },))
    })?;
    wall.func_wrap("resolution", |_: StoreContextMut<'_, Sandbox>, (): ()| {
        Ok((Datetime { seconds: 0, nanoseconds: 1 },))
    })?;

    for (interface, bytes, number) in [
        ("random/random", "get-random-bytes", "get-random-u64"),
        ("random/insecure", "get-insecure-random-bytes", "get-insecure-random-u64"),
    ] {
        let mut random = linker.instance(&name(interface))?;
        random.func_wrap(bytes, |store: StoreContextMut<'_, Sandbox>, (length,): (u64,)| {
            if length > MAX_RANDOM_BYTES {
                bail!("random bytes: expected at most {MAX_RANDOM_BYTES} in a call, got {length}");
            }
            let mut bytes = vec![0u8; usize::try_from(length).expect("at most 4096")];
            if store.data().entropy == Entropy::System {
                getrandom::fill(&mut bytes)
                    .map_err(|cause| wasmtime::format_err!("no random numbers: {cause}"))?;
            }
            Ok((bytes,))
        })?;
        random.func_wrap(number, |store: StoreContextMut<'_, Sandbox>, (): ()| Ok((random_u64(&store)?,)))?;
    }
    linker
        .instance(&name("random/insecure-seed"))?
        .func_wrap("insecure-seed", |store: StoreContextMut<'_, Sandbox>, (): ()| {
            Ok(((random_u64(&store)?, random_u64(&store)?),))
        })?;
    Ok(())
}

fn random_u64(store: &StoreContextMut<'_, Sandbox>) -> Result<u64> {
    if store.data().entropy == Entropy::Fixed {
        return Ok(0);
    }
    getrandom::u64().map_err(|cause| wasmtime::format_err!("no random numbers: {cause}"))
}

fn nanoseconds(elapsed: std::time::Duration) -> u64 {
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}
