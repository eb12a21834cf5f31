//! What a declared rating is held to: the highest level of each axis that a category goes with. Reads tables that are part of
//! the build.
//!
//! The tables are this project's. They are named for the categories that they approximate, no rating body has seen them, and a
//! rating is never written by them.

use serde::Deserialize;
use std::{fmt, sync::LazyLock};

/// Name and version of the tables.
pub const HOUSE_TABLE: &str = "house-ratings/1 (uncalibrated)";

/// Every category of every system, as people write them: `BBFC` `12A`.
pub const CATEGORIES: [(System, &[&str]); 3] = [
    (System::Bbfc, &["U", "PG", "12A", "12", "15", "18"]),
    (System::Mpa, &["G", "PG", "PG-13", "R", "NC-17"]),
    (System::Fsk, &["0", "6", "12", "16", "18"]),
];

/// Whose categories they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum System {
    /// British Board of Film Classification.
    Bbfc,
    /// Motion Picture Association.
    Mpa,
    /// Freiwillige Selbstkontrolle der Filmwirtschaft.
    Fsk,
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bbfc => "BBFC",
            Self::Mpa => "MPA",
            Self::Fsk => "FSK",
        })
    }
}

/// The strongest level of each axis that goes with a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Limits {
    /// Nudity, 0 to 5.
    pub nudity: u8,
    /// Violence, 0 to 5.
    pub violence: u8,
    /// Language, 0 to 5.
    pub language: u8,
}

/// A declared rating that the tables know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rating {
    /// Whose.
    pub system: System,
    /// As its body writes it.
    pub category: &'static str,
    /// What goes with it.
    pub limits: Limits,
}

impl Rating {
    /// The rating of this system and category; none where the tables have none.
    pub fn known(system: System, category: &str) -> Option<Self> {
        let table = TABLES.iter().find(|table| table.system == system)?;
        let row = table.categories.iter().find(|row| row.category == category)?;
        let (_, names) = CATEGORIES.iter().find(|(of, _)| *of == system)?;
        let category = names.iter().find(|name| **name == row.category)?;
        Some(Self { system, category, limits: row.limits })
    }
}

impl fmt::Display for Rating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.system, self.category)
    }
}

/// An axis whose level does not go with the declared rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// `nudity`, `violence` or `language`.
    pub axis: &'static str,
    /// Level found.
    pub level: u8,
    /// Strongest that goes with the rating.
    pub limit: u8,
}

/// The axes that are stronger than the rating allows; an axis that was not judged has no level.
pub fn gaps(rating: &Rating, nudity: Option<u8>, violence: Option<u8>, language: Option<u8>) -> Vec<Gap> {
    let Limits { nudity: bare, violence: violent, language: said } = rating.limits;
    [("nudity", nudity, bare), ("violence", violence, violent), ("language", language, said)]
        .into_iter()
        .filter_map(|(axis, level, limit)| level.filter(|level| *level > limit).map(|level| Gap { axis, level, limit }))
        .collect()
}

#[derive(Debug, Deserialize)]
struct Table {
    system: System,
    categories: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    category: String,
    #[serde(flatten)]
    limits: Limits,
}

static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let files = [include_str!("../data/bbfc.json"), include_str!("../data/mpa.json"), include_str!("../data/fsk.json")];
    files
        .iter()
        .map(|text| serde_json::from_str(text).expect("the tables are part of the build, and a test reads them"))
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_a_row_and_the_tables_have_no_other() {
        for (system, names) in CATEGORIES {
            let rows: Vec<Rating> = names.iter().map(|name| Rating::known(system, name).unwrap()).collect();
            assert_eq!(rows.len(), TABLES.iter().find(|table| table.system == system).unwrap().categories.len());
            let mut limits = rows.iter().map(|row| row.limits);
            let mut before = limits.next().unwrap();
            for next in limits {
                assert!(next.nudity >= before.nudity && next.violence >= before.violence && next.language >= before.language);
                before = next;
            }
            assert_eq!(before, Limits { nudity: 5, violence: 5, language: 5 }, "the strongest category of {system} takes all");
        }
        assert_eq!(Rating::known(System::Bbfc, "PG-13"), None);
    }

    #[test]
    fn an_axis_above_the_limit_is_a_gap_and_one_that_was_not_judged_is_none() {
        let rating = Rating::known(System::Bbfc, "12A").unwrap();
        let above = rating.limits.language + 1;
        assert_eq!(gaps(&rating, Some(rating.limits.nudity), None, Some(above)).len(), 1);
        let gap = gaps(&rating, Some(0), None, Some(above))[0];
        assert_eq!((gap.axis, gap.level, gap.limit), ("language", above, rating.limits.language));
        assert_eq!(gaps(&rating, None, None, None), []);
    }
}
