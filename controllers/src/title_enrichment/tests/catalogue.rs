//! The catalogue of prints: places are taken once, in order, and left; what is found holds a title back.

use jiff::Timestamp;
use showrunner_contracts::{
    Digest, Document as _,
    manifest::{MatchSummary, Relation, StepSummary, Withheld},
    step::Step,
};
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{
    Likeness, Phase, PlaceState, PlaceStatus, ReviewAction, ReviewDecision, ReviewState, ReviewStep, StepState, TitleReason,
};
use showrunner_kit::conditions;
use showrunner_kit::jobs::Cause;

use super::fixtures::step_result;
use super::world::{Crash, FakeJob, Rival, Script, UID, World};
use crate::title_enrichment::decide::{DELETE_WITHIN, Facts, Fate, PlaceFact, Trouble};
use crate::title_enrichment::layout;

/// A title that is looked up.
const LOOKED_UP: &str = "
source: { store: media, path: in/clip.mov }
thumbnails: { enabled: false }
subtitles: { enabled: false }
fingerprint: { enabled: true }
duplicates: { enabled: true }
";
/// UID of another title.
const OTHER: &str = "99999999-1111-2222-3333-444455556666";

impl World {
    /// Another title does what it does, where it is its turn.
    pub(super) fn meets_rival(&mut self) {
        let Some(mut rival) = self.rival.take() else { return };
        if rival.at_use == 0 {
            std::mem::swap(&mut self.places, &mut rival.world.places);
            for _ in 0..rival.reconciles {
                rival.world.reconcile().unwrap();
                rival.world.pods();
            }
            std::mem::swap(&mut self.places, &mut rival.world.places);
        }
        rival.at_use = rival.at_use.wrapping_sub(1);
        self.rival = Some(rival);
    }

    pub(super) fn enter(&mut self, place: &PlaceStatus, facts: &mut Facts) -> Result<(), Crash> {
        self.meets_rival();
        if self.store_down || self.catalogue_down {
            facts.trouble = Some(self.away());
            return Ok(());
        }
        let at = usize::try_from(place.position).unwrap();
        let print = format!("{} {}", self.uid, place.key);
        if at == self.places.len() {
            self.write(|world| world.places.push(Some(print.clone())))?;
        }
        assert!(at < self.places.len(), "no place before it is free");
        let fate = if self.places[at].as_ref() == Some(&print) { Fate::Entered } else { Fate::Taken };
        facts.place = Some(PlaceFact { position: place.position, fate });
        self.meets_rival();
        Ok(())
    }

    pub(super) fn leave(&mut self, place: &PlaceStatus, facts: &mut Facts) -> Result<(), Crash> {
        if self.store_down || self.catalogue_down {
            let fate = Fate::Stuck { retry_at: self.away().retry_at };
            facts.place = Some(PlaceFact { position: place.position, fate });
            return Ok(());
        }
        let (at, uid) = (usize::try_from(place.position).unwrap(), self.uid);
        if at == self.places.len() {
            self.write(|world| world.places.push(None))?;
        }
        if self.places.get(at).is_some_and(|print| print.as_ref().is_some_and(|print| print.starts_with(uid))) {
            self.write(|world| world.places[at] = None)?;
        }
        facts.place = Some(PlaceFact { position: place.position, fate: Fate::Left });
        Ok(())
    }

    fn away(&self) -> Trouble {
        let retry_at = self.now + std::time::Duration::from_secs(30);
        Trouble { reason: TitleReason::StoreUnavailable, message: "away".to_owned(), retry_at }
    }

    /// The places where the title's print is.
    fn prints(&self) -> Vec<usize> {
        let ours = |print: &Option<String>| print.as_ref().is_some_and(|print| print.starts_with(self.uid));
        self.places.iter().enumerate().filter(|(_, print)| ours(print)).map(|(at, _)| at).collect()
    }

    fn looks(&self) -> Vec<&FakeJob> {
        self.jobs.values().filter(|job| job.order.steps.iter().any(|step| step.params.step() == Step::Duplicates)).collect()
    }

