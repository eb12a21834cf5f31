//! What is picked from candidates whose worth and likeness are known, and what is kept of many.

use showrunner_thumbnails::{Candidate, Category, Note, Offer, Pool, Settings, ShotSpan, select, select_shown};
use showrunner_timeline::Ticks;

use crate::draw::{HEIGHT, WIDTH, barred, blur, candidate, map, noisy, scene};

const LENGTH: i64 = 100;

/// Shots of a hundred ticks joined by cuts.
fn shots(count: i64) -> Vec<ShotSpan> {
    (0..count)
        .map(|n| {
            let (start, end) = (Ticks(n * LENGTH), Ticks((n + 1) * LENGTH));
            ShotSpan::new(start, end, start, end, Ticks(4))
        })
        .collect()
}

/// Three candidates in each shot: a good one, a copy with a little noise, and a soft one.
fn title(count: u64) -> Vec<Candidate> {
    (0..count)
        .flat_map(|n| {
            let (picture, at) = (scene(n), n as i64 * LENGTH);
            [
                candidate(&blur(&picture, 3), at + 20, 0.001),
                candidate(&picture, at + 50, 0.001),
                candidate(&noisy(&picture, 4.0, n), at + 70, 0.001),
            ]
        })
        .collect()
}

#[test]
fn eight_picks_come_from_eight_shots_and_differ_in_64_bits() {
    let candidates = title(12);
    let selection = select(&candidates, &shots(12), &Settings::default());
    assert_eq!(selection.picks.len(), 8);
    assert_eq!(selection.notes, [Note::FacesUnknown]);
    let mut from: Vec<usize> = selection.picks.iter().map(|p| p.shot).collect();
    from.sort_unstable();
    from.dedup();
    assert_eq!(from.len(), 8);
    for (i, a) in selection.picks.iter().enumerate() {
        assert_ne!(a.candidate % 3, 0, "a soft picture was picked");
        for b in &selection.picks[..i] {
            assert!(candidates[a.candidate].hash.distance(&candidates[b.candidate].hash) >= 64);
        }
    }
    assert_eq!(selection, select(&candidates, &shots(12), &Settings::default()));
}

#[test]
fn picks_are_told_best_first() {
    for seed in 0..5 {
        let mut candidates = title(12);
        // Some shots are worse than others, in no order.
        for (n, candidate) in candidates.iter_mut().enumerate() {
            candidate.quality.overall *= 0.5 + ((n as u64 * 7 + seed * 5) % 11) as f32 / 22.0;
        }
        let picks = select(&candidates, &shots(12), &Settings::default()).picks;
        assert!(picks.len() == 8 && picks.windows(2).all(|pair| pair[0].score >= pair[1].score), "seed {seed}: {picks:?}");
        assert!(picks[0].score > picks[7].score);
    }
}

#[test]
fn of_two_alike_the_one_of_a_category_not_yet_shown_is_picked() {
    // Nine shots alike in worth, of which one moves; eight are wanted.
    let mut candidates: Vec<Candidate> = (0..9).map(|n| candidate(&scene(n), n as i64 * LENGTH + 50, 0.0)).collect();
    for candidate in &mut candidates {
        candidate.quality.overall = 0.8;
        candidate.quality.contrast = 0.5;
    }
    candidates[8].motion = 0.009;
    let selection = select(&candidates, &shots(9), &Settings { count: 4, shots: 4, ..Settings::default() });
    assert!(selection.picks.iter().any(|p| p.category == Category::Action), "{:?}", selection.picks);
}

#[test]
fn of_shots_alike_the_longer_stands_for_the_title() {
    let candidates = [candidate(&scene(1), 50, 0.0), candidate(&scene(1), 600, 0.0)];
    let spans = [
        ShotSpan::new(Ticks(0), Ticks(100), Ticks(0), Ticks(100), Ticks(4)),
        ShotSpan::new(Ticks(100), Ticks(1_000), Ticks(100), Ticks(1_000), Ticks(4)),
    ];
    let selection = select(&candidates, &spans, &Settings { count: 1, ..Settings::default() });
    assert_eq!(selection.picks[0].shot, 1);
}

