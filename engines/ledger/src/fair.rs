//! Who is next among those that wait for money: fair queueing over namespaces by weight, oldest first within each.
//!
//! Every waiting namespace has a virtual time. The one with the least is next, and an admission advances it by what the job
//! needs over the namespace's weight, so a long backlog shares the money by weight. Ties go to whoever came to that virtual
//! time first.
//!
//! A namespace that begins to wait starts at the least virtual time of those not stepped over, behind those already
//! there. Each admission takes a namespace past that point, so every other one is admitted at most once before it,
//! whatever it needs and however many jobs it has. The price: a namespace that has nothing waiting is forgotten, and so
//! is what it had. Who enters one job at a time thus shares admissions with the others, not money. To remember its large
//! job would make its next one wait behind any number of small ones, and that is the delay we promise not to have.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use crate::amount::Amount;

/// Virtual time of one millionth at weight 1. Large, so that dividing by a weight loses nothing that counts.
const SCALE: i128 = 1 << 32;
/// The least that an admission advances, a thousandth of a unit: jobs that need nothing take turns too.
const LEAST: Amount = Amount::from_micros(1_000);

/// A job that waits for money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What names it, unique among all that wait.
    pub key: String,
    /// Whose it is: namespaces share, jobs of one namespace queue.
    pub namespace: String,
    /// When it was created, in milliseconds since 1970.
    pub since: i64,
    /// What it would reserve.
    pub need: Amount,
}

/// What a budget says to a waiting job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// There is money for it.
    Now,
    /// There will be, should reservations settle below their bound.
    Later,
    /// There will not be in this period, even if every open reservation cost nothing.
    NotInThisPeriod,
}

/// A namespace's place: virtual time, then the turn in which it came there. No two share a turn.
type Place = (i128, u64);

#[derive(Clone, Debug)]
struct Namespace {
    place: Place,
    /// Never empty. By creation, then key.
    waiting: BTreeMap<(i64, String), Waiting>,
}

/// How far the queue has come. The queue has one, and so has every walk through what would be.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// The furthest place from which one was admitted. Only namespaces that were stepped over wait before it.
    last: Place,
    turn: u64,
}

impl Clock {
    fn turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    /// The virtual time at which one begins to wait: that of the next of those that were not stepped over. Were it less,
    /// one that enters a job at a time would be before them each time.
    fn begin<T>(self, places: &BTreeMap<Place, T>) -> i128 {
        places.range((Bound::Excluded(self.last), Bound::Unbounded)).next().map_or(self.last.0, |(place, _)| place.0)
    }

    /// The place after an admission; `places` are those of the others. One that was stepped over has saved nothing up but
    /// this one turn.
    fn admit<T>(&mut self, place: Place, places: &BTreeMap<Place, T>, need: Amount, weight: u32) -> Place {
        let from = if place < self.last { self.begin(places) } else { place.0 };
        self.last = self.last.max(place);
        let step = need.max(LEAST).micros().saturating_mul(SCALE) / i128::from(weight);
        (from.saturating_add(step), self.turn())
    }
}

/// All that wait. Kept in memory only: built anew, everybody starts level, in the order of entering.
#[derive(Clone, Debug, Default)]
pub struct Fair {
    namespaces: BTreeMap<String, Namespace>,
    /// The namespace and the creation of each key.
    keys: BTreeMap<String, (String, i64)>,
    /// Namespaces that wait, next first.
    places: BTreeMap<Place, String>,
    weights: BTreeMap<String, u32>,
    clock: Clock,
}

impl Fair {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Shares of the namespaces, from the next admission on. One that is not named has 1, and so has one with 0: a
    /// namespace that shall get nothing has a limit of its own, not a weight.
    pub fn weights(&mut self, weights: &BTreeMap<String, u32>) {
        self.weights.clone_from(weights);
    }

    /// Begins to wait. A key that waits already keeps its namespace and its place; only its need is brought up to date.
    pub fn enter(&mut self, waiting: Waiting) {
        if let Some((namespace, since)) = self.keys.get(&waiting.key) {
            let known = self.namespaces.get_mut(namespace).and_then(|known| known.waiting.get_mut(&(*since, waiting.key)));
            if let Some(known) = known {
                known.need = waiting.need;
            }
            return;
        }
        self.keys.insert(waiting.key.clone(), (waiting.namespace.clone(), waiting.since));
        let namespace = self.namespaces.entry(waiting.namespace.clone()).or_insert_with(|| {
            let place = (self.clock.begin(&self.places), self.clock.turn());
            self.places.insert(place, waiting.namespace.clone());
            Namespace { place, waiting: BTreeMap::new() }
        });
        namespace.waiting.insert((waiting.since, waiting.key.clone()), waiting);
    }

    /// Waits no longer, for whatever reason but an admission; gives what waited.
    pub fn leave(&mut self, key: &str) -> Option<Waiting> {
        let (name, since) = self.keys.remove(key)?;
        let namespace = self.namespaces.get_mut(&name)?;
        let gone = namespace.waiting.remove(&(since, key.to_owned()));
        if namespace.waiting.is_empty() {
            self.places.remove(&namespace.place);
            self.namespaces.remove(&name);
        }
        if self.keys.is_empty() {
            // Nothing is left to compare with, so the clock may as well start anew and never runs out.
            self.clock = Clock::default();
        }
        gone
    }