    /// A title whose look finds this.
    fn finding(spec: &str, relation: Relation) -> Self {
        let mut world = Self::new(spec);
        world.find(relation);
        world
    }

    /// The title's look finds this.
    fn find(&mut self, relation: Relation) {
        let world = self;
        world.settle_until(|world| {
            world.status.steps.iter().any(|step| step.name == "duplicates" && step.state == StepState::Running)
        });
        let attempt = world.status.attempt.clone().unwrap();
        let key: Digest = world.step("duplicates").key.parse().unwrap();
        let folder = layout::attempt_folder(&attempt.unit.parse().unwrap(), UID, attempt.number);
        let mut result = step_result(Step::Duplicates, &key, &folder);
        let found = MatchSummary { title: "studio/second-light".into(), relation, of_this: 98, of_other: 97, offset_ms: -1_500 };
        result.summary = StepSummary::Duplicates { searched: 7, matches: 1, closest: vec![found] };
        world.results.insert(key, result.to_bytes());
        world.settle();
    }
}

fn told(world: &World) -> (String, String) {
    let told = conditions::get(&world.status.conditions, condition::DUPLICATE_FOUND).unwrap();
    (told.status.clone(), told.reason.clone())
}

#[test]
fn a_print_takes_the_next_place_once_it_is_made_and_is_then_looked_up_without_the_source() {
    let mut world = World::new(LOOKED_UP);
    world.places = vec![Some("somebody's".into()), None, Some("somebody's".into())];
    world.settle();
    assert_eq!((world.status.phase, world.names.len(), world.prints()), (Some(Phase::Published), 2, vec![3]));
    let place = world.status.catalogue.clone().unwrap();
    assert_eq!(
        (place.position, place.state, place.key.as_str()),
        (3, PlaceState::Entered, world.step("fingerprint").key.as_str())
    );
    let order = &world.looks()[0].order;
    let steps: Vec<Step> = order.steps.iter().map(|step| step.params.step()).collect();
    assert_eq!((steps, order.place, order.given.len()), (vec![Step::Duplicates], Some(3), 1));
    assert_eq!(told(&world), ("False".into(), "NoCopyFound".into()));
    let before = (world.writes, world.reads);
    world.reconcile().unwrap();
    assert_eq!((world.writes, world.reads), before, "at rest");
}

/// Law 2 for the writes of a title that is looked up.
#[test]
fn a_crash_after_any_single_write_leaves_one_print_at_one_place() {
    let straight = {
        let mut world = World::new(LOOKED_UP);
        world.settle();
        world
    };
    for number in 0..straight.writes {
        for committed in [false, true] {
            let mut world = World::new(LOOKED_UP);
            world.crash = Some((number, committed));
            world.settle();
            let what = format!("write {number}, committed {committed}");
            assert_eq!((world.status.phase, world.prints()), (Some(Phase::Published), vec![0]), "{what}");
            assert_eq!((&world.names, &world.alias), (&straight.names, &straight.alias), "{what}");
        }
    }
}

/// Of two titles that come at the same time, whoever has the later place looks at the place of the other, which is filled by then:
/// at every use of the catalogue by one, the other goes on by any number of reconciles.
#[test]
fn of_two_at_once_the_later_always_sees_the_earlier() {
    let mut later = [0, 0];
    for at_use in 0..4 {
        for reconciles in 0..16 {
            let mut rival = World::new(LOOKED_UP);
            rival.uid = OTHER;
            let mut world = World::new(LOOKED_UP);
            world.rival = Some(Rival { world: Box::new(rival), at_use, reconciles });
            world.settle();
            let mut rival = world.rival.take().unwrap().world;
            std::mem::swap(&mut world.places, &mut rival.places);
            rival.settle();
            std::mem::swap(&mut world.places, &mut rival.places);
            rival.places.clone_from(&world.places);
            let what = format!("use {at_use}, {reconciles} reconciles");
            for title in [&world, &rival] {
                assert_eq!(title.status.phase, Some(Phase::Published), "{what}");
                let looks = title.looks();
                let place = title.status.catalogue.as_ref().unwrap().position;
                assert_eq!((looks.len(), looks[0].order.place), (1, u32::try_from(place).ok()), "{what}");
            }
            let [ours, theirs] = [world.prints(), rival.prints()];
            assert_eq!((ours.len(), theirs.len(), world.places.len()), (1, 1, 2), "{what}: {:?}", world.places);
            later[usize::from(ours[0] == 1)] += 1;
        }
    }
    assert!(later.iter().all(|count| *count > 0), "either comes first: {later:?}");
}

