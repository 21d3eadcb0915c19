//! CDist (`com.microsoft` 1), which skl2onnx writes for nearest neighbours: `[N, F]` and `[M, F]` give `[N, M]`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Kernel, built, elements, tensor};

pub(super) fn cdist(_: &ParsingContext, node: &NodeProto) -> Built {
    let squared = match node.get_attr_opt("metric")?.unwrap_or("sqeuclidean") {
        "sqeuclidean" => true,
        "euclidean" => false,
        other => bail!("metric: expected euclidean or sqeuclidean, got {other:?}"),
    };
    built(node, Distances { squared })
}

#[derive(Debug)]
struct Distances {
    squared: bool,
}

impl Kernel for Distances {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [a, b] = inputs else { bail!("expected 2 inputs, got {}", inputs.len()) };
        let datum = a.datum_type;
        ensure!(
            datum == b.datum_type && [DatumType::F32, DatumType::F64].contains(&datum),
            "expected two of f32 or of f64, got {datum:?} and {:?}",
            b.datum_type
        );
        ensure!(
            (a.rank(), b.rank()) == (2, 2),
            "expected two of rank 2, got {:?} and {:?}",
            a.shape,
            b.shape
        );
        Ok(tvec!(datum.fact([a.shape[0].clone(), b.shape[0].clone()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (a, b) = (inputs[0].cast_to::<f64>()?, inputs[1].cast_to::<f64>()?);
        let (&[n, width], &[m, other]) = (a.shape(), b.shape()) else { bail!("expected two of rank 2") };
        ensure!(width == other, "expected {width} features in both, got {other}");
        let mut distances = Vec::with_capacity(n.checked_mul(m).context("too many rows")?);
        for row in 0..n {
            let x = &elements::<f64>(&a)?[row * width..(row + 1) * width];
            for column in 0..m {
                let y = &elements::<f64>(&b)?[column * width..(column + 1) * width];
                let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
                distances.push(if self.squared { sum } else { sum.sqrt() });
            }
        }
        let distances = tensor(&[n, m], distances)?;
        Ok(tvec!(distances.cast_to_dt(inputs[0].datum_type())?.into_owned()))
    }
}
