//! A title with strong language and a mild rating: what was found waits for a person, and what people decide is carried out;
//! subtitles are published as a person corrected them.

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_contracts::{
    Document as _,
    documents::{Finding, ModerationDocument, ThumbnailsDocument},
    manifest::{Origin, TitleManifest, Withheld},
    step::{Axis, SHOTS_MODEL, Step},
};
use showrunner_crds::{TitleEnrichment, title_enrichment::Phase};
use showrunner_e2e::{
    media,
    published::{of, output, verify},
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{sync::Arc, time::Duration};

const A_JOB: Duration = Duration::from_mins(4);
const SOON: Duration = Duration::from_mins(1);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "review::english_under_the_name_of_german_waits_for_a_person", misnamed),
        trial(
            suite,
            "review::strong_language_under_a_mild_rating_is_held_accepted_and_rejected_and_subtitles_are_replaced",
            held,
        ),
    ]
}

async fn held(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("review").await?;
    let path = format!("titles/{}/spoken.mp4", here.name);
    suite.store.put(&path, media::spoken_title("Good evening. He is a stupid bastard. What a bloody disgrace that is.")?).await?;
    let spec = |decisions: Value| {
        json!({
            "source": {"path": path},
            "title": {"declaredRating": {"system": "BBFC", "category": "U"}},
            "shots": {"profile": "Accurate"},
            "subtitles": {"language": "en"},
            "moderation": {"enabled": true},
            "review": {"decisions": decisions, "maxWordErrorPercent": 100},
        })
    };
    here.apply("strong", spec(json!([]))).await?;
    let title = here.wait_for("strong", Phase::NeedsReview, A_JOB).await?;
    let status = title.status.as_ref().context("no status")?;
    let discrepancy =
        status.conditions.iter().find(|c| c.type_ == "RatingDiscrepancy").context("nothing is said of the rating")?;
    ensure!(discrepancy.status == "True" && discrepancy.message.contains("language is"), "{discrepancy:?}");
    let step = status.steps.iter().find(|step| step.name == "moderation").context("no step")?;
    let result = step.result.clone().context("no result")?;

    // What is held is told, and cannot be read where titles are published.
    let manifest = verify(&suite.store, &title).await?;
    ensure!(withheld(&manifest)? == (Some(Withheld::Held), 0), "{:?}", withheld(&manifest)?);
    ensure!(manifest.steps.iter().any(|step| step.step == Step::Subtitles && !step.outputs.is_empty()), "no subtitles");
    let judged = manifest.steps.iter().find(|step| step.step == Step::Shots).context("no shots")?;
    ensure!(judged.models.iter().any(|model| model.name == SHOTS_MODEL), "shots of another profile: {:?}", judged.models);
    let kept = step.folder.as_deref().context("no folder to look at")?;
    let found = suite.store.read(&format!("{kept}moderation.json")).await?;
    let hex = showrunner_contracts::Digest::of(&found).hex().to_owned();
    let blobs = suite.store.list(&format!("{}/blobs/", of(&title)?.folder.trim_end_matches('/'))).await?;
    ensure!(!blobs.is_empty() && !blobs.iter().any(|key| key.ends_with(&hex)), "what is held lies among what is published");
    let found = ModerationDocument::from_bytes(&found)?;
    let language = found.axes.iter().find(|axis| axis.axis == Axis::Language).context("language was not judged")?;
    let Finding::Judged { level, moments, .. } = &language.finding else { anyhow::bail!("{:?}", language.finding) };
    ensure!(
        *level >= 2
            && moments.iter().any(|moment| moment.word.as_deref().is_some_and(|word| word.eq_ignore_ascii_case("bastard"))),
        "{language:?}"
    );

    // A decision on another result counts for nothing.
    let decide = |digest: &str, action: &str| json!([{"step": "moderation", "digest": digest, "action": action, "by": "e2e"}]);
    let other = format!("sha256:{}", "0".repeat(64));
    here.apply("strong", spec(decide(&other, "Accept"))).await?;
    let title = here.wait_for("strong", Phase::NeedsReview, SOON).await?;
    ensure!(message(&title).contains("of another result"), "{}", message(&title));

    here.apply("strong", spec(decide(&result, "Accept"))).await?;
    let title = here.wait_for("strong", Phase::Published, SOON).await?;
    let manifest = verify(&suite.store, &title).await?;
    ensure!(withheld(&manifest)? == (None, 1), "{:?}", withheld(&manifest)?);
    output(&suite.store, &title, &manifest, "moderation.json").await?;

    here.apply("strong", spec(decide(&result, "Reject"))).await?;
    let title = here
        .wait("strong", "published without it", SOON, |title| {
            let status = title.status.as_ref();
            let rejected = |step: &showrunner_crds::title_enrichment::StepStatus| {
                step.review
                    .as_ref()
                    .is_some_and(|review| review.state == showrunner_crds::title_enrichment::ReviewState::Rejected)
            };
            status.is_some_and(|s| s.phase == Some(Phase::Published) && s.steps.iter().any(rejected))
        })
        .await?;
    let manifest = verify(&suite.store, &title).await?;
    ensure!(withheld(&manifest)? == (Some(Withheld::Rejected), 0), "{:?}", withheld(&manifest)?);
    replaced(&suite, &here, &title, &spec).await?;
    pictured(&suite, &here, &title, &spec).await?;
    ensure!(here.jobs().await?.len() <= 1, "a decision made a Job");
    here.end().await
}