#[test]
fn what_is_turned_off_or_deleted_leaves_its_place_and_nobody_takes_it() {
    let mut world = World::new(LOOKED_UP);
    world.settle();
    world.edit(|spec| spec.duplicates.enabled = false);
    world.settle();
    assert_eq!((world.status.phase, world.prints(), world.places.len()), (Some(Phase::Published), vec![], 1));
    assert!(world.status.catalogue.is_none() && conditions::get(&world.status.conditions, "DuplicateFound").is_none());
    world.edit(|spec| spec.duplicates.enabled = true);
    world.settle();
    assert_eq!((world.status.phase, world.prints()), (Some(Phase::Published), vec![1]), "it comes back as the latest");
    world.deleting = Some(world.now);
    world.settle();
    assert!(world.gone && world.prints().is_empty());
}

#[test]
fn a_new_print_takes_a_new_place_and_the_old_one_stands_until_then() {
    let mut world = World::new(LOOKED_UP);
    world.settle();
    let source = world.source.as_mut().unwrap();
    (source.version, source.etag) = ("\"v2\"".into(), "\"v2\"".into());
    world.scripts = vec![Script::Hangs];
    world.edit(|spec| spec.refresh = Some("again".into()));
    world.settle_until(World::running);
    assert_eq!(world.prints(), [0], "as long as another is not made");
    world.jobs.values_mut().for_each(|job| job.script = Script::Work);
    world.settle();
    assert_eq!((world.status.phase, world.prints()), (Some(Phase::Published), vec![1]));
    let last = &world.jobs[world.names.last().unwrap()];
    assert_eq!((last.order.place, world.looks().len()), (Some(1), 2));
}

#[test]
fn a_deletion_waits_for_the_catalogue_no_longer_than_for_jobs() {
    let mut world = World::new(LOOKED_UP);
    world.settle();
    world.store_down = true;
    world.deleting = Some(world.now);
    let begun: Timestamp = world.now;
    for _ in 0..4 {
        world.reconcile().unwrap();
        assert!(!world.gone && world.reason() == "Cancelling");
    }
    world.settle();
    assert!(world.gone && world.now <= begun + DELETE_WITHIN);
}

#[test]
fn a_store_that_is_away_while_a_print_enters_is_waited_for() {
    let mut world = World::new(LOOKED_UP);
    world.settle_until(World::running);
    world.catalogue_down = true;
    for _ in 0..4 {
        world.pods();
        world.reconcile().unwrap();
    }
    assert_eq!((world.reason(), world.step("fingerprint").state), ("StoreUnavailable", StepState::Done));
    let writes = world.writes;
    world.reconcile().unwrap();
    assert_eq!(world.writes, writes, "told once");
    world.catalogue_down = false;
    world.settle();
    assert_eq!((world.status.phase, world.prints()), (Some(Phase::Published), vec![0]));
}

fn decided(world: &World, action: ReviewAction) -> Vec<ReviewDecision> {
    let digest = world.step("duplicates").result.clone().unwrap();
    let by = "qc@example".to_owned();
    vec![ReviewDecision {
        step: ReviewStep::Duplicates,
        digest,
        action,
        path: None,
        sha256: None,
        pictures: Vec::new(),
        by,
        reason: None,
    }]
}

