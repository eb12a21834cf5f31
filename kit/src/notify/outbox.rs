//! Holds the notices of now and delivers each to every channel that takes it, until it is accepted or replaced.
//!
//! Sends requests by way of `wire` and reads the files of secrets. Each channel is served by itself, so one that is dead
//! delays no other.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::config::{NotifyConfig, NotifyError};
use super::secret::{Secret, SecretFile};
use super::wire::{Answer, Dialect, Outgoing, Wire};
use super::{Clean, Event, Notice, Severity, Told, alertmanager, pagerduty, slack, text};
use crate::clock::{Clock, Mono};
use crate::limit::Limit;

/// Most keys that are held.
pub const KEYS: usize = 256;
/// Most alerts in one request to an Alertmanager.
const BATCH: usize = 32;
/// Requests per second to one channel, all notices together. Slack allows one, `PagerDuty` eight.
const ALERTMANAGER_RATE: u32 = 5;
const SLACK_RATE: u32 = 1;
const PAGERDUTY_RATE: u32 = 4;
/// Part of a wait that differs from channel to channel and from wait to wait.
const JITTER_PERCENT: u64 = 20;
/// Longest name of what sends events.
const MAX_SOURCE: usize = 128;

/// Counts outcomes by channel: `sent`, `resent` (an alert that still fires), `retried`, `refused`, `dropped`. Channels are
/// named by the configuration, such as `slack/ops`.
pub type Count = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two sends of a firing alert.
    pub(super) resend: Duration,
    /// Wait after the first failure; doubles.
    pub(super) first_pause: Duration,
    /// Longest wait after a failure.
    pub(super) longest_pause: Duration,
    /// Between two looks at a secret that was refused.
    pub(super) look: Duration,
    /// Between two lines of the log that say that notices were dropped.
    pub(super) quiet: Duration,
}

impl Pace {
    fn of(config: &NotifyConfig) -> Self {
        Self {
            resend: config.resend(),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(1),
            look: Duration::from_secs(10),
            quiet: Duration::from_mins(1),
        }
    }
}

/// How far a notice has come on one channel, for people who look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Of the notice.
    pub key: String,
    /// Such as `slack/ops`.
    pub channel: String,
    /// Whether the notice begins or ends.
    pub event: Event,
    /// `waiting`, `delivered`, `refused`, or `told` when people knew it before.
    pub state: &'static str,
    /// What was wrong at the last attempt, if anything.
    pub last_error: Option<String>,
    /// Requests sent for this notice.
    pub attempts: u32,
}

/// See the module. Made once and shared.
///
/// A request whose answer was lost is sent again. Alertmanager and `PagerDuty` take the second for the first; a chat may show
/// a message twice, which is better than not at all.
pub struct Outbox {
    channels: Vec<Channel>,
    source: String,
    wire: Wire,
    pace: Pace,
    clock: Clock,
    count: Count,
    state: Mutex<State>,
}

struct Channel {
    label: String,
    way: Way,
    limit: Limit,
    wake: Notify,
}

enum Way {
    Alertmanager { url: Url, token: Option<SecretFile> },
    Slack { url: SecretFile, severities: Vec<Severity> },
    PagerDuty { url: Url, routing_key: SecretFile, severities: Vec<Severity> },
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    /// Notices taken so far.
    taken: u64,
    /// When the log was last told of a drop, and how many there have been since.
    drop_told: Option<Mono>,
    drops: u64,
}

struct Entry {
    notice: Arc<Clean>,
    /// Which notice it is; a newer one of the same key has another.
    number: u64,
    /// One per channel; none where the channel does not take it.
    slots: Vec<Option<Slot>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Delivered,
    Refused,
    Told,
}

struct Slot {
    stage: Stage,
    /// When it is to be sent next, if ever.
    due: Option<Mono>,
    failures: u32,
    attempts: u32,
    last_error: Option<String>,
    /// A request with others was refused: it is sent alone, to find out which one is bad.
    alone: bool,
}