#[test]
fn picks_from_few_shots_are_spread_over_all_of_them() {
    let mut candidates = Vec::new();
    for n in 0..18 {
        candidates.push(candidate(&scene(40 + n), n as i64 / 3 * LENGTH + 20 + (n as i64 % 3) * 20, 0.0));
    }
    let selection = select(&candidates, &shots(6), &Settings::default());
    let mut from: Vec<usize> = selection.picks.iter().map(|p| p.shot).collect();
    from.sort_unstable();
    from.dedup();
    assert_eq!((selection.picks.len(), from.len()), (8, 6));
}

#[test]
fn one_picture_over_and_over_gives_one_pick_and_says_why() {
    let picture = scene(1);
    let candidates: Vec<Candidate> = (0..10).map(|n| candidate(&picture, 10 + n * 8, 0.0)).collect();
    let selection = select(&candidates, &shots(1), &Settings::default());
    assert_eq!(selection.picks.len(), 1);
    assert!(selection.notes.contains(&Note::Fewer { given: 1, wanted: 8 }));
}

#[test]
fn nothing_black_and_nothing_near_a_transition_is_picked_while_there_is_better() {
    let mut candidates = Vec::new();
    for n in 0..3 {
        let at = n as i64 * LENGTH;
        candidates.push(candidate(&scene(n), at + 2, 0.0)); // in the guard
        candidates.push(candidate(&map(&scene(n + 20), |v| v * 0.1), at + 50, 0.0)); // black
        candidates.push(candidate(&blur(&scene(n + 30), 1), at + 60, 0.0));
        candidates.push(candidate(&scene(n + 60), at + 85, 0.0)); // inside the dissolve that leaves the shot
    }
    let spans: Vec<ShotSpan> = (0..3)
        .map(|n| ShotSpan::new(Ticks(n * 100), Ticks(n * 100 + 100), Ticks(n * 100), Ticks(n * 100 + 80), Ticks(4)))
        .collect();
    let selection = select(&candidates, &spans, &Settings::default());
    let mut picked: Vec<usize> = selection.picks.iter().map(|p| p.candidate).collect();
    picked.sort_unstable();
    assert_eq!(picked, [2, 6, 10]);
}

#[test]
fn rules_give_way_one_by_one_and_are_named() {
    let near = [candidate(&scene(1), 1, 0.0)];
    let selection = select(&near, &shots(1), &Settings::default());
    assert_eq!((selection.picks.len(), selection.notes[0].clone()), (1, Note::NearTransitions));
    let black = [candidate(&vec![0; WIDTH * HEIGHT * 3], 50, 0.0)];
    let selection = select(&black, &shots(1), &Settings::default());
    assert_eq!((selection.picks.len(), selection.notes[0].clone()), (1, Note::OnlyPoor));
    assert_eq!(select(&[], &shots(1), &Settings::default()).notes, [Note::Fewer { given: 0, wanted: 8 }]);
    assert!(select(&near, &[], &Settings::default()).picks.is_empty());
}

#[test]
fn what_may_not_be_shown_gives_way_to_the_next_best_and_nothing_else_changes() {
    let (wanted, spans) = (Settings { count: 4, shots: 4, ..Settings::default() }, shots(12));
    let before = select(&title(12), &spans, &wanted).picks;
    let refused = before[1].candidate;
    let mut candidates = title(12);
    let mut asked = Vec::new();
    let after = select_shown(&mut candidates, &spans, &wanted, |pick| {
        asked.push(pick.candidate);
        Ok::<_, ()>(pick.candidate != refused)
    });
    let after = after.expect("nothing fails").picks;
    assert_eq!((after.len(), asked.len()), (4, 5), "each is asked about once, the replacement too: {asked:?}");
    for kept in before.iter().filter(|pick| pick.candidate != refused) {
        assert!(after.contains(kept), "{kept:?} is picked as it was");
    }
    let new: Vec<usize> = after.iter().map(|pick| pick.candidate).filter(|n| before.iter().all(|b| b.candidate != *n)).collect();
    let [new] = new[..] else { panic!("{new:?} take one's place") };
    assert_eq!((new, candidates[new].reject), (*asked.last().expect("asked"), None), "a good picture, and it was asked about");
}

