//! [`Labels`]: the names of a classifier's classes.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// In the order of the scores.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// From `classlabels_strings` or the attribute called `ints`, of which one must be there.
    pub(super) fn read(node: &NodeProto, ints: &str) -> TractResult<Self> {
        let numbers: Option<Vec<i64>> = node.get_attr_opt_vec(ints)?;
        let strings: Option<Vec<String>> = node.get_attr_opt_vec("classlabels_strings")?;
        match (numbers.filter(|l| !l.is_empty()), strings.filter(|l| !l.is_empty())) {
            (Some(labels), None) => Ok(Self::Ints(labels)),
            (None, Some(labels)) => Ok(Self::Strings(labels)),
            _ => bail!("expected either {ints} or classlabels_strings"),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    pub(super) fn datum(&self) -> DatumType {
        match self {
            Self::Ints(_) => DatumType::I64,
            Self::Strings(_) => DatumType::String,
        }
    }

    /// `[N]`, for positions of classes.
    pub(super) fn pick(&self, classes: &[usize]) -> Tensor {
        match self {
            Self::Ints(labels) => tensor1(&classes.iter().map(|c| labels[*c]).collect::<Vec<_>>()),
            Self::Strings(labels) => tensor1(&classes.iter().map(|c| labels[*c].clone()).collect::<Vec<_>>()),
        }
    }
}
