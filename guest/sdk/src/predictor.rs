//! [`Predictor`]: what a model's own code looks like, and how a call runs through it.

use std::sync::OnceLock;

use crate::bindings::ampoule::model::types as wit;
use crate::pipeline::{Frame, Pipeline};
use crate::table::Table;
use crate::{Batch, Failure, Graph, Manifest};

/// The code of a model: what happens before and after its graph.
///
/// Every step has a default, which is what the manifest's `pipeline` says. A predictor replaces the
/// steps that it knows better and leaves the others; [`export!`](crate::export) puts it into the
/// sandbox.
///
/// `load` runs once, when the ampoule is sealed: a snapshot of the memory it leaves is what every
/// call starts from. The other three run for every call, in this order.
pub trait Predictor: Sized + Send + Sync + 'static {
    /// Prepares the predictor from its manifest. No files, environment, random numbers or graphs are there.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the manifest asks for what the predictor can't do.
    fn load(manifest: &Manifest) -> Result<Self, Failure>;

    /// Turns instances into the tensors of one compute or of several. What the last step needs to
    /// know of them goes into [`Call::frames`].
    ///
    /// # Errors
    /// A [`Fault::Caller`](crate::Fault::Caller) failure that names the instance at fault.
    fn preprocess(&self, call: &mut Call<'_>, instances: Batch) -> Result<Vec<Table>, Failure> {
        call.pipeline.preprocess(instances, &mut call.frames)
    }

    /// Runs the graph.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the graph doesn't take these tensors.
    fn predict(&self, call: &mut Call<'_>, inputs: Vec<Table>) -> Result<Vec<Table>, Failure> {
        let graph = Graph::open(&call.manifest.graph()?.name)?;
        inputs.iter().map(|inputs| graph.run(inputs)).collect()
    }

    /// Turns what the graph gave for each compute into one prediction for each instance.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the outputs are not what was expected.
    fn postprocess(&self, call: &mut Call<'_>, outputs: Vec<Table>) -> Result<Batch, Failure> {
        call.pipeline.postprocess(outputs, &call.frames)
    }
}

/// One call: what its steps share.
pub struct Call<'a> {
    pub manifest: &'a Manifest,
    /// The manifest's pipeline, which the default steps follow.
    pub pipeline: &'a Pipeline,
    /// What was sent beside the instances: a JSON object, or null.
    pub parameters: serde_json::Value,
    /// For pictures: how each instance was cut, so that its prediction can be put together.
    pub frames: Vec<Frame>,
}

/// A predictor and what it was loaded from; [`export!`](crate::export) keeps one.
#[doc(hidden)]
pub struct Loaded<P>(OnceLock<(Manifest, Pipeline, P)>);

impl<P: Predictor> Loaded<P> {
    #[expect(clippy::new_without_default, reason = "it only ever stands in a static")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub fn load(&self, manifest: &str) -> Result<(), wit::Failure> {
        let load = || {
            let manifest = Manifest::from_json(manifest)?;
            let pipeline = Pipeline::of(&manifest)?;
            let predictor = P::load(&manifest)?;
            Ok((manifest, pipeline, predictor))
        };
        let loaded = load().map_err(Failure::into_wit)?;
        self.0.set(loaded).map_err(|_| Failure::model("the predictor is loaded already").into_wit())
    }

    pub fn predict(
        &self,
        instances: wit::Batch,
        parameters: Option<String>,
    ) -> Result<wit::Batch, wit::Failure> {
        self.call(instances, parameters).map_err(Failure::into_wit)
    }

    fn call(&self, instances: wit::Batch, parameters: Option<String>) -> Result<wit::Batch, Failure> {
        let (manifest, pipeline, predictor) =
            self.0.get().ok_or_else(|| Failure::model("the predictor is not loaded"))?;
        let parameters = match parameters {
            Some(text) => serde_json::from_str(&text)
                .map_err(|cause| Failure::caller(format!("the parameters are no JSON: {cause}")))?,
            None => serde_json::Value::Null,
        };
        let mut call = Call { manifest, pipeline, parameters, frames: Vec::new() };
        let inputs = predictor.preprocess(&mut call, Batch::from_wit(instances)?)?;
        let outputs = predictor.predict(&mut call, inputs)?;
        predictor.postprocess(&mut call, outputs)?.into_wit()
    }
}

/// Exports a [`Predictor`] from the component that the crate is built into.
///
/// ```
/// use ampoule_guest::{Failure, Manifest, Predictor};
///
/// struct Plain;
///
/// impl Predictor for Plain {
///     fn load(_: &Manifest) -> Result<Self, Failure> {
///         Ok(Self)
///     }
/// }
///
/// ampoule_guest::export!(Plain);
/// ```
#[macro_export]
macro_rules! export {
    ($predictor:ty) => {
        const _: () = {
            struct Component;

            static LOADED: $crate::Loaded<$predictor> = $crate::Loaded::new();

            impl $crate::bindings::exports::ampoule::model::predictor::Guest for Component {
                fn load(
                    manifest: ::std::string::String,
                ) -> ::std::result::Result<(), $crate::bindings::exports::ampoule::model::predictor::Failure>
                {
                    LOADED.load(&manifest)
                }

                fn predict(
                    instances: $crate::bindings::exports::ampoule::model::predictor::Batch,
                    parameters: ::std::option::Option<::std::string::String>,
                ) -> ::std::result::Result<
                    $crate::bindings::exports::ampoule::model::predictor::Batch,
                    $crate::bindings::exports::ampoule::model::predictor::Failure,
                > {
                    LOADED.predict(instances, parameters)
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}
