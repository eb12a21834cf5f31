//! The wall clock is set back or ahead between two looks at a title: it ends all the same, and its work is done once.

use std::cell::Cell;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use showrunner_crds::title_enrichment::Phase;
use showrunner_kit::jobs::Cause;

use super::world::{Script, World};
use super::{ALL, SHOTS};

const HOUR: i64 = 3_600;
const YEARS: i64 = 10 * 365 * 24 * HOUR;
/// Looks at a title in the longest of the stories.
const LOOKS: usize = 40;
/// What the longest of the stories takes, waits for the next attempt and for a node included, and an hour.
const SOON: Duration = Duration::from_hours(2);

fn stories() -> [(&'static str, Vec<Script>); 3] {
    [(ALL, vec![]), (ALL, vec![Script::Dies(vec![], Cause::OutOfMemory); 2]), (SHOTS, vec![Script::NeverStarts("Unschedulable")])]
}

/// The story's title once it has come to rest, where the clock has jumped by so many seconds after so many looks; and when it jumped.
fn after_a_jump((spec, scripts): &(&str, Vec<Script>), looks: usize, seconds: i64) -> (World, Timestamp) {
    let mut world = World::new(spec);
    world.scripts.clone_from(scripts);
    let looked = Cell::new(0);
    world.settle_until(|_| looked.replace(looked.get() + 1) == looks);
    world.now += SignedDuration::from_secs(seconds);
    let jumped = world.now;
    world.settle();
    (world, jumped)
}

fn straight(story: &(&str, Vec<Script>)) -> World {
    after_a_jump(story, 0, 0).0
}

#[test]
fn a_clock_that_is_set_back_holds_up_no_longer_than_by_that_and_repeats_nothing() {
    for story in stories() {
        let wanted = straight(&story);
        for looks in 0..LOOKS {
            for seconds in [-1, -HOUR, -YEARS] {
                let (world, jumped) = after_a_jump(&story, looks, seconds);
                let what = format!("{} set back by {seconds} s after {looks} looks", story.0);
                assert_eq!(world.status.phase, Some(Phase::Published), "{what}");
                assert_eq!(world.published, wanted.published, "{what}");
                assert_eq!(world.names.len(), wanted.names.len(), "{what}");
                assert_eq!(world.charged.len(), wanted.charged.len(), "{what}");
                // Instants that were stored are those of the other clock.
                let late = jumped - SignedDuration::from_secs(seconds) + SOON;
                assert!(world.now < late, "{what}: it took until {} from {jumped}", world.now);
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_ahead_ends_in_time_or_says_that_the_deadline_is_over() {
    for story in stories() {
        for looks in 0..LOOKS {
            for seconds in [1, HOUR, YEARS] {
                let (mut world, _) = after_a_jump(&story, looks, seconds);
                let what = format!("{} set ahead by {seconds} s after {looks} looks", story.0);
                if world.status.phase != Some(Phase::Published) {
                    assert_eq!((world.reason(), world.has("Stalled")), ("DeadlineExceeded", true), "{what}");
                    assert!(world.published.is_empty(), "{what}: nothing half");
                    world.edit(|spec| spec.refresh = Some("the clock is right again".into()));
                    world.settle();
                }
                assert_eq!(world.status.phase, Some(Phase::Published), "{what}");
                assert!(world.jobs.values().all(|job| job.settled <= 1), "{what}");
            }
        }
    }
}