fn withheld(world: &World) -> Vec<Option<Withheld>> {
    world.editions.last().unwrap().steps.iter().map(|step| step.withheld).collect()
}

#[test]
fn all_of_a_title_that_looks_like_a_copy_waits_until_a_person_has_decided() {
    for (relation, reason) in [(Relation::ReEncode, "CopyFound"), (Relation::Dub, "VersionFound")] {
        let mut world = World::finding(LOOKED_UP, relation);
        assert_eq!((world.status.phase, told(&world)), (Some(Phase::NeedsReview), ("True".into(), reason.into())));
        let ready = conditions::get(&world.status.conditions, "Ready").unwrap().message.clone();
        assert!(ready.contains("step: duplicates") && ready.contains("studio/second-light"), "{ready}");
        assert!(!ready.contains("shots is held"), "only the one to decide on is told: {ready}");
        // What it is a copy of, people have to see.
        assert_eq!(withheld(&world), [Some(Withheld::Held), Some(Withheld::Held), None]);
        assert_eq!(world.step("duplicates").matches[0].offset, "-0m1.500s");

        let decisions = decided(&world, ReviewAction::Reject);
        world.edit(|spec| spec.review.decisions = decisions);
        world.settle();
        assert_eq!(world.status.phase, Some(Phase::Published));
        assert_eq!(withheld(&world), [Some(Withheld::Rejected), Some(Withheld::Rejected), None]);
        assert_eq!(world.step("shots").review.as_ref().unwrap().state, ReviewState::Rejected);

        let decisions = decided(&world, ReviewAction::Accept);
        world.edit(|spec| spec.review.decisions = decisions);
        world.settle();
        assert_eq!((world.status.phase, withheld(&world)), (Some(Phase::Published), vec![None; 3]));
        assert_eq!((world.names.len(), told(&world).0.as_str()), (2, "True"), "nothing is done again, and it still is a copy");
    }
}

#[test]
fn what_is_published_stays_until_a_person_has_decided_that_it_is_a_copy() {
    let mut world = World::new(LOOKED_UP);
    world.edit(|spec| spec.duplicates.enabled = false);
    world.settle();
    let published = world.status.published.clone().unwrap();
    world.edit(|spec| spec.duplicates.enabled = true);
    world.find(Relation::Exact);
    assert_eq!((world.status.phase, world.editions.len()), (Some(Phase::NeedsReview), 1));
    assert_eq!(world.status.published.as_ref(), Some(&published));
    let before = (world.writes, world.reads);
    world.reconcile().unwrap();
    assert_eq!((world.writes, world.reads), before, "at rest");
    let decisions = decided(&world, ReviewAction::Accept);
    world.edit(|spec| spec.review.decisions = decisions);
    world.settle();
    assert_eq!((world.status.phase, withheld(&world)), (Some(Phase::Published), vec![None; 3]));
}

#[test]
fn a_shared_intro_holds_nothing_and_neither_does_a_copy_where_nobody_asks() {
    let shared = World::finding(LOOKED_UP, Relation::SharedIntro);
    assert_eq!((shared.status.phase, told(&shared)), (Some(Phase::Published), ("False".into(), "NoCopyFound".into())));
    assert_eq!(shared.step("duplicates").matches[0].relation, "SharedIntro");
    let copy = World::finding(
        &LOOKED_UP.replace("duplicates: { enabled: true }", "duplicates: { enabled: true, hold: [Version] }"),
        Relation::Exact,
    );
    assert_eq!((copy.status.phase, told(&copy)), (Some(Phase::Published), ("True".into(), "CopyFound".into())));
    assert_eq!(copy.spec.duplicates.hold, [Likeness::Version]);
}

#[test]
fn a_title_that_was_let_go_by_an_uninstall_waits_for_its_print_again_when_it_is_deleted() {
    let mut world = World::new(LOOKED_UP);
    world.settle();
    world.finalizer = false;
    world.settle();
    assert!(world.finalizer, "installed again");
    world.deleting = Some(world.now);
    world.settle();
    assert!(world.gone && world.prints().is_empty());
}