/// What came of making room.
enum Room {
    Free,
    Dropped(Entry),
    None,
}

/// A notice that is being sent.
struct Picked {
    notice: Arc<Clean>,
    number: u64,
}

/// What serving a channel remembers.
#[derive(Default)]
struct Line {
    failures: u32,
    pauses: u64,
    paused_until: Mono,
    /// It does not take anything now, and the log knows.
    away: bool,
    /// The secret that was refused last, and when to look whether it has changed.
    refused: Option<(Secret, Mono)>,
}

impl Entry {
    fn wants(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    /// Nothing is left to be done.
    fn is_quiet(&self) -> bool {
        self.wants().all(|slot| slot.due.is_none() && slot.stage != Stage::Refused)
    }

    /// Nothing is lost when it is forgotten: what was refused of an end has been said.
    fn is_over(&self) -> bool {
        let ended = self.notice.event == Event::Resolved && self.wants().all(|slot| slot.due.is_none());
        ended || self.wants().next().is_none()
    }
}

impl Outbox {
    /// An outbox for the configured channels. `source` is what `PagerDuty` shows as the affected system: the operator's
    /// name in its cluster.
    pub fn new(config: &NotifyConfig, source: &str, clock: Clock, count: Count) -> Result<Self, NotifyError> {
        let refuse = |message: String| NotifyError { place: "notify".to_owned(), message };
        Self::with(config, source, clock, count, Pace::of(config), Wire::new().map_err(refuse)?)
    }

    pub(super) fn with(
        config: &NotifyConfig,
        source: &str,
        clock: Clock,
        count: Count,
        pace: Pace,
        wire: Wire,
    ) -> Result<Self, NotifyError> {
        config.check()?;
        let channel = |kind: &str, name: &str, rate: u32, way: Way| Channel {
            label: format!("{kind}/{name}"),
            way,
            limit: Limit::per_second(rate),
            wake: Notify::new(),
        };
        let alertmanagers = config.alertmanagers.iter().map(|at| {
            let token = at.credentials.as_deref().map(|folder| SecretFile::new(folder, "token"));
            let way = Way::Alertmanager { url: alertmanager::endpoint(&at.url), token };
            channel("alertmanager", &at.name, ALERTMANAGER_RATE, way)
        });
        let slack = config.slack.iter().map(|at| {
            let way = Way::Slack { url: SecretFile::new(&at.secret, "url"), severities: at.severities.clone() };
            channel("slack", &at.name, SLACK_RATE, way)
        });
        let pagerduty = config.pagerduty.iter().map(|at| {
            let routing_key = SecretFile::new(&at.secret, "routingKey");
            let way = Way::PagerDuty { url: at.url.clone(), routing_key, severities: at.severities.clone() };
            channel("pagerduty", &at.name, PAGERDUTY_RATE, way)
        });
        let source = Some(text::line(source, MAX_SOURCE)).filter(|source| !source.is_empty());
        Ok(Self {
            channels: alertmanagers.chain(slack).chain(pagerduty).collect(),
            source: source.unwrap_or("showrunner".to_owned()),
            wire,
            pace,
            clock,
            count,
            state: Mutex::default(),
        })
    }

