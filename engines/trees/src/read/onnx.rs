//! Reads ONNX models whose graph is a single tree ensemble (onnx.proto3, IR versions 3 to 13). Pure; no I/O.

use std::collections::HashMap;

use super::protobuf::{Wire, fields};
use super::{Draft, Limits, LoadError, onnx_nodes, within};

/// The only node of the graph.
pub(super) struct Operator<'a> {
    attributes: HashMap<&'a str, Attribute<'a>>,
    /// Whether rows are compared as double floats.
    pub(super) doubles: bool,
    /// Features of a row, when the graph says.
    pub(super) features: Option<usize>,
}

/// What an attribute holds: of its kinds, those that tree ensembles have.
#[derive(Default)]
struct Attribute<'a> {
    integer: i64,
    text: &'a [u8],
    integers: Vec<i64>,
    /// Of the list of floats, or of the tensor.
    numbers: Vec<f64>,
    texts: Vec<&'a [u8]>,
}

pub(super) fn draft(bytes: &[u8], limits: &Limits) -> Result<Draft, LoadError> {
    let mut graph = None;
    for field in fields(bytes) {
        if let (7, wire) = field? {
            graph = Some(wire.bytes()?);
        }
    }
    let graph = graph.ok_or_else(|| LoadError::malformed("onnx", "no graph"))?;

    let (mut nodes, mut input) = (Vec::new(), None);
    for field in fields(graph) {
        match field? {
            (1, node) => nodes.push(node.bytes()?),
            (11, told) if input.is_none() => input = Some(told.bytes()?),
            _ => {}
        }
    }
    let &[node] = nodes.as_slice() else { return Err(LoadError::NotATree { operators: operators(&nodes)? }) };
    let (doubles, features) = input.map_or(Ok((false, None)), shape)?;
    within("features", features.unwrap_or(0), limits.features)?;

    let (mut kind, mut attributes) = ("", HashMap::new());
    for field in fields(node) {
        match field? {
            (4, told) => kind = told.text()?,
            (5, told) => {
                let (name, attribute) = Attribute::read(told.bytes()?)?;
                attributes.insert(name, attribute);
            }
            _ => {}
        }
    }
    let operator = Operator { attributes, doubles, features };
    match kind {
        "TreeEnsembleClassifier" => onnx_nodes::classifier(&operator, limits),
        "TreeEnsembleRegressor" => onnx_nodes::regressor(&operator, limits),
        "TreeEnsemble" => onnx_nodes::ensemble(&operator, limits),
        _ => Err(LoadError::NotATree { operators: operators(&nodes)? }),
    }
}

/// The first few operators of a graph, for a message.
fn operators(nodes: &[&[u8]]) -> Result<String, LoadError> {
    let mut names = Vec::new();
    for node in nodes.iter().take(4) {
        for field in fields(node) {
            if let (4, told) = field? {
                let name = told.text()?;
                names.push(&name[..name.floor_char_boundary(40)]);
            }
        }
    }
    let more = if nodes.len() > names.len() { ", ..." } else { "" };
    Ok(if nodes.is_empty() { "empty".to_owned() } else { names.join(", ") + more })
}

/// Whether the input holds doubles, and how long its rows are: `ValueInfoProto`, `TypeProto`, `TensorShapeProto`.
fn shape(input: &[u8]) -> Result<(bool, Option<usize>), LoadError> {
    const DOUBLE: i64 = 11;
    let (mut doubles, mut dimensions) = (false, Vec::new());
    for of_input in fields(input) {
        let (2, kind) = of_input? else { continue };
        for of_kind in fields(kind.bytes()?) {
            let (1, tensor) = of_kind? else { continue };
            for of_tensor in fields(tensor.bytes()?) {
                match of_tensor? {
                    (1, element) => doubles = element.integer()? == DOUBLE,
                    (2, shape) => dimensions.extend(fields(shape.bytes()?).filter_map(Result::ok)),
                    _ => {}
                }
            }
        }
    }
    let Some((1, last)) = dimensions.pop() else { return Ok((doubles, None)) };
    for of_dimension in fields(last.bytes()?) {
        if let (1, Wire::Varint(size)) = of_dimension? {
            return Ok((doubles, usize::try_from(size).ok().filter(|size| *size > 0)));
        }
    }
    Ok((doubles, None))
}

impl<'a> Attribute<'a> {
    fn read(bytes: &'a [u8]) -> Result<(&'a str, Self), LoadError> {
        let (mut name, mut attribute) = ("", Self::default());
        for field in fields(bytes) {
            match field? {
                (1, told) => name = told.text()?,
                (3, told) => attribute.integer = told.integer()?,
                (4, told) => attribute.text = told.bytes()?,
                (5, told) => attribute.numbers = tensor(told.bytes()?)?,
                (7, told) => told.floats_to(&mut attribute.numbers)?,
                (8, told) => told.integers_to(&mut attribute.integers)?,
                (9, told) => attribute.texts.push(told.bytes()?),
                _ => {}
            }
        }
        Ok((name, attribute))
    }
}

/// The numbers of a tensor of floats, doubles or bytes, in whichever field they are.
fn tensor(bytes: &[u8]) -> Result<Vec<f64>, LoadError> {
    let (mut kind, mut raw, mut integers, mut numbers) = (0, None, Vec::new(), Vec::new());
    for field in fields(bytes) {
        match field? {
            (2, told) => kind = told.integer()?,
            (4, told) => told.floats_to(&mut numbers)?,
            (5, told) => told.integers_to(&mut integers)?,
            (9, told) => raw = Some(told.bytes()?),
            (10, told) => told.doubles_to(&mut numbers)?,
            _ => {}
        }
    }
    numbers.extend(integers.into_iter().map(|whole| whole as f64));
    match (kind, raw) {
        (_, None) => {}
        (1, Some(raw)) => Wire::Bytes(raw).floats_to(&mut numbers)?,
        (2, Some(raw)) => numbers.extend(raw.iter().map(|byte| f64::from(*byte))),
        (11, Some(raw)) => Wire::Bytes(raw).doubles_to(&mut numbers)?,
        _ => return Err(LoadError::unsupported(format!("a tensor of type {kind} in a tree ensemble"))),
    }
    Ok(numbers)
}

impl<'a> Operator<'a> {
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.attributes.get(name).map(|attribute| attribute.integer)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.attributes.get(name).and_then(|attribute| str::from_utf8(attribute.text).ok())
    }

    /// None when it is not there.
    pub(super) fn integers(&self, name: &str) -> &[i64] {
        self.attributes.get(name).map_or(&[], |attribute| &attribute.integers)
    }

    /// Floats, or doubles of the tensor that may be there in their place; none when neither is.
    pub(super) fn numbers(&self, name: &str, as_tensor: &str) -> &[f64] {
        let found = self.attributes.get(name).or_else(|| self.attributes.get(as_tensor));
        found.map_or(&[], |attribute| &attribute.numbers)
    }

    pub(super) fn texts(&self, name: &str) -> &[&'a [u8]] {
        self.attributes.get(name).map_or(&[], |attribute| &attribute.texts)
    }
}
