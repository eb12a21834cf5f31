//! Two copies and a stranger come at once: of the copies the later one is told and waits for a person, whichever that is; what
//! leaves the catalogue is found no more.

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_contracts::{
    Document as _,
    catalogue::{self, place_name},
    documents::DuplicatesDocument,
    manifest::{Relation, Withheld},
    step::{QUERY, Step},
};
use showrunner_crds::{
    TitleEnrichment,
    title_enrichment::{Phase, PlaceState, PlaceStatus},
};
use showrunner_e2e::{
    media,
    published::{of, output, verify},
    suite::{Suite, trial},
};
use std::{sync::Arc, time::Duration};

const A_JOB: Duration = Duration::from_mins(4);
const SOON: Duration = Duration::from_mins(1);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "catalogue::of_two_copies_at_once_the_later_waits_for_a_person_and_what_leaves_is_found_no_more", copies)]
}

async fn copies(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("catalogue").await?;
    let path = |name: &str| format!("titles/{}/{name}.mp4", here.name);
    let film = media::film([1, 5, 9, 13, 17], 5)?;
    let mirrored = media::copy_of(&film, "crop=iw*0.94:ih*0.92,hflip,scale=300:168")?;
    let framed = media::copy_of(&film, "scale=256:144,pad=256:192:0:24")?;
    let stranger = media::film([3, 7, 11, 15, 19], 60)?;
    for (name, bytes) in [("film", film), ("mirrored", mirrored), ("framed", framed), ("stranger", stranger)] {
        suite.store.put(&path(name), bytes).await?;
    }
    let (on, off) = (json!({"enabled": true}), json!({"enabled": false}));
    let spec = |name: &str, looked_up: &Value, decisions: Value| {
        json!({"source": {"path": path(name)}, "thumbnails": off, "subtitles": off, "fingerprint": on, "duplicates": looked_up,
            "review": {"decisions": decisions}})
    };
    for name in ["film", "mirrored", "stranger"] {
        here.apply(name, spec(name, &on, json!([]))).await?;
    }
    let stranger = here.wait_for("stranger", Phase::Published, A_JOB).await?;
    ensure!(told(&stranger) == Some(("False".into(), "NoCopyFound".into())), "{:?}", told(&stranger));
    let rests = |title: &TitleEnrichment| {
        title.status.as_ref().is_some_and(|s| matches!(s.phase, Some(Phase::Published | Phase::NeedsReview)))
    };
    let mut both = Vec::new();
    for name in ["film", "mirrored"] {
        both.push(here.wait(name, "done", A_JOB, rests).await?);
    }
    both.sort_by_key(|title| place(title).map(|place| place.position));
    let [earlier, later] = &both[..] else { anyhow::bail!("two titles") };
    let (first, last) = (name(earlier), name(later));
    ensure!(told(earlier) == Some(("False".into(), "NoCopyFound".into())), "{first} was first: {:?}", told(earlier));
    ensure!(told(later) == Some(("True".into(), "CopyFound".into())), "{last} was last: {:?}", told(later));
    let places: Vec<i32> = [earlier, later, &stranger].into_iter().filter_map(place).map(|place| place.position).collect();
    ensure!(places.len() == 3 && places.iter().all(|at| places.iter().filter(|other| *other == at).count() == 1), "{places:?}");

    // The later one waits with all but what shows why; a person lets it go.
    let manifest = verify(&suite.store, later).await?;
    let (shown, held): (Vec<_>, Vec<_>) = manifest.steps.iter().partition(|step| step.step == Step::Duplicates);
    ensure!(
        held.len() == 2 && held.iter().all(|step| step.withheld == Some(Withheld::Held) && step.outputs.is_empty()),
        "{held:?}"
    );
    ensure!(shown.iter().all(|step| step.outputs.len() == 1), "{shown:?}");
    let report = suite.store.read(&format!("{}/report.html", of(later)?.folder.trim_end_matches('/'))).await?;
    ensure!(std::str::from_utf8(&report)?.contains("id=\"duplicates\""), "the report shows no duplicates");
    let step = later.status.iter().flat_map(|s| &s.steps).find(|step| step.name == "duplicates").context("no step")?;
    let found = step.matches.first().context("no match in the status")?;
    ensure!(found.title == format!("{}/{first}", here.name) && found.of_this > 80, "{found:?}");
    let digest = step.result.clone().context("no result")?;
    let accept = json!([{"step": "duplicates", "digest": digest, "action": "Accept", "by": "e2e"}]);
    here.apply(&last, spec(&last, &on, accept.clone())).await?;
    let title = here.wait_for(&last, Phase::Published, SOON).await?;
    let manifest = verify(&suite.store, &title).await?;
    let document = DuplicatesDocument::from_bytes(&output(&suite.store, &title, &manifest, "duplicates.json").await?)?;
    let [found] = &document.matches[..] else { anyhow::bail!("{document:?}") };
    ensure!(found.relation == Relation::ReEncode && found.title.name == first && !found.segments.is_empty(), "{found:?}");
    ensure!(
        !manifest.steps.iter().flat_map(|step| &step.outputs).any(|output| output.name == QUERY),
        "what is for other steps only was published"
    );

    // What is taken out is found no more: not by a copy that comes after that.
    let left = place(earlier).context("no place")?;
    here.apply(&first, spec(&first, &off, json!([]))).await?;
    here.wait(&first, "out of the catalogue", SOON, |title| {
        title.status.as_ref().is_some_and(|s| s.catalogue.is_none() && s.phase == Some(Phase::Published))
    })
    .await?;
    let root = root_of(&title, &here.name)?;
    ensure!(!has_print(&suite, &root, &left).await?, "the print is still at place {}", left.position);
    here.apply("framed", spec("framed", &on, json!([]))).await?;
    let framed = here.wait_for("framed", Phase::NeedsReview, A_JOB).await?;
    let step = framed.status.iter().flat_map(|s| &s.steps).find(|step| step.name == "duplicates").context("no step")?;
    let found: Vec<&str> = step.matches.iter().map(|found| found.title.as_str()).collect();
    ensure!(found == [format!("{}/{last}", here.name)], "{found:?}");

    // And so is what is deleted.
    let left = place(&framed).context("no place")?;
    ensure!(has_print(&suite, &root, &left).await?, "the print is not at place {}", left.position);
    here.titles().delete("framed", &kube::api::DeleteParams::default()).await?;
    let gone = kube::runtime::wait::await_condition(here.titles(), "framed", |title: Option<&TitleEnrichment>| title.is_none());
    tokio::time::timeout(SOON, gone).await.context("it is not deleted")??;
    ensure!(!has_print(&suite, &root, &left).await?, "the print is still at place {}", left.position);
    here.end().await
}

fn name(title: &TitleEnrichment) -> String {
    title.metadata.name.clone().unwrap_or_default()
}

fn place(title: &TitleEnrichment) -> Option<PlaceStatus> {
    title.status.as_ref()?.catalogue.clone().filter(|place| place.state == PlaceState::Entered)
}

/// Status and reason of the condition.
fn told(title: &TitleEnrichment) -> Option<(String, String)> {
    let condition = title.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == "DuplicateFound")?;
    Some((condition.status.clone(), condition.reason.clone()))
}

/// What all keys of the namespace's store begin with.
fn root_of(title: &TitleEnrichment, namespace: &str) -> Result<String> {
    let folder = &of(title)?.folder;
    let at = folder.find(&format!("titles/{namespace}/")).context("an odd folder")?;
    Ok(folder[..at].to_owned())
}

/// Whether a print is at a place of the catalogue; that there is an entry is taken for granted.
async fn has_print(suite: &Suite, root: &str, place: &PlaceStatus) -> Result<bool> {
    let name = place_name(u32::try_from(place.position)?);
    let bytes = suite.store.read(&format!("{root}catalogue/v{}/entries/{name}", place.version)).await?;
    Ok(catalogue::read(&bytes)?.0.print.is_some())
}