    /// Takes a notice; never waits. One that is there already in this state changes nothing, so callers may put what is so
    /// each time they look. The state of a key is whether it fires; a newer state takes the place of an older one, sent or
    /// not. When there is no room, the least severe are dropped for a more severe one, and ends for beginnings; else the new
    /// one is dropped, and may find room when it is put again.
    pub fn put(&self, notice: &Notice, told: Told) {
        if self.channels.is_empty() {
            return;
        }
        let (now, key) = (self.clock.mono(), text::key(&notice.key));
        let mut state = self.lock();
        if state.entries.get(&key).is_some_and(|entry| entry.notice.event == notice.event) {
            return;
        }
        let mut notice = Clean::of(notice);
        let mut unsent = Vec::new();
        match state.entries.get(&key) {
            Some(before) if notice.event == Event::Resolved => notice.ends(&before.notice),
            Some(_) => {}
            None => match state.make_room(notice.severity, notice.event) {
                Room::Free => {}
                Room::Dropped(entry) => unsent = self.unsent(&entry.slots),
                Room::None => {
                    unsent = self.unsent(&self.slots(notice.severity, told, now));
                    self.dropped(state, now, &unsent);
                    return;
                }
            },
        }
        state.taken += 1;
        let entry = Entry { number: state.taken, slots: self.slots(notice.severity, told, now), notice: Arc::new(notice) };
        state.entries.insert(key, entry);
        self.dropped(state, now, &unsent);
        for channel in &self.channels {
            channel.wake.notify_one();
        }
    }

    /// Delivers until it is stopped. What is on its way then is waited for, a few seconds at most; what still waits is not
    /// sent. Only one may run at a time.
    pub async fn run(&self, stop: CancellationToken) {
        futures::future::join_all((0..self.channels.len()).map(|at| self.serve(at, &stop))).await;
        // Without channels there is nothing to do, but being done early would look like a failure.
        stop.cancelled().await;
    }

    /// How far everything has come.
    pub fn state(&self) -> Vec<Delivery> {
        let state = self.lock();
        let one = |entry: &Entry, at: usize, slot: &Slot| Delivery {
            key: entry.notice.key.clone(),
            channel: self.channels[at].label.clone(),
            event: entry.notice.event,
            state: match slot.stage {
                Stage::Waiting => "waiting",
                Stage::Delivered => "delivered",
                Stage::Refused => "refused",
                Stage::Told => "told",
            },
            last_error: slot.last_error.clone(),
            attempts: slot.attempts,
        };
        let slots = |entry: &Entry| -> Vec<_> {
            entry.slots.iter().enumerate().filter_map(|(at, slot)| Some(one(entry, at, slot.as_ref()?))).collect()
        };
        state.entries.values().flat_map(slots).collect()
    }

    /// Whether every channel that takes the last notice of this key has accepted it, once at least, or knew it before.
    pub fn delivered(&self, key: &str) -> bool {
        self.is_done(key, |_| true)
    }

    /// As [`Outbox::delivered`], of chats only: where it would be told twice, were it put as [`Told::New`] again.
    pub fn told(&self, key: &str) -> bool {
        self.is_done(key, |way| matches!(way, Way::Slack { .. }))
    }

