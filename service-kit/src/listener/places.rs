//! Which connection makes way for a new one. No I/O.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::activity::{Activity, Stage};
use super::limits::Limits;

/// The connections that a listener has open.
#[derive(Debug, Default)]
pub(super) struct Places {
    entries: HashMap<u64, Entry>,
    by_address: HashMap<IpAddr, Address>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    activity: Arc<Activity>,
    address: IpAddr,
    is_leaving: bool,
}

#[derive(Debug)]
struct Address {
    /// Connections that stay.
    count: usize,
    /// See [`Activity::freed`].
    freed: Arc<Notify>,
}

/// The outcome for a new connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// It is accepted, under this number.
    Entered(u64),
    /// Its address has reached its limit, and none of its connections can close for it.
    AddressFull,
    /// It waits until another one has closed.
    Wait,
}

impl Places {
    /// Notified when a connection of `address` becomes idle or ends.
    pub(super) fn freed(&self, address: IpAddr) -> Arc<Notify> {
        let known = self.by_address.get(&address.to_canonical());
        known.map_or_else(Arc::default, |known| Arc::clone(&known.freed))
    }

    /// Looks for a place for a connection of `address`, and asks another to leave where that is
    /// needed. `is_urgent` asks one more to leave when those asked before have not left.
    pub(super) fn enter(
        &mut self,
        address: IpAddr,
        activity: &Arc<Activity>,
        limits: &Limits,
        is_urgent: bool,
    ) -> Entrance {
        let address = address.to_canonical();
        let now = Instant::now();
        let of_address = self.by_address.get(&address).map_or(0, |it| it.count);
        let most = limits.connections_per_address.unwrap_or(usize::MAX);
        // A connection that was asked to close no longer counts for its address: its client cannot delay the
        // accept loop by closing slowly.
        if of_address >= most
            && !self.ask(limits, now, |entry| {
                entry.address == address && !entry.is_new(now)
            })
        {
            return Entrance::AddressFull;
        }
        if self.entries.len() >= limits.connections {
            // Connections leave at once. One that has just received a whole request answers it first.
            let is_awaited = self
                .entries
                .values()
                .any(|entry| entry.is_leaving && !entry.activity.is_busy());
            if is_urgent || !is_awaited {
                self.ask(limits, now, |_| true);
            }
            return Entrance::Wait;
        }
        let number = self.next;
        self.next += 1;
        activity.entered();
        let known = self.by_address.entry(address).or_insert_with(|| Address {
            count: 0,
            freed: Arc::clone(activity.freed()),
        });
        known.count += 1;
        self.entries.insert(
            number,
            Entry {
                activity: Arc::clone(activity),
                address,
                is_leaving: false,
            },
        );
        Entrance::Entered(number)
    }

