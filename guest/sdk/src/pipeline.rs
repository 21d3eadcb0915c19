//! [`Pipeline`]: what the manifest says happens before and after the graph.
//!
//! The order is fixed: a table goes through its `table` steps; a picture is decoded, goes through
//! its `image` steps, becomes a tensor and, with `tile`, tiles. Then comes the graph, `per-tile`
//! steps on what it gave, the tiles' re-assembly, the `results` steps, and for a picture the
//! drawing of a `mask`.

mod image;
mod mask;
mod table;

use serde::Deserialize;

pub use image::{Frame, ImageSteps};
pub use mask::{Mask, MaskForm};

use crate::image::Grid;
use crate::manifest::GraphFacts;
use crate::table::Table;
use crate::{Batch, Dtype, Elements, Failure, Manifest, Tensor, results};

/// Whether pipelines read and draw pictures: known when the crate is built, so that the code goes with it.
const PICTURES: bool = cfg!(feature = "pictures");

/// The manifest's `pipeline`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Steps on the columns, in order.
    #[serde(default)]
    pub table: Vec<crate::table::Step>,
    /// What turns a picture into a tensor.
    #[serde(default)]
    pub image: Option<ImageSteps>,
    /// The most instances or tiles of one compute; without it, a table is computed at once and
    /// pictures one by one.
    #[serde(default)]
    pub batch: Option<usize>,
    /// Steps on what the graph gave, before tiles are put together.
    #[serde(default)]
    pub per_tile: Vec<results::Step>,
    /// Steps on the graph's outputs, in order.
    #[serde(default)]
    pub results: Vec<results::Step>,
    /// For a picture whose prediction is a picture.
    #[serde(default)]
    pub mask: Option<Mask>,
}

/// The pipeline of one ampoule, checked.
#[derive(Clone, Debug)]
pub struct Pipeline {
    settings: Settings,
    graph: Option<GraphFacts>,
    inputs: Vec<String>,
    outputs: Vec<(String, Option<Dtype>, usize)>,
}

impl Pipeline {
    /// Reads and checks the manifest's pipeline; a manifest without one has an empty one.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure that names the step and what is wrong with it.
    pub fn of(manifest: &Manifest) -> Result<Self, Failure> {
        let settings = match &manifest.pipeline {
            None => Settings::default(),
            Some(value) => {
                Settings::deserialize(value).map_err(|cause| Failure::model(format!("pipeline: {cause}")))?
            }
        };
        let within = |place: &str, index: usize, failure: Failure| Failure {
            message: format!("pipeline.{place}[{index}]: {}", failure.message),
            ..failure
        };
        for (index, step) in settings.table.iter().enumerate() {
            step.check().map_err(|failure| within("table", index, failure))?;
        }
        for (place, steps) in [("per-tile", &settings.per_tile), ("results", &settings.results)] {
            for (index, step) in steps.iter().enumerate() {
                step.check().map_err(|failure| within(place, index, failure))?;
            }
        }
        if settings.batch == Some(0) {
            return Err(Failure::model("pipeline.batch is too small").expected("at least 1").actual("0"));
        }
        if let Some(image) = &settings.image {
            image.check()?;
        }
        let output = |field: &crate::manifest::Field| (field.name.clone(), field.dtype, field.shape.len());
        Ok(Self {
            settings,
            graph: manifest.graphs.first().cloned(),
            inputs: manifest.inputs.iter().map(|field| field.name.clone()).collect(),
            outputs: manifest.outputs.iter().map(output).collect(),
        })
    }