#[test]
fn where_nothing_may_be_shown_nothing_is_picked_and_every_candidate_was_asked_about_once() {
    let mut candidates = title(12);
    let mut asked = 0;
    let none = select_shown(&mut candidates, &shots(12), &Settings::default(), |_| {
        asked += 1;
        Ok::<_, ()>(false)
    });
    let none = none.expect("nothing fails");
    assert_eq!((asked, none.picks.len()), (36, 0));
    assert_eq!(none.notes, [Note::Fewer { given: 0, wanted: 8 }]);
    assert_eq!(select_shown(&mut title(1), &shots(1), &Settings::default(), |_| Err("broken")), Err("broken"));
}

#[test]
fn the_category_follows_its_rules_and_character_needs_a_face() {
    let mut candidates = title(6);
    candidates[1].motion = 0.05;
    candidates[2].motion = 0.05;
    candidates[4].face = Some(0.1);
    candidates[5].face = Some(0.1);
    let key: Vec<u8> =
        (0..WIDTH * HEIGHT).flat_map(|i| if i % WIDTH > WIDTH * 4 / 5 { [200, 190, 170] } else { [(i % 23) as u8; 3] }).collect();
    candidates[7] = candidate(&key, 250, 0.0);
    candidates[6] = candidates[7].clone();
    candidates[8] = candidates[7].clone();
    let selection = select(&candidates, &shots(6), &Settings::default());
    let category = |shot: usize| selection.picks.iter().find(|p| p.shot == shot).map(|p| (p.category, p.confidence));
    assert_eq!(category(0).unwrap().0, Category::Action);
    assert_eq!(category(1).unwrap().0, Category::Character);
    assert_eq!(category(2).unwrap().0, Category::Dramatic);
    assert!(selection.picks.iter().filter(|p| p.shot != 1).all(|p| p.category != Category::Character));
    assert!(selection.picks.iter().all(|p| p.confidence > 0.0 && p.confidence <= 1.0));
    assert!(!selection.notes.contains(&Note::FacesUnknown));
}

#[test]
fn picks_are_cropped_to_the_titles_bars_but_never_more_than_their_own() {
    let candidates: Vec<Candidate> = (0..9)
        .map(|n| {
            let rows = if n == 4 { 0 } else { 22 };
            candidate(&barred(&scene(n), rows, 0), n as i64 * LENGTH + 50, 0.0)
        })
        .collect();
    let selection = select(&candidates, &shots(9), &Settings { count: 9, ..Settings::default() });
    for pick in selection.picks {
        let bars = HEIGHT as u32 - pick.crop.height;
        if pick.candidate == 4 { assert_eq!(bars, 0) } else { assert!(bars.abs_diff(46) <= 2, "{pick:?}") }
    }
}

#[test]
fn a_full_pool_stays_bounded_spread_and_keeps_the_better_of_neighbours() {
    let (good, soft) = (candidate(&scene(1), 0, 0.0), candidate(&blur(&scene(1), 4), 0, 0.0));
    let mut pool = Pool::new(10);
    let mut held = std::collections::BTreeSet::new();
    for n in 0..200i64 {
        let mut next = if n % 2 == 0 { good.clone() } else { soft.clone() };
        next.pts = Ticks(n);
        match pool.offer(next) {
            Offer::Kept { id } => assert!(held.insert(id)),
            Offer::Replaced { id, dropped } => assert!(held.insert(id) && held.remove(&dropped)),
            Offer::Refused => {}
        }
        assert!(held.len() <= 10 && held.len() == pool.len());
    }
    let mut late = good.clone();
    late.pts = Ticks(3);
    assert_eq!(pool.offer(late), Offer::Refused);
    let kept = pool.into_candidates();
    assert!(kept.iter().all(|(id, _)| held.contains(id)));
    assert!(kept.windows(2).all(|pair| pair[0].1.pts < pair[1].1.pts));
    let soft_kept = kept.iter().filter(|(_, c)| c.quality.overall < good.quality.overall).count();
    assert!(soft_kept <= 2, "{soft_kept} soft pictures kept");
    let widest = kept.windows(2).map(|pair| pair[1].1.pts.0 - pair[0].1.pts.0).max().unwrap();
    assert!(widest <= 70 && kept[0].1.pts.0 <= 70, "a hole of {widest}");
}