async fn misnamed(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("misnamed").await?;
    let path = format!("titles/{}/english.mp4", here.name);
    let said = "Good evening, everybody. The weather tomorrow will be fine, and everybody is going to walk down to the river.";
    suite.store.put(&path, media::spoken_title(said)?).await?;
    // A computed voice is not what the limit is about.
    let spec = |language: &str, hold: &[&str]| {
        let review = json!({"hold": hold, "maxWordErrorPercent": 100});
        json!({"source": {"path": path}, "subtitles": {"language": language}, "review": review})
    };
    let both = ["LanguageMismatch", "WordErrors"];
    here.apply("misnamed", spec("de", &both)).await?;
    let title = here.wait_for("misnamed", Phase::NeedsReview, A_JOB).await?;
    ensure!(message(&title).contains("sounds like en (LanguageMismatch)"), "{}", message(&title));
    here.apply("misnamed", spec("de", &both[1..])).await?;
    let untold = |title: &TitleEnrichment| message(title).contains("cannot be told for this model and language (WordErrors)");
    here.wait("misnamed", "held for its words", SOON, untold).await?;
    here.apply("misnamed", spec("en", &both)).await?;
    let title = here.wait_for("misnamed", Phase::Published, A_JOB).await?;
    let manifest = verify(&suite.store, &title).await?;
    output(&suite.store, &title, &manifest, "subtitles.vtt").await?;
    here.end().await
}

/// A person's subtitles are refused with what is wrong, and published as they are once nothing is.
async fn replaced(suite: &Suite, here: &Namespaced, title: &TitleEnrichment, spec: &impl Fn(Value) -> Value) -> Result<()> {
    const CORRECTED: &str = "WEBVTT\n\n00:00.500 --> 00:02.000 line:0\nGood evening, everybody.\n";
    let steps = title.status.iter().flat_map(|status| &status.steps);
    let heard =
        steps.clone().find(|step| step.name == "subtitles").and_then(|step| step.result.clone()).context("no subtitles")?;
    let path = format!("titles/{}/corrected.vtt", here.name);
    let decide = |text: &str| {
        let sha256 = showrunner_contracts::Digest::of(text.as_bytes()).hex().to_owned();
        json!([{"step": "subtitles", "digest": heard, "action": "Replace", "path": path, "sha256": sha256, "by": "e2e"}])
    };
    let backwards = CORRECTED.replace("00:02.000", "00:00.100");
    suite.store.put(&path, backwards.clone().into_bytes()).await?;
    here.apply("strong", spec(decide(CORRECTED))).await?;
    let told = here.wait_reason("strong", "ReplacementInvalid", SOON).await?;
    ensure!(told.contains("its SHA-256 is"), "{told}");
    here.apply("strong", spec(decide(&backwards))).await?;
    let title = here
        .wait("strong", "a cue that ends before it begins is named", SOON, |title| message(title).contains("TooShort"))
        .await?;
    ensure!(
        verify(&suite.store, &title).await?.steps.iter().all(|step| step.origin == Origin::Machine),
        "something took its place"
    );

    suite.store.put(&path, CORRECTED.as_bytes().to_vec()).await?;
    here.apply("strong", spec(decide(CORRECTED))).await?;
    let title = here.wait_for("strong", Phase::NeedsReview, SOON).await?;
    let manifest = verify(&suite.store, &title).await?;
    let of = |wanted: Step| manifest.steps.iter().find(|step| step.step == wanted).map(|step| step.origin);
    ensure!(of(Step::Subtitles) == Some(Origin::Human) && of(Step::Shots) == Some(Origin::Machine), "{:?}", manifest.steps);
    ensure!(output(&suite.store, &title, &manifest, "subtitles.vtt").await? == CORRECTED, "it was changed on its way");
    let imsc = output(&suite.store, &title, &manifest, "subtitles.imsc1.xml").await?;
    ensure!(std::str::from_utf8(&imsc)?.contains("Good evening, everybody."), "the IMSC file says something else");
    Ok(())
}

