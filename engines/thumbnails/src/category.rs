//! What kind of moment a picture shows, by stated rules and only as far as there is evidence. Pure; no I/O.

use std::fmt;

use crate::measure::Candidate;

/// Movement that counts as action stands above this share of the title's candidates...
const ACTION_SHARE: f32 = 0.8;
/// ...and above this much in itself (share of the width per frame): a title of still lives has no action.
const LEAST_ACTION: f32 = 0.008;
/// A face this large (share of the picture) is what the picture is about.
const LEAST_FACE: f32 = 0.04;
/// A low-key picture is dark over at least this share...
const LOW_KEY: f32 = 0.6;
/// ...with light that reaches at least this luma.
const LOW_KEY_LIGHT: u8 = 110;
/// Contrast (of full contrast) above which a picture is dramatic without being dark.
const HARD_CONTRAST: f32 = 0.98;
/// A calm wide view spreads attention at least this evenly.
const WIDE_SPREAD: f32 = 0.9;

/// The kind of moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Much movement: above four fifths of the title, and not little in itself.
    Action,
    /// A face fills at least a twenty-fifth of the picture. Only ever given when the caller looked for faces
    /// ([`Candidate::face`]): skin colour and position say too little about who is in a picture to name it so.
    Character,
    /// None of the others: places, light, weather, a wide calm view.
    Atmosphere,
    /// Light and dark against each other: low key with lights, or the hardest contrast.
    Dramatic,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Action => "Action",
            Self::Character => "Character",
            Self::Atmosphere => "Atmosphere",
            Self::Dramatic => "Dramatic",
        })
    }
}

/// The movement above which a candidate of this title may be action.
pub(crate) fn action_level(candidates: &[Candidate]) -> f32 {
    let mut motions: Vec<f32> = candidates.iter().filter(|c| c.reject.is_none()).map(|c| c.motion).collect();
    motions.sort_by(f32::total_cmp);
    let at = (motions.len() as f32 * ACTION_SHARE) as usize;
    motions.get(at.min(motions.len().saturating_sub(1))).copied().unwrap_or(0.0).max(LEAST_ACTION)
}

/// The category and how far its rule was exceeded, 0 to 1. That is a margin, not a probability.
pub(crate) fn categorise(candidate: &Candidate, action_level: f32) -> (Category, f32) {
    if let Some(face) = candidate.face.filter(|face| *face >= LEAST_FACE) {
        return (Category::Character, (face / (3.0 * LEAST_FACE)).clamp(0.34, 1.0));
    }
    if candidate.motion >= action_level {
        return (Category::Action, (candidate.motion / (2.0 * action_level)).clamp(0.5, 1.0));
    }
    if candidate.dark >= LOW_KEY && candidate.highlight >= LOW_KEY_LIGHT {
        return (Category::Dramatic, ((candidate.dark - LOW_KEY) / (1.0 - LOW_KEY)).clamp(0.3, 1.0));
    }
    if candidate.quality.contrast >= HARD_CONTRAST {
        return (Category::Dramatic, 0.3);
    }
    // The rest. Sure only when it also looks like a wide, still view.
    let still = 1.0 - (candidate.motion / action_level).min(1.0);
    let wide = ((candidate.spread - WIDE_SPREAD) / (1.0 - WIDE_SPREAD)).clamp(0.0, 1.0);
    (Category::Atmosphere, (0.2 + 0.4 * still + 0.4 * wide).clamp(0.2, 1.0))
}
