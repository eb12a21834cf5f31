//! Titles made of planted scenes: what is found, and what is not taken for a chapter.

use showrunner_chapters::{Chapter, Ear, Look, SLICE_MILLIS, Shot, Sound, Title, Wanted, chapters};
use showrunner_timeline::{Ticks, TimeBase};

/// A generator whose numbers are the same everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// One scene to plant.
#[derive(Clone)]
struct Scene {
    seconds: i64,
    /// Colours of its settings: shots go to and fro between them.
    settings: Vec<[u8; 3]>,
    /// Pitch of what is heard; none: silence.
    hertz: Option<f32>,
    /// Picture and sound rest before it.
    rests: bool,
}

/// What a planted title is made of.
#[derive(Default)]
struct Planted {
    shots: Vec<Shot>,
    looks: Vec<(Ticks, Look)>,
    sounds: Vec<Sound>,
    starts: Vec<i64>,
}

fn frame(colour: [u8; 3], dice: &mut Dice) -> Look {
    // A setting in many shades, lit from one side.
    let rgb: Vec<u8> = (0..32 * 18)
        .flat_map(|n| {
            let light = n % 32 - 16 + dice.below(60) as i32 - 30;
            colour.map(|c| (i32::from(c) + light).clamp(0, 255) as u8)
        })
        .collect();
    Look::of(&rgb, 32, 18).expect("it has the size that it says")
}

fn plant(scenes: &[Scene], seed: u64) -> Planted {
    let (mut dice, mut title, mut now) = (Dice(seed), Planted::default(), 0i64);
    let mut ear = Ear::new(16_000);
    for scene in scenes {
        title.starts.push(now);
        let end = now + scene.seconds * 1_000;
        let (mut at, mut nth) = (now, 0);
        while at < end {
            let shot_end = (at + 1_500 + dice.below(6_000) as i64).min(end);
            title.shots.push(Shot { start: Ticks(at), end: Ticks(shot_end), from_flat: at == now && scene.rests });
            let setting = scene.settings[nth % scene.settings.len()];
            for time in (at..shot_end).step_by(500) {
                title.looks.push((Ticks(time), frame(setting, &mut dice)));
            }
            (at, nth) = (shot_end, nth + 1);
        }
        let samples = (end - now) as usize * 16;
        let sound: Vec<f32> = (0..samples)
            .map(|n| {
                let quiet = scene.rests && n < 16_000;
                let tone = scene.hertz.map_or(0.0, |hertz| (std::f32::consts::TAU * hertz * n as f32 / 16_000.0).sin());
                if quiet { 0.0 } else { 0.2 * tone + 0.02 * (dice.below(2_000) as f32 / 1_000.0 - 1.0) }
            })
            .collect();
        ear.hear(&sound);
        now = end;
    }
    title.sounds = ear.finish();
    title
}

impl Planted {
    fn chapters(&self, wanted: Wanted) -> Vec<Chapter> {
        let title = Title { base: TimeBase::MILLIS, shots: &self.shots, looks: &self.looks, sounds: &self.sounds };
        chapters(&title, wanted)
    }

    fn found(&self, wanted: Wanted) -> Vec<i64> {
        self.chapters(wanted).iter().map(|chapter| chapter.start.0).collect()
    }
}

fn scene(seconds: i64, settings: &[[u8; 3]], hertz: f32) -> Scene {
    Scene { seconds, settings: settings.to_vec(), hertz: Some(hertz), rests: false }
}

const RED: [u8; 3] = [170, 60, 50];
const BLUE: [u8; 3] = [50, 80, 170];
const GREEN: [u8; 3] = [70, 150, 70];
const GREY: [u8; 3] = [120, 120, 120];

#[test]
fn scenes_are_told_apart_and_a_dialogue_that_cuts_to_and_fro_is_one() {
    let title = plant(&[scene(200, &[RED, GREY], 200.0), scene(170, &[BLUE], 1_000.0), scene(260, &[GREEN, BLUE], 300.0)], 1);
    let wanted = Wanted { fewest: 1, most: 6, apart: 60.0 };
    assert_eq!(title.found(wanted), title.starts);
}