/// A person's picture takes the place of a pick: refused while it is another file than was decided on, then published byte for byte,
/// with the document that says whose it is, while the pick that it replaced is not to be read there any more.
async fn pictured(suite: &Suite, here: &Namespaced, title: &TitleEnrichment, spec: &impl Fn(Value) -> Value) -> Result<()> {
    const PICK: &str = "thumbnail-0.jpg";
    let steps = title.status.iter().flat_map(|status| &status.steps);
    let picked = steps.clone().find(|step| step.name == "thumbnails").and_then(|step| step.result.clone()).context("no picks")?;
    let path = format!("titles/{}/poster.jpg", here.name);
    let picture = media::still("bikes.mp4", 2)?;
    let decide = |file: &[u8]| {
        let sha256 = showrunner_contracts::Digest::of(file).hex().to_owned();
        let pictures = json!([{"file": PICK, "path": path, "sha256": sha256}]);
        json!([{"step": "thumbnails", "digest": picked, "action": "Replace", "pictures": pictures, "by": "e2e"}])
    };
    suite.store.put(&path, picture[..picture.len() / 2].to_vec()).await?;
    here.apply("strong", spec(decide(&picture))).await?;
    let told = here.wait_reason("strong", "ReplacementInvalid", SOON).await?;
    ensure!(told.contains("its SHA-256 is"), "{told}");

    suite.store.put(&path, picture.clone()).await?;
    here.apply("strong", spec(decide(&picture))).await?;
    let title = here.wait_for("strong", Phase::NeedsReview, SOON).await?;
    let manifest = verify(&suite.store, &title).await?;
    let made = manifest.steps.iter().find(|step| step.step == Step::Thumbnails).context("no thumbnails in the manifest")?;
    let by =
        |name: &str| made.outputs.iter().find(|output| output.name == name).map(|output| output.origin.unwrap_or(made.origin));
    ensure!(
        (made.origin, by(PICK), by("thumbnails.json"), by("sprite.vtt"))
            == (Origin::Mixed, Some(Origin::Human), Some(Origin::Mixed), Some(Origin::Machine)),
        "{:?}",
        made.outputs
    );
    ensure!(output(&suite.store, &title, &manifest, PICK).await? == picture, "it was changed on its way");
    let document = ThumbnailsDocument::from_bytes(&output(&suite.store, &title, &manifest, "thumbnails.json").await?)?;
    let shown = document.picks.iter().find(|pick| pick.name == PICK).context("the pick is not told of")?;
    ensure!(serde_json::to_string(shown)?.contains("e2e"), "nobody is named: {shown:?}");
    Ok(())
}

/// Why moderation is withheld, and how many files it has.
fn withheld(manifest: &TitleManifest) -> Result<(Option<Withheld>, usize)> {
    let step = manifest.steps.iter().find(|step| step.step == Step::Moderation).context("moderation is not in the manifest")?;
    Ok((step.withheld, step.outputs.len()))
}

fn message(title: &TitleEnrichment) -> String {
    showrunner_e2e::titles::ready(title).map(|(_, message)| message).unwrap_or_default()
}
