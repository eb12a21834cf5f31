//! Files that are spoilt, contradict themselves or ask for too much: an error, never a panic, and never more memory than they are worth.

use showrunner_trees::{Explainer, Format, Limits, LoadError, Model, Scratch, TABLE_BYTES};

use crate::fixtures::{all, refused};

fn read(text: &str, format: Format) -> Result<Model, LoadError> {
    Model::read(text.as_bytes(), format, &Limits::default())
}

/// A fixture's text, with something in it replaced; it must be there.
fn spoilt(name: &str, from: &str, to: &str) -> Result<Model, LoadError> {
    let fixture = all(name).remove(0);
    let text = String::from_utf8(fixture.bytes).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    read(&text.replacen(from, to, 1), fixture.format)
}

fn reason(result: Result<Model, LoadError>) -> String {
    result.expect_err("a spoilt file is refused").to_string()
}

#[test]
fn kinds_that_are_not_evaluated_are_refused_by_name() {
    let refused = refused();
    assert!(refused.len() >= 7);
    for (name, bytes, format) in refused {
        let error = Model::read(&bytes, format, &Limits::default()).err().unwrap();
        let expected = match name.split_once("refused_").unwrap().1 {
            "gblinear" => "the booster gblinear",
            "vectors" => "multi_output_tree",
            "linear" => "linear_tree",
            _ => "need a single TreeEnsemble",
        };
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert_eq!(matches!(error, LoadError::NotATree { .. }), name.contains("other"), "{name}");
    }
    assert!(reason(spoilt("xgboost-3.4.1-logitraw.json", "binary:logitraw", "custom:mine")).contains("custom:mine"));
    assert!(reason(spoilt("lightgbm-4.6.0-binary", "objective=binary", "objective=mine")).contains("mine"));
    assert!(reason(spoilt("lightgbm-4.6.0-binary", "version=v4", "version=v9")).contains("v9"));
}

#[test]
fn what_is_above_a_limit_is_refused_and_says_so() {
    for fixture in all("xgboost-3.4.1-softprob").into_iter().chain(all("lightgbm-4.6.0-multiclass")).chain(all("forest_classes"))
    {
        let most = Limits::default();
        let less = [
            ("bytes", Limits { bytes: fixture.bytes.len() - 1, ..most }),
            ("trees", Limits { trees: 3, ..most }),
            ("nodes", Limits { nodes: 20, ..most }),
            ("splits", Limits { depth: 1, ..most }),
            ("features", Limits { features: 5, ..most }),
            ("outputs", Limits { outputs: 2, ..most }),
        ];
        for (what, limits) in less {
            match Model::read(&fixture.bytes, fixture.format, &limits) {
                Err(LoadError::TooLarge { what: told, .. }) => assert!(told.starts_with(what), "{}: {told}", fixture.name),
                other => panic!("{}, fewer {what}: {other:?}", fixture.name),
            }
        }
    }
}

#[test]
fn counts_that_are_not_there_allocate_nothing() {
    let huge = "999999999999999";
    // Trees say it too; the learner's own count is the last.
    let text = String::from_utf8(all("xgboost-3.4.1-squared.json").remove(0).bytes).unwrap();
    let (before, after) = text.rsplit_once("\"num_feature\":\"6\"").unwrap();
    let changed = format!("{before}\"num_feature\":\"{huge}\"{after}");
    assert!(matches!(read(&changed, Format::XgboostJson), Err(LoadError::TooLarge { .. })));
    let name = "lightgbm-4.6.0-regression";
    assert!(matches!(spoilt(name, "max_feature_idx=5", &format!("max_feature_idx={huge}")), Err(LoadError::TooLarge { .. })));
    assert!(reason(spoilt(name, "num_leaves=15", &format!("num_leaves={huge}"))).contains("leaf_value"));
    assert!(reason(spoilt(name, "num_cat=0", &format!("num_cat={huge}"))).contains("num_cat"));
    // UBJSON: a list that says it has 2^62 numbers, and one of as many lists.
    for list in [b"[$d#L\x40\0\0\0\0\0\0\0".as_slice(), b"[#L\x40\0\0\0\0\0\0\0".as_slice()] {
        assert!(matches!(Model::read(list, Format::XgboostUbjson, &Limits::default()), Err(LoadError::Malformed { .. })));
    }
}