#[test]
fn scenes_that_share_their_colours_are_told_apart_by_what_is_heard() {
    let title = plant(&[scene(180, &[RED, BLUE], 200.0), scene(180, &[RED, BLUE], 3_000.0)], 2);
    assert_eq!(title.found(Wanted { fewest: 1, most: 4, apart: 60.0 }), title.starts);
}

#[test]
fn the_colours_of_a_scene_may_come_back_later() {
    let scenes = [scene(180, &[RED], 200.0), scene(180, &[BLUE], 900.0), scene(180, &[RED], 200.0), scene(180, &[GREEN], 500.0)];
    let title = plant(&scenes, 3);
    assert_eq!(title.found(Wanted { fewest: 2, most: 8, apart: 90.0 }), title.starts);
}

#[test]
fn where_nothing_changes_there_are_no_more_than_must_be() {
    let title = plant(&[scene(600, &[RED, GREY], 200.0)], 4);
    assert_eq!(title.found(Wanted { fewest: 1, most: 6, apart: 60.0 }), [0]);
    let forced = title.chapters(Wanted { fewest: 3, most: 6, apart: 60.0 });
    assert_eq!(forced.len(), 3);
    assert!(forced[1..].iter().all(|chapter| chapter.clarity < 0.1), "{forced:?}");
}

#[test]
fn of_boundaries_that_are_near_each_other_the_one_at_rest_is_taken() {
    // Between two scenes there is a shot that belongs to neither; the rest is before it.
    let mut scenes = vec![scene(180, &[RED], 400.0), scene(5, &[GREY], 400.0), scene(180, &[BLUE], 400.0)];
    scenes[1].rests = true;
    let before = plant(&scenes, 5);
    let wanted = Wanted { fewest: 1, most: 4, apart: 60.0 };
    assert_eq!(before.found(wanted), [0, 180_000]);
    scenes[1].rests = false;
    scenes[2].rests = true;
    assert_eq!(plant(&scenes, 5).found(wanted), [0, 185_000]);
}

#[test]
fn a_title_of_two_hours_has_its_scenes_at_their_very_starts() {
    let colours = [RED, BLUE, GREEN, GREY];
    let mut dice = Dice(9);
    let scenes: Vec<Scene> = (0..17)
        .map(|n| {
            let settings = [colours[n % 4], colours[(n + 1 + n / 4) % 4]];
            let hertz = [150.0, 700.0, 2_500.0][n % 3];
            Scene { seconds: 300 + dice.below(240) as i64, settings: settings.to_vec(), hertz: Some(hertz), rests: n % 2 == 1 }
        })
        .collect();
    let title = plant(&scenes, 6);
    let seconds = scenes.iter().map(|scene| scene.seconds).sum::<i64>();
    assert_eq!(title.found(Wanted::of(seconds as f64)), title.starts);
    assert_eq!(title.sounds.len(), seconds as usize * 1_000 / SLICE_MILLIS as usize);
}

#[test]
fn more_shots_than_are_looked_at_are_thinned_where_least_changes() {
    let mut title = plant(&[scene(180, &[RED], 200.0), scene(180, &[BLUE], 900.0)], 7);
    // Every tick of a hundred milliseconds a shot: 3,600 of them.
    title.shots = (0..3_600).map(|n| Shot { start: Ticks(n * 100), end: Ticks((n + 1) * 100), from_flat: false }).collect();
    assert_eq!(title.found(Wanted { fewest: 1, most: 3, apart: 60.0 }), [0, 180_000]);
}

#[test]
fn nothing_to_see_or_hear_is_one_chapter_and_no_shots_are_none() {
    let shots = [Shot { start: Ticks(0), end: Ticks(90_000), from_flat: false }];
    let bare = Planted { shots: shots.to_vec(), ..Planted::default() };
    assert_eq!(bare.found(Wanted::of(90.0)), [0]);
    assert!(Planted::default().chapters(Wanted::of(0.0)).is_empty());
}