    /// Turns instances into the inputs of one compute or of several.
    ///
    /// # Errors
    /// A [`Fault::Caller`](crate::Fault::Caller) failure that names the instance at fault.
    pub fn preprocess(&self, instances: Batch, frames: &mut Vec<Frame>) -> Result<Vec<Table>, Failure> {
        match instances {
            Batch::Columns(mut columns) => {
                for step in &self.settings.table {
                    step.apply(&mut columns)?;
                }
                let inputs = table::bind(columns, self.graph()?, &self.inputs)?;
                match self.settings.batch {
                    Some(most) if inputs.rows() > most => table::split(&inputs, most),
                    _ => Ok(vec![inputs]),
                }
            }
            Batch::Media(items) if PICTURES => {
                let steps = self.settings.image.clone().unwrap_or_default();
                let name = &self.graph()?.inputs.first().ok_or_else(|| no_inputs(self))?.name;
                let mut computes = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let frame = steps.open(&item.bytes, self.settings.batch, &mut |tensor| {
                        computes.push(Table::from_columns([(name.clone(), tensor)])?);
                        Ok(())
                    });
                    frames.push(frame.map_err(|failure| failure.at(index))?);
                }
                Ok(computes)
            }
            Batch::Media(_) => Err(Failure::model("this predictor was built without the code for pictures")),
            Batch::Json(_) => {
                Err(Failure::model("a model without code takes tables and pictures, not any JSON"))
            }
        }
    }

    /// Turns what each compute gave into one prediction for each instance.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the outputs are not what the pipeline expects.
    pub fn postprocess(&self, outputs: Vec<Table>, frames: &[Frame]) -> Result<Batch, Failure> {
        if frames.is_empty() || !PICTURES {
            let mut table = table::join(outputs)?;
            for step in self.settings.per_tile.iter().chain(&self.settings.results) {
                step.apply(&mut table)?;
            }
            return Ok(Batch::Columns(self.choose(table)?));
        }
        let mut outputs = outputs.into_iter();
        let mut tables = Vec::new();
        let mut masks = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            let mut computes: Vec<Table> = outputs.by_ref().take(frame.computes).collect();
            if computes.len() != frame.computes {
                return Err(Failure::model("a compute gave nothing").at(index));
            }
            for table in &mut computes {
                for step in &self.settings.per_tile {
                    step.apply(table)?;
                }
            }
            let mut table = match &frame.grid {
                Some(grid) => blend(grid, computes)?,
                None => table::join(computes)?,
            };
            for step in &self.settings.results {
                step.apply(&mut table)?;
            }
            match &self.settings.mask {
                Some(mask) => masks.push(mask.draw(&table, frame).map_err(|failure| failure.at(index))?),
                None => tables.push(table),
            }
        }
        if self.settings.mask.is_some() {
            return Ok(Batch::Media(masks));
        }
        Ok(Batch::Columns(self.choose(table::join(tables)?)?))
    }

    fn graph(&self) -> Result<&GraphFacts, Failure> {
        self.graph.as_ref().ok_or_else(|| Failure::model("no graph is sealed in this ampoule"))
    }

    /// The columns that the signature names, in its order; all of them where it names none.
    fn choose(&self, mut table: Table) -> Result<Table, Failure> {
        if self.outputs.is_empty() {
            return Ok(table);
        }
        let mut chosen = Table::new();
        for (name, dtype, rank) in &self.outputs {
            let tensor = truths(table.take(name)?, *dtype)?;
            if let Some(dtype) = dtype.filter(|&dtype| dtype != tensor.dtype()) {
                return Err(Failure::model(format!(
                    "output \"{name}\" has another dtype than the signature says"
                ))
                .expected(dtype.name())
                .actual(tensor.to_string()));
            }
            chosen.insert(name.clone(), squeeze(tensor, *rank)?)?;
        }
        Ok(chosen)
    }
}

/// `wasi:nn` hands truths over as bytes; where the signature says bool, they are truths again.
fn truths(tensor: Tensor, dtype: Option<Dtype>) -> Result<Tensor, Failure> {
    match (dtype, tensor.elements()) {
        (Some(Dtype::Bool), Elements::U8(items)) => {
            Tensor::new(tensor.shape(), items.iter().map(|&item| item != 0).collect())
        }
        _ => Ok(tensor),
    }
}

/// Drops the last axes of size 1 that the signature doesn't have: a graph's `[N, 1]` is a scalar each.
fn squeeze(tensor: Tensor, rank: usize) -> Result<Tensor, Failure> {
    let mut shape = tensor.shape().to_vec();
    while shape.len() > rank + 1 && shape.last() == Some(&1) {
        shape.pop();
    }
    if shape.len() == tensor.shape().len() { Ok(tensor) } else { tensor.reshaped(&shape) }
}

fn no_inputs(pipeline: &Pipeline) -> Failure {
    let name = pipeline.graph.as_ref().map_or("", |graph| graph.name.as_str());
    Failure::model(format!("graph \"{name}\" has no inputs"))
}

/// Puts tiles together, output by output.
fn blend(grid: &Grid, computes: Vec<Table>) -> Result<Table, Failure> {
    let names: Vec<String> = computes
        .first()
        .map(|table| table.iter().map(|(name, _)| name.to_owned()).collect())
        .unwrap_or_default();
    let mut whole = Table::new();
    for name in names {
        let channels =
            computes.first().and_then(|table| table.get(&name).ok()?.shape().get(1).copied()).unwrap_or(0);
        let mut blender = crate::image::Blender::new(grid, channels)?;
        for table in &computes {
            blender.add(table.get(&name)?)?;
        }
        let picture = blender.finish()?;
        let mut shape = picture.shape().to_vec();
        if shape.len() == 3 {
            shape.insert(0, 1);
        }
        whole.insert(name, picture.reshaped(&shape)?)?;
    }
    Ok(whole)
}