#[test]
fn trees_that_go_round_or_lead_nowhere_are_refused() {
    let name = "xgboost-3.4.1-squared.json";
    assert!(reason(spoilt(name, "\"left_children\":[1,", "\"left_children\":[0,")).contains("children"));
    assert!(reason(spoilt(name, "\"left_children\":[1,", "\"left_children\":[77777,")).contains("does not exist"));
    assert!(reason(spoilt(name, "\"left_children\":[1,", "\"left_children\":[-7,")).contains("below zero"));
    assert!(reason(spoilt(name, "\"split_indices\":[", "\"split_indices\":[9")).contains("feature"));
    assert!(reason(spoilt(name, "\"split_conditions\":[", "\"split_conditions\":[NaN,")).contains("not of one length"));
    let name = "lightgbm-4.6.0-regression";
    assert!(reason(spoilt(name, "left_child=", "left_child=0 ")).contains("left_child"));
    assert!(reason(spoilt(name, "threshold=", "threshold=nan ")).contains("threshold"));
    assert!(reason(spoilt(name, "end of trees", "end of")).contains("cut off"));
}

#[test]
fn numbers_that_are_none_are_refused() {
    let number = |field: &str| {
        let text = String::from_utf8(all("xgboost-3.4.1-squared.json").remove(0).bytes).unwrap();
        let at = text.find(field).unwrap() + field.len();
        let end = at + text[at..].find([',', ']']).unwrap();
        read(&(text[..at].to_owned() + "NaN" + &text[end..]), Format::XgboostJson)
    };
    assert!(reason(number("\"split_conditions\":[")).contains("threshold: not a number"));
    assert!(reason(number("\"left_children\":[")).contains("left_children"));
    assert!(reason(number("\"base_score\":\"[")).contains("base_score"));
}

#[test]
fn deep_nesting_ends_at_a_stated_depth() {
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(reason(read(&text, Format::XgboostJson)).contains("nested too deep"));
    }
    let marked = b"[".repeat(100_000);
    assert!(reason(Model::read(&marked, Format::XgboostUbjson, &Limits::default())).contains("nested too deep"));
}

#[test]
fn every_cut_of_a_file_is_refused() {
    for fixture in all("") {
        let step = fixture.bytes.len() / 97 + 1;
        // The last that an ONNX file says, which operators there may be, is not needed to know which there is.
        let last = fixture.bytes.len() - if fixture.format == Format::Onnx { 40 } else { 4 };
        for end in (0..last).step_by(step) {
            let cut = Model::read(&fixture.bytes[..end], fixture.format, &Limits::default());
            // A LightGBM file is whole at `end of trees`.
            let whole =
                fixture.format == Format::LightgbmText && fixture.bytes[..end].windows(12).any(|at| at == b"end of trees");
            assert_eq!(cut.is_ok(), whole, "{} cut at {end}", fixture.name);
        }
    }
}

#[test]
fn files_spoilt_at_random_never_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let (mut read, mut tried) = (0, 0);
    for fixture in all("") {
        for _ in 0..120 {
            let mut bytes = fixture.bytes.clone();
            for _ in 0..=next(4) {
                let (at, length) = (next(bytes.len()), next(9));
                match next(4) {
                    0 => bytes[at] = next(256) as u8,
                    1 => bytes[at] ^= 1 << next(8),
                    2 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
                    _ => {
                        let end = (at + length).min(bytes.len());
                        bytes.splice(at..at, bytes[at..end].to_vec());
                    }
                }
            }
            tried += 1;
            let Ok(model) = Model::read(&bytes, fixture.format, &Limits::default()) else { continue };
            read += 1;
            let rows: Vec<f64> = (0..model.features() * 3).map(|n| [0.5, f64::NAN, -3.0, f64::INFINITY][n % 4]).collect();
            let mut scratch = Scratch::default();
            let mut predictions = vec![0.0; 3 * model.predictions_per_row()];
            model.predict(&rows, &mut scratch, &mut predictions).unwrap();
            if let Ok(explainer) = Explainer::new(&model, TABLE_BYTES / 64) {
                let mut contributions = vec![0.0; 3 * explainer.contributions_per_row()];
                explainer.contributions(&rows, &mut scratch, &mut contributions).unwrap();
            }
        }
    }
    assert!(read > tried / 20 && read < tried, "{read} of {tried} were read: either nothing is spoilt or all is");
}