#[test]
fn a_deletion_that_lets_a_job_go_leaves_the_catalogue_too() {
    let mut world = World::new(LOOKED_UP);
    world.settle();
    world.scripts = vec![Script::Hangs];
    world.edit(|spec| spec.chapters.enabled = true);
    world.settle_until(World::running);
    world.deleting = Some(world.now);
    world.reconcile().unwrap();
    world.now += DELETE_WITHIN;
    world.reconcile().unwrap();
    assert!(world.gone && world.prints().is_empty());
}

#[test]
fn a_title_moves_away_from_a_store_that_is_away_and_its_place_is_left_when_that_is_back() {
    let mut world = World::new(LOOKED_UP);
    world.settle();
    world.catalogue_down = true;
    world.edit(|spec| spec.duplicates.enabled = false);
    for _ in 0..6 {
        world.reconcile().unwrap();
        world.pods();
    }
    assert_eq!((world.status.phase, world.prints()), (Some(Phase::Published), vec![0]), "nothing else waits for it");
    assert_eq!(world.status.catalogue.as_ref().map(|place| place.state), Some(PlaceState::Leaving));
    let writes = world.writes;
    assert!(matches!(world.reconcile().unwrap(), showrunner_kit::Next::At(_)), "it is tried again");
    assert_eq!(world.writes, writes);
    world.catalogue_down = false;
    world.settle();
    assert!(world.prints().is_empty() && world.status.catalogue.is_none());
}

#[test]
fn a_place_that_was_told_and_never_reached_is_closed_when_it_is_left() {
    let mut world = World::new(LOOKED_UP);
    world.settle_until(World::running);
    world.status.catalogue = Some(PlaceStatus {
        store: "media".into(),
        version: 1,
        position: 0,
        key: "sha256:of another print".into(),
        state: PlaceState::Entering,
    });
    world.settle();
    assert_eq!((world.places[0].as_ref(), world.prints()), (None, vec![1]), "what is still on its way there finds it taken");
}

#[test]
fn turning_the_look_off_makes_no_print_again() {
    let mut world = World::new(LOOKED_UP);
    world.settle();
    world.edit(|spec| spec.duplicates.enabled = false);
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert!(!world.has("Outdated"));
    world.edit(|spec| spec.duplicates.enabled = true);
    world.settle();
    assert_eq!((world.names.len(), world.looks().len()), (3, 2), "looked up again, and nothing else");
}

#[test]
fn what_reads_no_source_is_never_in_one_job_with_what_does() {
    let mut world = World::new(LOOKED_UP);
    world.scripts = vec![Script::Work, Script::Dies(vec![], Cause::OutOfMemory)];
    world.settle_until(|world| world.status.history.len() == 2);
    world.edit(|spec| spec.chapters.enabled = true);
    world.settle();
    assert_eq!((world.status.phase, world.names.len(), world.prints()), (Some(Phase::Published), 4, vec![0]));
    for job in world.jobs.values() {
        let reads: Vec<bool> = job.order.steps.iter().map(|step| step.params.step().reads_source()).collect();
        assert!(reads.iter().all(|reads_source| *reads_source == reads[0]), "{:?}", job.order.steps);
    }
}

#[test]
fn a_place_that_was_told_for_one_print_is_left_before_another_is_entered() {
    let mut first = World::new(LOOKED_UP);
    first.settle();
    let mut world = World::new(LOOKED_UP);
    // The other print is in the store already; the place was told for this one, and its print arrived.
    world.results = std::mem::take(&mut first.results);
    world.finalizer = true;
    world.places = vec![Some(format!("{UID} sha256:an earlier print"))];
    world.status.catalogue = Some(PlaceStatus {
        store: "media".into(),
        version: 1,
        position: 0,
        key: "sha256:an earlier print".into(),
        state: PlaceState::Entering,
    });
    world.settle();
    assert_eq!((world.status.phase, world.prints()), (Some(Phase::Published), vec![1]), "{:?}", world.places);
}