    /// Was admitted: waits no longer, and its namespace has had its need. Gives what waited.
    pub fn served(&mut self, key: &str) -> Option<Waiting> {
        let (name, since) = self.keys.get(key)?.clone();
        let weight = self.weight(&name);
        let namespace = self.namespaces.get_mut(&name)?;
        let need = namespace.waiting.get(&(since, key.to_owned()))?.need;
        // The clock moves on even where the namespace has nothing more to wait for.
        self.places.remove(&namespace.place);
        namespace.place = self.clock.admit(namespace.place, &self.places, need, weight);
        self.places.insert(namespace.place, name);
        let waited = self.leave(key)?;
        Some(waited)
    }

    /// Who is next.
    #[must_use]
    pub fn head(&self) -> Option<&Waiting> {
        let (_, name) = self.places.first_key_value()?;
        self.namespaces.get(name)?.waiting.values().next()
    }

    /// The whole queue in the order in which it would be served if nobody else came.
    #[must_use]
    pub fn order(&self) -> Vec<&Waiting> {
        Walk::new(self).collect()
    }

    /// How many are before it; nothing for one that does not wait.
    #[must_use]
    pub fn position(&self, key: &str) -> Option<usize> {
        self.keys.get(key)?;
        Walk::new(self).position(|waiting| waiting.key == key)
    }

    /// Whom to admit now, in order: [`admissible`] over this queue, but for one thing. A job that is not for this period
    /// costs its namespace no turn, so it does not hold up the jobs behind it there either.
    pub fn admissible(&self, mut fits: impl FnMut(&Waiting, Amount) -> Fit) -> Vec<&Waiting> {
        let (mut walk, mut taken) = (Walk::new(self), Taken::default());
        while let Some(step) = walk.step() {
            match taken.ask(step.waiting, &mut fits) {
                Fit::Now => walk.admit(step),
                Fit::Later => break,
                Fit::NotInThisPeriod => walk.pass(step),
            }
        }
        taken.jobs
    }

    fn weight(&self, namespace: &str) -> u32 {
        self.weights.get(namespace).copied().unwrap_or(1).max(1)
    }
}

/// Of an order at hand, whom to admit now. `fits` is asked about each job with what the walk has promised before it.
///
/// The walk ends at the first that must wait, for all behind it. Cores are given back whole, so a scheduler may fill a hole
/// with what fits and still start the large job later. Money only comes back as far as a reservation settles below its
/// bound. Small jobs that slip past would take that up each time, and the large one would starve. A job that cannot have its
/// money in this period whatever comes back is stepped over: there is nothing to hold open for it, and it holds up nobody.
pub fn admissible<'a>(
    order: impl IntoIterator<Item = &'a Waiting>,
    mut fits: impl FnMut(&Waiting, Amount) -> Fit,
) -> Vec<&'a Waiting> {
    let mut taken = Taken::default();
    for waiting in order {
        if taken.ask(waiting, &mut fits) == Fit::Later {
            break;
        }
    }
    taken.jobs
}

/// Whom a walk has taken, and what it promised them.
#[derive(Default)]
struct Taken<'a> {
    jobs: Vec<&'a Waiting>,
    promised: Amount,
}

impl<'a> Taken<'a> {
    fn ask(&mut self, waiting: &'a Waiting, fits: &mut impl FnMut(&Waiting, Amount) -> Fit) -> Fit {
        let fit = fits(waiting, self.promised);
        if fit == Fit::Now {
            self.promised += waiting.need;
            self.jobs.push(waiting);
        }
        fit
    }
}

/// A walk through the queue as it would be served, which changes nothing.
struct Walk<'a> {
    fair: &'a Fair,
    places: BTreeMap<Place, &'a str>,
    namespaces: BTreeMap<&'a str, Rest<'a>>,
    clock: Clock,
}

/// What a walk has before it of one namespace.
struct Rest<'a> {
    jobs: btree_map::Values<'a, (i64, String), Waiting>,
    /// It keeps waiting for a job that was stepped over.
    stays: bool,
}

/// The next one, whose namespace is not back in the walk yet.
#[derive(Clone, Copy)]
struct Step<'a> {
    waiting: &'a Waiting,
    place: Place,
}

impl<'a> Walk<'a> {
    fn new(fair: &'a Fair) -> Self {
        let places = fair.places.iter().map(|(place, name)| (*place, name.as_str())).collect();
        let rest = |namespace: &'a Namespace| Rest { jobs: namespace.waiting.values(), stays: false };
        let namespaces = fair.namespaces.iter().map(|(name, namespace)| (name.as_str(), rest(namespace))).collect();
        Self { fair, places, namespaces, clock: fair.clock }
    }

    fn step(&mut self) -> Option<Step<'a>> {
        loop {
            let (place, name) = self.places.pop_first()?;
            if let Some(waiting) = self.namespaces.get_mut(name).and_then(|rest| rest.jobs.next()) {
                return Some(Step { waiting, place });
            }
        }
    }

    fn admit(&mut self, step: Step<'a>) {
        let Step { waiting, place } = step;
        let name = waiting.namespace.as_str();
        let next = self.clock.admit(place, &self.places, waiting.need, self.fair.weight(name));
        if self.namespaces.get(name).is_some_and(|rest| rest.stays || rest.jobs.len() > 0) {
            self.places.insert(next, name);
        }
    }

    fn pass(&mut self, step: Step<'a>) {
        let name = step.waiting.namespace.as_str();
        if let Some(rest) = self.namespaces.get_mut(name) {
            rest.stays = true;
        }
        self.places.insert(step.place, name);
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a Waiting;

    fn next(&mut self) -> Option<&'a Waiting> {
        let step = self.step()?;
        let waiting = step.waiting;
        self.admit(step);
        Some(waiting)
    }
}

#[cfg(test)]
#[path = "fair_tests.rs"]
mod tests;