    fn is_done(&self, key: &str, counts: fn(&Way) -> bool) -> bool {
        if self.channels.is_empty() {
            return true;
        }
        let state = self.lock();
        let Some(entry) = state.entries.get(&text::key(key)) else { return false };
        let mut slots = self.channels.iter().zip(&entry.slots).filter(|(channel, _)| counts(&channel.way));
        slots.all(|(_, slot)| slot.as_ref().is_none_or(|slot| matches!(slot.stage, Stage::Delivered | Stage::Told)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self, severity: Severity, told: Told, now: Mono) -> Vec<Option<Slot>> {
        let slot = |channel: &Channel| {
            let chat = matches!(channel.way, Way::Slack { .. });
            channel.way.takes(severity).then(|| match told {
                Told::Before if chat => Slot::new(Stage::Told, None),
                _ => Slot::new(Stage::Waiting, Some(now)),
            })
        };
        self.channels.iter().map(slot).collect()
    }

    /// Indices of channels that have not got it.
    fn unsent(&self, slots: &[Option<Slot>]) -> Vec<usize> {
        let open = |at: &usize| slots[*at].as_ref().is_some_and(|slot| slot.stage == Stage::Waiting);
        (0..self.channels.len()).filter(open).collect()
    }

    /// Counts what was dropped, and says so from time to time. Takes the guard, to let go of it before it calls anybody.
    fn dropped(&self, mut state: MutexGuard<'_, State>, now: Mono, unsent: &[usize]) {
        if unsent.is_empty() {
            return;
        }
        state.drops += 1;
        let silent = state.drop_told.is_some_and(|last| now.saturating_sub(last) < self.pace.quiet);
        let drops = if silent { 0 } else { std::mem::take(&mut state.drops) };
        if !silent {
            state.drop_told = Some(now);
        }
        drop(state);
        if drops > 0 {
            tracing::warn!(
                drops,
                held = KEYS,
                "failed to keep all notices: there is no room for so many, the least severe are dropped"
            );
        }
        for at in unsent {
            (self.count)(&self.channels[*at].label, "dropped");
        }
    }

    /// Serves one channel.
    async fn serve(&self, at: usize, stop: &CancellationToken) {
        let channel = &self.channels[at];
        let mut line = Line::default();
        while !stop.is_cancelled() {
            let now = self.clock.mono();
            self.look_again(at, &mut line, now);
            let ready = self.lock().due(at).map(|due| due.max(line.paused_until));
            let looks = line.refused.as_ref().map(|(_, look)| *look);
            let turn = ready.is_some_and(|ready| ready <= now);
            let wait = if turn { Some(now + channel.limit.book(now)) } else { ready.into_iter().chain(looks).min() };
            let sleep = async {
                match wait {
                    Some(until) => tokio::time::sleep_until(self.clock.instant(until)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep => {}
                // A place in the rate limit is booked: newer notices are seen when it comes.
                () = channel.wake.notified(), if !turn => {}
            }
            if turn {
                self.deliver(at, &mut line).await;
            }
        }
    }

    /// Has everything that was refused sent again when the secret has changed since.
    fn look_again(&self, at: usize, line: &mut Line, now: Mono) {
        let Some((refused, look)) = &mut line.refused else { return };
        if *look > now {
            return;
        }
        *look = now + self.pace.look;
        let Some(Ok(secret)) = self.channels[at].way.secret().map(SecretFile::read) else { return };
        if secret == *refused {
            return;
        }
        line.refused = None;
        for entry in self.lock().entries.values_mut() {
            if let Some(slot) = entry.slots[at].as_mut().filter(|slot| slot.stage == Stage::Refused) {
                *slot = Slot { attempts: slot.attempts, ..Slot::new(Stage::Waiting, Some(now)) };
            }
        }
    }

    /// Sends what is most urgent.
    async fn deliver(&self, at: usize, line: &mut Line) {
        let channel = &self.channels[at];
        let picked = self.lock().pick(at, self.clock.mono(), channel.way.early(self.pace));
        if picked.is_empty() {
            return;
        }
        let notices: Vec<&Clean> = picked.iter().map(|picked| &*picked.notice).collect();
        let outgoing = channel.way.request(&notices, &self.source, self.clock.now(), self.pace.resend);
        let (secret, answer) = match outgoing {
            Ok(outgoing) => (outgoing.secret.clone(), self.wire.send(outgoing).await),
            Err(error) => (None, Answer::later(error)),
        };
        self.settle(at, line, &picked, secret, &answer);
    }

    /// Writes down what came of a request.
    fn settle(&self, at: usize, line: &mut Line, picked: &[Picked], secret: Option<Secret>, answer: &Answer) {
        let (channel, now) = (&self.channels[at], self.clock.mono());
        self.turned(channel, line, answer, now);
        if let (Answer::Refused { .. }, Some(secret)) = (answer, secret) {
            line.refused = Some((secret, now + self.pace.look));
        }
        let stateless = matches!(channel.way, Way::Alertmanager { .. });
        let mut outcomes = Vec::new();
        let mut refused = Vec::new();
        let mut state = self.lock();
        for one in picked {
            let entry = state.entries.get_mut(&one.notice.key).filter(|entry| entry.number == one.number);
            // A newer notice of the key has taken its place, and that one is still to be sent.
            let Some(slot) = entry.and_then(|entry| entry.slots[at].as_mut()) else { continue };
            let again = (stateless && one.notice.event == Event::Firing).then(|| now + self.pace.resend);
            match answer {
                Answer::Accepted => {
                    outcomes.push(if slot.stage == Stage::Delivered { "resent" } else { "sent" });
                    *slot = Slot { attempts: slot.attempts, ..Slot::new(Stage::Delivered, again) };
                }
                Answer::Later { error, .. } => {
                    outcomes.push("retried");
                    slot.failures = slot.failures.saturating_add(1);
                    slot.due = Some(now + self.pace.pause(&channel.label, slot.failures, one.number));
                    slot.last_error = Some(error.clone());
                }
                // One of them is bad, and the answer does not say which.
                Answer::Refused { .. } if picked.len() > 1 => (slot.alone, slot.due) = (true, Some(now)),
                Answer::Refused { error } => {
                    outcomes.push("refused");
                    if slot.last_error.as_ref() != Some(error) {
                        refused.push((one.notice.key.clone(), error.clone()));
                    }
                    slot.last_error = Some(error.clone());
                    // What was accepted before stays that: its next send is due as ever.
                    if slot.stage != Stage::Delivered {
                        slot.stage = Stage::Refused;
                    }
                    slot.due = again;
                }
            }
        }
        drop(state);
        for (key, error) in refused {
            tracing::warn!(channel = channel.label, key, error, "failed to tell people: the channel refuses the notice");
        }
        for outcome in outcomes {
            (self.count)(&channel.label, outcome);
        }
    }

    /// The channel as a whole: it is left alone for a while after a failure, and the log hears when that begins and ends.
    fn turned(&self, channel: &Channel, line: &mut Line, answer: &Answer, now: Mono) {
        let Answer::Later { error, after } = answer else {
            line.failures = 0;
            if std::mem::take(&mut line.away) {
                tracing::info!(channel = channel.label, "a channel that people are told by answers again");
            }
            return;
        };
        line.failures = line.failures.saturating_add(1);
        line.pauses += 1;
        let pause = self.pace.pause(&channel.label, line.failures, line.pauses);
        line.paused_until = now + pause.max(after.unwrap_or_default());
        if !std::mem::replace(&mut line.away, true) {
            tracing::warn!(channel = channel.label, error, "failed to tell people: it is tried again until the channel answers");
        }
    }
}

impl Pace {
    /// Wait after so many failures in a row. `salt` makes one differ from the next.
    fn pause(&self, label: &str, failures: u32, salt: u64) -> Duration {
        let mut hasher = DefaultHasher::new();
        (label, failures, salt).hash(&mut hasher);
        let plain = self.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest_pause);
        plain * (100 - u32::try_from(hasher.finish() % (JITTER_PERCENT + 1)).unwrap_or_default()) / 100
    }
}

impl Slot {
    fn new(stage: Stage, due: Option<Mono>) -> Self {
        Self { stage, due, failures: 0, attempts: 0, last_error: None, alone: false }
    }
}

impl Way {
    fn takes(&self, severity: Severity) -> bool {
        match self {
            Self::Alertmanager { .. } => true,
            Self::Slack { severities, .. } | Self::PagerDuty { severities, .. } => severities.contains(&severity),
        }
    }

    fn secret(&self) -> Option<&SecretFile> {
        match self {
            Self::Alertmanager { token, .. } => token.as_ref(),
            Self::Slack { url, .. } => Some(url),
            Self::PagerDuty { routing_key, .. } => Some(routing_key),
        }
    }

    /// How early others are sent along when one alert is due. None: only one goes into a request.
    fn early(&self, pace: Pace) -> Option<Duration> {
        matches!(self, Self::Alertmanager { .. }).then(|| pace.resend / 4)
    }

    /// The request that tells these notices: one, but for Alertmanager, which takes many.
    fn request(&self, notices: &[&Clean], source: &str, now: Timestamp, resend: Duration) -> Result<Outgoing, String> {
        let secret = self.secret().map(SecretFile::read).transpose()?;
        let (dialect, url, body) = match (self, notices, &secret) {
            (Self::Alertmanager { url, .. }, notices, _) => {
                (Dialect::Alertmanager, url.clone(), alertmanager::body(notices.iter().copied(), now, resend))
            }
            (Self::Slack { url, .. }, [notice, ..], Some(secret)) => {
                let parsed = Url::parse(secret.expose()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
                let parsed = parsed.ok_or_else(|| url.refuse("it must hold an http(s) URL"))?;
                (Dialect::Slack, parsed, slack::body(notice))
            }
            (Self::PagerDuty { url, .. }, [notice, ..], Some(secret)) => {
                (Dialect::PagerDuty, url.clone(), pagerduty::body(notice, secret, source))
            }
            _ => return Err("failed to make a request of nothing".to_owned()),
        };
        let bearer = if dialect == Dialect::Alertmanager { secret.clone() } else { None };
        Ok(Outgoing { url, bearer, body: body.to_string().into_bytes(), dialect, secret })
    }
}

impl State {
    /// When the channel has something to do next.
    fn due(&self, at: usize) -> Option<Mono> {
        self.entries.values().filter_map(|entry| entry.slots[at].as_ref()?.due).min()
    }

    /// Takes what is due on a channel, the most urgent first: one notice, or, where `early` says that a request may have
    /// many, those that go well with it.
    fn pick(&mut self, at: usize, now: Mono, early: Option<Duration>) -> Vec<Picked> {
        let mut due: Vec<_> = self
            .entries
            .values_mut()
            .filter_map(|entry| {
                let (notice, number) = (&entry.notice, entry.number);
                let slot = entry.slots[at].as_mut()?;
                let ahead = if slot.stage == Stage::Delivered { early.unwrap_or_default() } else { Duration::ZERO };
                (slot.due? <= now + ahead).then_some((notice, number, slot))
            })
            .collect();
        due.sort_by_key(|(notice, number, slot)| {
            (slot.due > Some(now), Reverse(notice.severity), slot.stage == Stage::Delivered, slot.failures, *number)
        });
        let alone = due.first().is_some_and(|(_, _, slot)| slot.alone);
        let most = if early.is_none() || alone { 1 } else { BATCH };
        let batch = due.into_iter().filter(|(_, _, slot)| slot.alone == alone).take(most);
        let picked = batch.map(|(notice, number, slot)| {
            slot.attempts = slot.attempts.saturating_add(1);
            Picked { notice: Arc::clone(notice), number }
        });
        picked.collect()
    }

    /// Makes room for a notice.
    fn make_room(&mut self, severity: Severity, event: Event) -> Room {
        if self.entries.len() < KEYS {
            return Room::Free;
        }
        let over = self.entries.iter().filter(|(_, entry)| entry.is_over()).min_by_key(|(_, entry)| entry.number);
        if let Some(key) = over.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
            return Room::Free;
        }
        // Never one that fires for another that matters no more: each would be put again and drive out the other, and
        // people would be told of both without end.
        let lesser = |entry: &Entry| {
            let end = event == Event::Firing && entry.notice.event == Event::Resolved;
            entry.notice.severity < severity || (end && entry.notice.severity == severity)
        };
        let rank = |entry: &Entry| (entry.notice.severity, entry.notice.event == Event::Firing, !entry.is_quiet(), entry.number);
        let least = self.entries.iter().filter(|(_, entry)| lesser(entry)).min_by_key(|(_, entry)| rank(entry));
        let key = least.map(|(key, _)| key.clone());
        key.and_then(|key| self.entries.remove(&key)).map_or(Room::None, Room::Dropped)
    }
}

// Its channels know where secrets lie, and nobody needs them printed.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("channels", &self.channels.len()).finish_non_exhaustive()
    }
}
