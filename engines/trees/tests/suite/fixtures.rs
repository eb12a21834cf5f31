//! The models in `fixtures/`, and what the libraries that made them said of rows. Reads those files.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use showrunner_trees::{Format, Limits, Model};

/// A model's file and its case.
pub struct Fixture {
    pub name: String,
    pub bytes: Vec<u8>,
    pub format: Format,
    tables: HashMap<String, Table>,
    notes: HashMap<String, String>,
}

/// Rows of numbers.
pub struct Table {
    pub columns: usize,
    pub values: Vec<f64>,
}

impl Fixture {
    pub fn model(&self) -> Model {
        Model::read(&self.bytes, self.format, &Limits::default()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub fn table(&self, name: &str) -> &Table {
        self.tables.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes.get(name).map(String::as_str)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn format(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "json" => Some(Format::XgboostJson),
        "ubj" => Some(Format::XgboostUbjson),
        "txt" => Some(Format::LightgbmText),
        "onnx" => Some(Format::Onnx),
        _ => None,
    }
}

/// Names and formats of all model files, in order.
fn files() -> Vec<(PathBuf, Format)> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            format(&path).map(|format| (path, format))
        })
        .collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
}

fn is_refused(path: &Path) -> bool {
    path.file_stem().unwrap().to_str().unwrap().contains("-refused_")
}

/// All fixtures whose name has `part` in it; at least one.
pub fn all(part: &str) -> Vec<Fixture> {
    let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().contains(part);
    let found: Vec<Fixture> = files().into_iter().filter(|(path, _)| named(path) && !is_refused(path)).map(read).collect();
    assert!(!found.is_empty(), "no fixture is named {part}");
    found
}

/// Files that are to be refused.
pub fn refused() -> Vec<(String, Vec<u8>, Format)> {
    let refused = files().into_iter().filter(|(path, _)| is_refused(path));
    refused
        .map(|(path, format)| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap(), format))
        .collect()
}

fn read((path, format): (PathBuf, Format)) -> Fixture {
    let case = fs::read_to_string(path.with_extension("case")).unwrap();
    let (mut tables, mut notes) = (HashMap::new(), HashMap::new());
    let mut lines = case.lines().skip(1);
    while let Some(line) = lines.next() {
        if let Some((name, note)) = line.split_once(" = ") {
            notes.insert(name.to_owned(), note.to_owned());
            continue;
        }
        let [name, rows, columns] = *line.split(' ').collect::<Vec<_>>() else { panic!("not a table: {line}") };
        let values: Vec<f64> = lines
            .by_ref()
            .take(rows.parse().unwrap())
            .flat_map(|line| line.split(' ').map(|value| value.parse().unwrap()))
            .collect();
        let columns = columns.parse().unwrap();
        assert_eq!(values.len(), rows.parse::<usize>().unwrap() * columns);
        tables.insert(name.to_owned(), Table { columns, values });
    }
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    Fixture { name, bytes: fs::read(&path).unwrap(), format, tables, notes }
}
