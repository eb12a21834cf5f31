//! Margins, predictions and classes are those of the libraries.

use showrunner_trees::{Labels, Model, Scratch};

use crate::fixtures::{Fixture, all};

fn margins(model: &Model, rows: &[f64]) -> Vec<f64> {
    let mut margins = vec![0.0; rows.len() / model.features() * model.margins_per_row()];
    model.margins(rows, &mut Scratch::default(), &mut margins).unwrap();
    margins
}

fn predictions(model: &Model, rows: &[f64]) -> Vec<f64> {
    let mut predictions = vec![0.0; rows.len() / model.features() * model.predictions_per_row()];
    model.predict(rows, &mut Scratch::default(), &mut predictions).unwrap();
    predictions
}

/// Of the greater of the two; values next to nothing are compared as they are.
fn assert_near(ours: &[f64], theirs: &[f64], relative: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let allowed = relative * ours.abs().max(theirs.abs()).max(1e-9);
        assert!((ours - theirs).abs() <= allowed, "{what}, value {at}: {ours} for {theirs}");
    }
}

/// As XGBoost gives them.
fn single(values: &[f64]) -> Vec<u32> {
    values.iter().map(|value| (*value as f32).to_bits()).collect()
}

#[test]
fn margins_of_xgboost_are_the_same_to_the_bit() {
    let mut wrong = Vec::new();
    for fixture in all("xgboost") {
        let ours = margins(&fixture.model(), &fixture.table("rows").values);
        let theirs = &fixture.table("margins").values;
        assert_eq!(ours.len(), theirs.len(), "{}", fixture.name);
        for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            if (*ours as f32).to_bits() != (*theirs as f32).to_bits() {
                wrong.push(format!("{} value {at}: {ours} for {theirs}", fixture.name));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn margins_of_lightgbm_are_the_same() {
    for fixture in all("lightgbm") {
        let mut ours = margins(&fixture.model(), &fixture.table("rows").values);
        if fixture.name.contains("forest") {
            ours = ours.into_iter().map(|margin| margin * 5.0).collect(); // its raw scores are not yet by the number of rounds
        }
        assert_near(&ours, &fixture.table("margins").values, 1e-13, &fixture.name);
    }
}

#[test]
fn predictions_are_the_same() {
    for fixture in all("") {
        let (model, theirs) = (fixture.model(), fixture.table("predictions"));
        let ours = predictions(&model, &fixture.table("rows").values);
        if fixture.name.contains("softmax.") {
            // The library answers with the class, we with the probabilities.
            let classes: Vec<f64> = ours.chunks(3).map(|row| Model::class(row) as f64).collect();
            assert_eq!(classes, theirs.values, "{}", fixture.name);
        } else {
            assert_eq!(model.predictions_per_row(), theirs.columns, "{}", fixture.name);
            assert_near(&ours, &theirs.values, 1e-6, &fixture.name);
        }
    }
}

#[test]
fn classes_are_called_as_the_model_calls_them() {
    let class = |fixture: &Fixture, model: &Model| -> Vec<usize> {
        predictions(model, &fixture.table("rows").values).chunks(model.predictions_per_row()).map(Model::class).collect()
    };
    for fixture in all("onnx") {
        let model = fixture.model();
        match model.labels() {
            Labels::Numbers => assert!(!fixture.has("labels")),
            Labels::Integers(names) => {
                let ours: Vec<f64> = class(&fixture, &model).into_iter().map(|class| names[class] as f64).collect();
                assert_eq!(ours, fixture.table("labels").values, "{}", fixture.name);
            }
            Labels::Texts(names) => {
                let ours: Vec<&str> = class(&fixture, &model).into_iter().map(|class| names[class].as_str()).collect();
                assert_eq!(ours.join(" "), fixture.note("labels").unwrap(), "{}", fixture.name);
            }
        }
    }
}

#[test]
fn all_rounds_count_unless_they_are_cut_off_where_training_found_the_best() {
    for fixture in all("stopped") {
        let (model, rows) = (fixture.model(), &fixture.table("rows").values);
        if fixture.name.starts_with("lightgbm") {
            assert_eq!(model.best_round(), None);
            assert_eq!(model.trees().to_string(), fixture.note("trees").unwrap(), "{}", fixture.name);
        } else {
            let best = model.best_round().unwrap();
            assert_eq!(best.to_string(), fixture.note("best").unwrap());
            assert!(model.trees() > best + 1, "{}: nothing superfluous was trained", fixture.name);
            assert_eq!(
                single(&margins(&model.first_rounds(2), rows)),
                single(&fixture.table("firsts").values),
                "{}",
                fixture.name
            );
        }
    }
}

#[test]
fn features_have_the_names_of_the_training() {
    let names = |part: &str| all(part)[0].model().feature_names().to_vec();
    assert_eq!(names("xgboost-3.4.1-squared.json"), ["f 0", "f 1", "f 2", "f 3", "f 4", "f 5"]);
    assert_eq!(names("lightgbm-4.6.0-binary"), ["f_0", "f_1", "f_2", "f_3", "f_4", "f_5"]);
    assert!(names("onnx").is_empty());
}
