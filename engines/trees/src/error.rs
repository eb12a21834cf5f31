//! What a model file may hold at most, and why one is refused. Plain values; no I/O.

/// What a model may hold at most. Counts that a file states are checked against these before anything of their size is made, so
/// a hostile file costs no more memory than a small multiple of its own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Trees, after a tree of several outputs was taken apart into one for each.
    pub trees: usize,
    /// Nodes of all trees together, leaves included.
    pub nodes: usize,
    /// Splits on the longest way from a root to a leaf.
    pub depth: usize,
    /// Features of a row.
    pub features: usize,
    /// Outputs (classes, targets) of a row.
    pub outputs: usize,
}

impl Default for Limits {
    /// Far above what serves in milliseconds: 64 MiB, 20,000 trees, 4 million nodes, 128 deep, 16,384 features, 1,024 outputs.
    fn default() -> Self {
        Self { bytes: 64 << 20, trees: 20_000, nodes: 4_000_000, depth: 128, features: 16_384, outputs: 1_024 }
    }
}

/// Why a model was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It holds more than [`Limits`] allow.
    #[error("failed to load the model: it has {given} {what}, need at most {limit}; train a smaller one or raise the limit")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much the file says.
        given: usize,
        /// How much is allowed.
        limit: usize,
    },
    /// It is a model of its library, of a kind that is not evaluated here.
    #[error("failed to load the model: {what} is not supported; train without it")]
    Unsupported {
        /// The kind, by the name that its library uses.
        what: String,
    },
    /// It is an ONNX graph that is more or other than one tree ensemble, for an ONNX runtime to evaluate.
    #[error(
        "failed to load the model as trees: its graph is {operators}, need a single TreeEnsemble; serve it with an ONNX runtime"
    )]
    NotATree {
        /// The operators of the graph, the first few.
        operators: String,
    },
    /// The bytes are no model of the format, cut off, or contradict themselves.
    #[error("failed to load the model: {place}: {reason}; save it again")]
    Malformed {
        /// Field or place in the file.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl LoadError {
    pub(crate) fn malformed(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { place: place.into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        let mut what = what.into();
        what.truncate(what.floor_char_boundary(LONGEST_NAME));
        Self::Unsupported { what }
    }
}

/// Names out of a file are cut to this many bytes before they are said again.
const LONGEST_NAME: usize = 120;

/// Refuses what is above its bound.
pub(crate) fn within(what: &'static str, given: usize, limit: usize) -> Result<(), LoadError> {
    if given > limit { Err(LoadError::TooLarge { what, given, limit }) } else { Ok(()) }
}

/// Why rows were not evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The values are not whole rows.
    #[error("failed to evaluate the rows: {given} values, need a multiple of {features}")]
    Features {
        /// Values given.
        given: usize,
        /// Features of a row.
        features: usize,
    },
    /// The place for the results has another size than they.
    #[error("failed to evaluate the rows: room for {given} results, need {need}")]
    Room {
        /// Room given.
        given: usize,
        /// Results that there will be.
        need: usize,
    },
}

impl RowError {
    /// Whether so many values are rows, and there is room for `width` results of each.
    pub(crate) fn check(values: usize, features: usize, room: usize, width: usize) -> Result<(), Self> {
        if !values.is_multiple_of(features) {
            return Err(Self::Features { given: values, features });
        }
        let need = values / features * width;
        if room == need { Ok(()) } else { Err(Self::Room { given: room, need }) }
    }
}
