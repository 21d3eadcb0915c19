//! [`Running`]: a component that is run once, when it is sealed, and stored as it is afterwards.

use std::sync::Arc;

use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, WasmList};
use wasmtime::{Config, Engine, Store};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use crate::call::{Entropy, Sandbox};
use crate::{Error, Limits, nn, wasi};

/// A component with getters for all that it holds, and its instance.
pub(super) struct Running<'c> {
    /// What put the getters in, and what it knows of the component.
    instrumented: Option<(Wizer, ComponentContext<'c>)>,
    pub store: Store<Sandbox>,
    pub instance: Instance,
}

impl<'c> Running<'c> {
    /// Compiles and instantiates `component`, which has no random numbers, and may take so many bytes of memory.
    ///
    /// # Errors
    /// [`Error::Contract`] for what is no component, or one that can't be stored.
    pub async fn start(component: &'c [u8], memory_bytes: usize) -> Result<Self, Error> {
        let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
        let mut config = Config::new();
        config.wasm_component_model(true).concurrency_support(false).wasm_relaxed_simd(false);
        let engine = Engine::new(&config).map_err(|cause| Error::sandbox(&cause))?;
        let mut wizer = Wizer::new();
        wizer.keep_init_func(true);
        let (context, instrumented) = wizer.instrument_component(component).map_err(contract)?;
        let component = Component::new(&engine, &instrumented).map_err(contract)?;

        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker).map_err(|cause| Error::sandbox(&cause))?;
        nn::add_to_linker(&mut linker).map_err(|cause| Error::sandbox(&cause))?;
        wasi::add_imported(&mut linker, &component).map_err(contract)?;
        linker.define_unknown_imports_as_traps(&component).map_err(contract)?;
        // One page beyond what was allowed is the snapshot's own.
        let limits = Limits { memory_bytes: memory_bytes + (64 << 10), ..Limits::default() };
        let mut sandbox = Sandbox::new(Arc::from([]), Arc::new(limits));
        sandbox.entropy = Entropy::Fixed;
        let mut store = Store::new(&engine, sandbox);
        store.limiter(|sandbox| sandbox);
        store.set_hostcall_fuel(usize::MAX);
        let instance = linker.instantiate_async(&mut store, &component).await.map_err(contract)?;
        Ok(Self { instrumented: Some((wizer, context)), store, instance })
    }

    /// The component as it is now.
    ///
    /// # Errors
    /// [`Error::Contract`] where it holds what can't be stored.
    pub async fn snapshot(mut self) -> Result<Vec<u8>, Error> {
        let (wizer, context) = self.instrumented.take().expect("it is taken here alone");
        let stored = wizer.snapshot_component(&context, &mut self).await;
        stored.map_err(|cause| Error::Contract(format!("{cause:#}")))
    }

    async fn get<T>(&mut self, instance: &str, function: &str) -> T
    where
        T: Lift + Send + Sync + 'static,
        (T,): ComponentNamedList + Lift,
    {
        const ADDED: &str = "the instrumentation added this getter";
        let (_, exports) = self.instance.get_export(&mut self.store, None, instance).expect(ADDED);
        let (_, index) = self.instance.get_export(&mut self.store, Some(&exports), function).expect(ADDED);
        let getter = self.instance.get_typed_func::<(), (T,)>(&mut self.store, index).expect(ADDED);
        getter.call_async(&mut self.store, ()).await.expect("a getter does not trap").0
    }
}

impl ComponentInstanceState for Running<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        let list: WasmList<u8> = self.get(instance, func).await;
        contents(list.as_le_slice(&self.store));
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.get(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.get(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.get::<f32>(instance, func).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.get::<f64>(instance, func).await.to_bits()
    }
}