    /// The connection of this number has left.
    pub(super) fn left(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else {
            return;
        };
        if !entry.is_leaving {
            self.release(entry.address);
        }
        entry.activity.freed().notify_one();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Asks one connection to leave, and returns whether there was one: of the lowest [`Rank`], the one
    /// that has been in its stage for longest.
    fn ask(
        &mut self,
        limits: &Limits,
        now: Instant,
        is_candidate: impl Fn(&Entry) -> bool,
    ) -> bool {
        let stay = self.entries.values_mut().filter(|entry| !entry.is_leaving);
        let candidates = stay
            .filter(|entry| is_candidate(entry))
            .filter_map(|entry| {
                let rank = entry.rank(limits, now)?;
                Some(((rank, entry.activity.since()), entry))
            });
        let Some((_, entry)) = candidates.min_by_key(|(order, _)| *order) else {
            return false;
        };
        entry.is_leaving = true;
        entry.activity.leave();
        let address = entry.address;
        self.release(address);
        true
    }

    fn release(&mut self, address: IpAddr) {
        if let Some(known) = self.by_address.get_mut(&address) {
            known.count -= 1;
            if known.count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Entry {
    /// Whether the connection may still be in its handshake or about to send its first request.
    fn is_new(&self, now: Instant) -> bool {
        let is_silent = matches!(self.activity.stage(), Stage::Idle | Stage::Head);
        is_silent && !self.activity.has_served() && self.is_recent(now)
    }

    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.activity.since()) < RECENT
    }

    /// `None` for a connection that must not be closed.
    fn rank(&self, limits: &Limits, now: Instant) -> Option<Rank> {
        let is_kept = limits.unanswered_first && self.activity.has_served();
        let is_slow = now.saturating_duration_since(self.activity.since()) >= SLOW;
        match (self.activity.stage(), self.is_recent(now)) {
            (Stage::Idle | Stage::Head, false) if is_kept => Some(Rank::Answered),
            (Stage::Idle | Stage::Head, false) => Some(Rank::Idle),
            (Stage::Idle | Stage::Head, true) if is_kept => Some(Rank::JustAnswered),
            (Stage::Idle | Stage::Head, true) => Some(Rank::New),
            (Stage::Writing | Stage::Flushing, _) => is_slow.then_some(Rank::NotReading),
            (Stage::Receiving, _) => is_slow.then_some(Rank::NotSending),
            (Stage::Busy, _) => None,
        }
    }
}

/// In which order connections make way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Idle. With [`Limits::unanswered_first`], only those without an answer so far.
    Idle,
    /// Idle, after an answer.
    Answered,
    /// Its client does not read the answer.
    NotReading,
    /// Its client has not sent the whole body.
    NotSending,
    /// It may be in its handshake.
    New,
    /// It may be about to send its next request.
    JustAnswered,
}

/// For a TLS handshake and the first bytes of a request.
const RECENT: Duration = Duration::from_secs(1);

/// For a body or the rest of an answer: several MB in a cluster's network.
const SLOW: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;
    use tokio::time::advance;

