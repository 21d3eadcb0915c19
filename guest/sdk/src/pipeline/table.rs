//! Columns as a graph takes them.

use crate::manifest::{Dim, GraphFacts, GraphTensor};
use crate::table::{Cast, Missing, Stack, Table};
use crate::{Dtype, Elements, Failure, Tensor};

/// Finds a column for each of the graph's inputs: by name, or else all columns, in the signature's
/// order, side by side in its only input.
pub(super) fn bind(mut columns: Table, graph: &GraphFacts, order: &[String]) -> Result<Table, Failure> {
    let named = graph.inputs.iter().all(|input| columns.contains(&input.name));
    if let ([input], false) = (graph.inputs.as_slice(), named) {
        let whole = if columns.len() == 1 && is_whole(&columns, input) {
            let (_, tensor) = columns.into_columns().next().ok_or_else(|| Failure::model("no columns"))?;
            tensor
        } else {
            let rest = columns.iter().map(|(name, _)| name.to_owned()).filter(|name| !order.contains(name));
            let side_by_side: Vec<String> =
                order.iter().filter(|name| columns.contains(name)).cloned().chain(rest).collect();
            match dtype(input)? {
                Dtype::String => texts(&mut columns, &side_by_side)?,
                dtype => {
                    let name = input.name.clone();
                    Stack { columns: side_by_side, name, dtype, missing: Missing::Keep }
                        .apply(&mut columns)?;
                    columns.take(&input.name)?
                }
            }
        };
        return Table::from_columns([(input.name.clone(), fit(whole, input)?)]);
    }
    let mut inputs = Table::new();
    for input in &graph.inputs {
        inputs.insert(input.name.clone(), fit(columns.take(&input.name)?, input)?)?;
    }
    Ok(inputs)
}

/// Columns of strings side by side, `[N, F]`: of each instance one column's strings after the other's.
fn texts(columns: &mut Table, names: &[String]) -> Result<Tensor, Failure> {
    let rows = columns.rows();
    let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); rows];
    for name in names {
        let tensor = columns.take(name)?;
        let shown = tensor.to_string();
        let Elements::String(items) = tensor.into_elements() else {
            return Err(Failure::model(format!("column {name:?} doesn't fit beside strings"))
                .expected("string")
                .actual(shown));
        };
        let width = (items.len() / rows.max(1)).max(1);
        for (index, item) in items.into_iter().enumerate() {
            if let Some(row) = cells.get_mut(index / width) {
                row.push(item);
            }
        }
    }
    let features = cells.first().map_or(names.len(), Vec::len);
    Tensor::from_elements(&[rows, features], Elements::String(cells.into_iter().flatten().collect()))
}

/// Whether the only column is the input itself and not one of its features.
fn is_whole(columns: &Table, input: &GraphTensor) -> bool {
    columns.iter().all(|(_, tensor)| tensor.shape().len() == input.shape.len())
}

fn dtype(input: &GraphTensor) -> Result<Dtype, Failure> {
    Ok(match input.dtype.as_str() {
        "f16" => Dtype::F16,
        "f32" => Dtype::F32,
        "f64" => Dtype::F64,
        "i8" => Dtype::I8,
        "i16" => Dtype::I16,
        "i32" => Dtype::I32,
        "i64" => Dtype::I64,
        "u8" => Dtype::U8,
        "bool" => Dtype::Bool,
        "string" => Dtype::String,
        other => return Err(Failure::model(format!("graph input \"{}\" has dtype {other}", input.name))),
    })
}

/// Casts a column to the input's dtype and adds the axis of size 1 that a scalar column lacks.
fn fit(tensor: Tensor, input: &GraphTensor) -> Result<Tensor, Failure> {
    let wanted = dtype(input)?;
    let mut tensor = tensor;
    if tensor.dtype() != wanted {
        let mut table = Table::from_columns([(input.name.clone(), tensor)])?;
        Cast { columns: vec![input.name.clone()], dtype: wanted, missing: Missing::Keep }
            .apply(&mut table)?;
        tensor = table.take(&input.name)?;
    }
    if tensor.shape().len() + 1 == input.shape.len() && input.shape.last() == Some(&Dim::Fixed(1)) {
        let mut shape = tensor.shape().to_vec();
        shape.push(1);
        tensor = tensor.reshaped(&shape)?;
    }
    Ok(tensor)
}

/// Cuts a table into tables of at most `most` rows.
pub(super) fn split(table: &Table, most: usize) -> Result<Vec<Table>, Failure> {
    let rows = table.rows();
    (0..rows)
        .step_by(most.max(1))
        .map(|start| {
            let end = (start + most).min(rows);
            Table::from_columns(
                table
                    .iter()
                    .map(|(name, tensor)| Ok((name.to_owned(), rows_of(tensor, start, end)?)))
                    .collect::<Result<Vec<_>, Failure>>()?,
            )
        })
        .collect()
}

fn rows_of(tensor: &Tensor, start: usize, end: usize) -> Result<Tensor, Failure> {
    let row: usize = tensor.shape().iter().skip(1).product();
    let range = start * row..end * row;
    macro_rules! cut {
        ($($variant:ident),*) => {
            match tensor.elements() {
                $(Elements::$variant(items) => Elements::$variant(items[range].to_vec()),)*
            }
        };
    }
    let elements = cut!(Bool, U8, I8, I16, I32, I64, F16, F32, F64, String);
    let mut shape = tensor.shape().to_vec();
    if let Some(rows) = shape.first_mut() {
        *rows = end - start;
    }
    Tensor::from_elements(&shape, elements)
}

/// Puts tables of the same columns below one another.
pub(super) fn join(tables: Vec<Table>) -> Result<Table, Failure> {
    let mut tables = tables.into_iter();
    let Some(mut whole) = tables.next() else { return Ok(Table::new()) };
    let rest: Vec<Table> = tables.collect();
    if rest.is_empty() {
        return Ok(whole);
    }
    let names: Vec<String> = whole.iter().map(|(name, _)| name.to_owned()).collect();
    let mut joined = Table::new();
    for name in names {
        let mut shape = whole.get(&name)?.shape().to_vec();
        let mut elements = whole.take(&name)?.into_elements();
        for table in &rest {
            let next = table.get(&name)?;
            if next.shape().get(1..) != shape.get(1..) {
                return Err(Failure::model(format!(
                    "output \"{name}\" has another shape for another instance"
                ))
                .expected(format!("{shape:?} but for the first axis"))
                .actual(next.to_string()));
            }
            append(&name, &mut elements, next.elements())?;
            if let Some(rows) = shape.first_mut() {
                *rows += next.rows();
            }
        }
        joined.insert(name, Tensor::from_elements(&shape, elements)?)?;
    }
    Ok(joined)
}

fn append(name: &str, elements: &mut Elements, next: &Elements) -> Result<(), Failure> {
    macro_rules! extend {
        ($($variant:ident),*) => {
            match (elements, next) {
                $((Elements::$variant(items), Elements::$variant(next)) => items.extend_from_slice(next),)*
                (items, next) => {
                    return Err(Failure::model(format!("output \"{name}\" changes its dtype"))
                        .expected(items.dtype().name())
                        .actual(next.dtype().name()));
                }
            }
        };
    }
    extend!(Bool, U8, I8, I16, I32, I64, F16, F32, F64, String);
    Ok(())
}