    const LIMITS: Limits = Limits {
        connections: 4,
        connections_per_address: Some(2),
        ..Limits::DEFAULT
    };

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(127, 0, 0, last).into()
    }

    fn new(start: Instant) -> Arc<Activity> {
        Arc::new(Activity::new(start, Arc::default()))
    }

    /// Enters a connection that has a place, a moment after the one before.
    async fn entered(places: &mut Places, start: Instant, last: u8) -> (u64, Arc<Activity>) {
        advance(Duration::from_secs(1)).await;
        let activity = new(start);
        match places.enter(address(last), &activity, &LIMITS, false) {
            Entrance::Entered(number) => (number, activity),
            other => panic!("{other:?}"),
        }
    }

    fn serve(activity: &Activity) {
        activity.read();
        activity.begun();
        activity.answered();
        activity.flushed();
        activity.settle();
    }

    fn is_asked(activity: &Activity) -> bool {
        let mut leaving = std::pin::pin!(activity.leaving());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        leaving.as_mut().poll(&mut context).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn asks_the_oldest_idle_connection_where_answers_do_not_count() {
        let limits = Limits {
            unanswered_first: false,
            ..LIMITS
        };
        let (mut places, start) = (Places::default(), Instant::now());
        let (_, served) = entered(&mut places, start, 1).await;
        serve(&served);
        let (_, silent) = entered(&mut places, start, 1).await;
        for last in [2, 2] {
            let (_, busy) = entered(&mut places, start, last).await;
            busy.begun();
        }
        let entrance = places.enter(address(3), &new(start), &limits, false);
        assert_eq!(entrance, Entrance::Wait);
        assert!(is_asked(&served) && !is_asked(&silent));
    }

    #[tokio::test(start_paused = true)]
    async fn asks_the_oldest_silent_connection_when_full() {
        let (mut places, start) = (Places::default(), Instant::now());
        let (_, served) = entered(&mut places, start, 1).await;
        serve(&served);
        let (number, silent) = entered(&mut places, start, 1).await;
        let (_, later) = entered(&mut places, start, 2).await;
        let (_, busy) = entered(&mut places, start, 2).await;
        busy.begun();
        let late = new(start);
        let mut enter = |urgent| places.enter(address(3), &late, &LIMITS, urgent);
        assert_eq!(enter(false), Entrance::Wait);
        assert!(is_asked(&silent) && !is_asked(&later) && !is_asked(&served));
        // One is enough, until it has taken too long.
        assert_eq!(enter(false), Entrance::Wait);
        assert!(!is_asked(&later));
        assert_eq!(enter(true), Entrance::Wait);
        assert!(is_asked(&later));
        assert_eq!(enter(true), Entrance::Wait);
        assert!(is_asked(&served), "one that was served comes last");
        assert_eq!(enter(true), Entrance::Wait);
        assert!(!is_asked(&busy));
        places.left(number);
        let entrance = places.enter(address(3), &late, &LIMITS, false);
        assert!(matches!(entrance, Entrance::Entered(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_at_its_limit_gives_up_its_own_connection() {
        let (mut places, start) = (Places::default(), Instant::now());
        let (_, other) = entered(&mut places, start, 2).await;
        let (_, busy) = entered(&mut places, start, 1).await;
        busy.begun();
        let (_, silent) = entered(&mut places, start, 1).await;
        let (_, third) = entered(&mut places, start, 1).await;
        assert!(is_asked(&silent) && !is_asked(&other));
        third.begun();
        let entrance = places.enter(address(1), &new(start), &LIMITS, false);
        assert_eq!(entrance, Entrance::AddressFull);
        // The same address in an IPv6 socket.
        let mapped = Ipv4Addr::new(127, 0, 0, 1).to_ipv6_mapped().into();
        let entrance = places.enter(mapped, &new(start), &LIMITS, false);
        assert_eq!(entrance, Entrance::AddressFull);
        assert!(!is_asked(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_does_not_make_way_for_its_own_address() {
        let (mut places, start) = (Places::default(), Instant::now());
        let (_, busy) = entered(&mut places, start, 1).await;
        busy.begun();
        let (_, shaking_hands) = entered(&mut places, start, 1).await;
        let mut enter = || places.enter(address(1), &new(start), &LIMITS, false);
        assert_eq!(enter(), Entrance::AddressFull);
        assert!(!is_asked(&shaking_hands));
        advance(RECENT).await;
        assert!(matches!(enter(), Entrance::Entered(_)));
        assert!(is_asked(&shaking_hands));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_makes_way_before_a_new_one() {
        let limits = Limits {
            connections: 2,
            ..LIMITS
        };
        for unanswered_first in [false, true] {
            let limits = Limits {
                unanswered_first,
                ..limits
            };
            let (mut places, start) = (Places::default(), Instant::now());
            let (_, idle) = entered(&mut places, start, 1).await;
            serve(&idle);
            let (_, shaking_hands) = entered(&mut places, start, 2).await;
            let mut enter = |urgent| places.enter(address(3), &new(start), &limits, urgent);
            assert_eq!(enter(false), Entrance::Wait);
            assert!(is_asked(&idle) && !is_asked(&shaking_hands));
            // Otherwise a flood of new ones would keep others out.
            assert_eq!(enter(true), Entrance::Wait);
            assert!(is_asked(&shaking_hands));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_slow_to_send_or_to_read_makes_way() {
        let limits = Limits {
            connections: 2,
            ..LIMITS
        };
        for is_sending in [true, false] {
            let (mut places, start) = (Places::default(), Instant::now());
            let (_, slow) = entered(&mut places, start, 1).await;
            if is_sending {
                slow.receiving();
                slow.settle();
            } else {
                slow.begun();
                slow.written(true);
                slow.settle();
            }
            let (_, busy) = entered(&mut places, start, 2).await;
            busy.begun();
            busy.written(true);
            busy.written(false);
            let late = new(start);
            let mut enter = |last| places.enter(address(last), &late, &limits, false);
            assert_eq!(enter(3), Entrance::Wait);
            assert!(is_asked(&slow));
            assert_eq!(enter(3), Entrance::Wait);
            assert!(!is_asked(&busy));
        }
        let (mut places, start) = (Places::default(), Instant::now());
        let (_, first) = entered(&mut places, start, 1).await;
        let (_, second) = entered(&mut places, start, 1).await;
        first.receiving();
        first.settle();
        advance(Duration::from_millis(1)).await;
        second.receiving();
        second.settle();
        let mut enter = || places.enter(address(1), &new(start), &LIMITS, false);
        assert_eq!(enter(), Entrance::AddressFull, "both may be fast");
        advance(SLOW).await;
        assert!(matches!(enter(), Entrance::Entered(_)));
        assert!(is_asked(&first) && !is_asked(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answered_connection_wakes_one_that_waits_for_its_address() {
        let (mut places, start) = (Places::default(), Instant::now());
        let activity = |places: &Places| Arc::new(Activity::new(start, places.freed(address(1))));
        let first = activity(&places);
        assert!(matches!(
            places.enter(address(1), &first, &LIMITS, false),
            Entrance::Entered(_)
        ));
        let late = activity(&places);
        let mut freed = std::pin::pin!(late.freed().notified());
        assert!(!freed.as_mut().enable());
        serve(&first);
        assert!(freed.as_mut().enable());
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_wait_for_a_connection_that_got_a_request_meanwhile() {
        let limits = Limits {
            connections: 2,
            ..LIMITS
        };
        let (mut places, start) = (Places::default(), Instant::now());
        let (_, first) = entered(&mut places, start, 1).await;
        let (_, second) = entered(&mut places, start, 2).await;
        let late = new(start);
        assert_eq!(
            places.enter(address(3), &late, &limits, false),
            Entrance::Wait
        );
        assert!(is_asked(&first));
        first.begun();
        assert_eq!(
            places.enter(address(3), &late, &limits, false),
            Entrance::Wait
        );
        assert!(is_asked(&second));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter(u8),
        Begin(usize),
        Serve(usize),
        Leave(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (1_u8..5).prop_map(Step::Enter),
            1 => (0_usize..8).prop_map(Step::Begin),
            1 => (0_usize..8).prop_map(Step::Serve),
            1 => (0_usize..8).prop_map(Step::Leave),
        ]
    }

    proptest! {
        #[test]
        fn keeps_its_limits_and_asks_no_busy_connection(
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let (mut places, start) = (Places::default(), Instant::now());
            let mut open: Vec<(u64, u8, Arc<Activity>, bool)> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter(last) => {
                        let before = open.len();
                        let activity = new(start);
                        match places.enter(address(last), &activity, &LIMITS, false) {
                            Entrance::Entered(number) => open.push((number, last, activity, false)),
                            Entrance::Wait => prop_assert_eq!(before, LIMITS.connections),
                            Entrance::AddressFull => {
                                let stay = open.iter().filter(|(_, its, activity, left)| {
                                    let stays = activity.is_answering() || !activity.has_served();
                                    *its == last && !left && stays
                                });
                                prop_assert_eq!(stay.count(), 2);
                            }
                        }
                        for (_, _, activity, left) in &mut open {
                            if is_asked(activity) {
                                prop_assert!(!activity.is_answering() && !*left);
                                *left = true;
                            }
                        }
                    }
                    Step::Begin(nth) => {
                        if let Some((_, _, activity, _)) = open.get(nth) {
                            activity.begun();
                        }
                    }
                    Step::Serve(nth) => {
                        if let Some((_, _, activity, _)) = open.get(nth) {
                            serve(activity);
                        }
                    }
                    Step::Leave(nth) if nth < open.len() => places.left(open.remove(nth).0),
                    Step::Leave(_) => {}
                }
                prop_assert_eq!(places.len(), open.len());
                prop_assert!(open.len() <= LIMITS.connections);
                for last in 1..5 {
                    let stays = open.iter().filter(|(_, its, _, left)| *its == last && !left);
                    prop_assert!(stays.count() <= 2);
                }
            }
            open.into_iter().for_each(|(number, ..)| places.left(number));
            prop_assert!(places.entries.is_empty() && places.by_address.is_empty());
        }
    }
}
