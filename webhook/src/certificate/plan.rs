//! Decides the next action of a replica about the certificates, from the objects that it has seen and
//! the time. No I/O: [`super::keeper`] carries the actions out.
//!
//! 1. The Secret holds an authority that is valid and not old.
//! 2. Every webhook of the configuration trusts all authorities of the Secret that are still valid.
//! 3. The leaf is signed by the Secret's authority, but a new authority signs only when every API
//!    server had [`SETTLING`] to learn of it.
//!
//! In that order no review meets a certificate that its API server does not trust.
//!
//! While the Secret is missing or unusable, a replica puts the authorities that it knows back into a
//! bundle that lost them. It only adds, so that replicas do not undo each other's writes.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::authority::{Authority, AuthorityError};
use super::bundle::Bundle;

/// How long every API server has to learn of a new authority before it signs.
pub const SETTLING: Duration = Duration::from_secs(60);

/// How long the Secret must be missing before a replica creates it again. An uninstallation, or a change
/// to certificates from files, deletes the Secret and a moment later the right to create it. A Secret that
/// a replica created in between would stay behind, and the next installation would fail.
pub const ABSENCE: Duration = Duration::from_secs(10);

/// The state of one replica: the objects that it has seen, and its own actions.
#[derive(Default)]
pub struct State {
    /// As last seen; the outer `None` until then.
    secret: Option<Option<Stored>>,
    /// The bundle of each webhook, as last seen; the outer `None` before anything is.
    bundles: Option<Option<Vec<Bundle>>>,
    absent_since: Option<SystemTime>,
    leaf: Option<Issued>,
    /// The authorities of the last Secret that had any.
    known: Bundle,
    /// The Secret's authority and since when every webhook trusts it.
    trusted: Option<(CertificateDer<'static>, SystemTime)>,
}

/// The contents of the Secret.
pub struct Stored {
    /// The authority that signs.
    pub authority: Result<Authority, AuthorityError>,
    /// Every authority that a replica may serve with.
    pub bundle: Bundle,
}

/// The leaf in use.
pub struct Issued {
    /// The authority that signed it.
    pub issuer: CertificateDer<'static>,
    /// From when on it is valid, and when to issue the next one.
    pub usable: Range<SystemTime>,
}

/// The writes that were tried in this round. Each is tried once, so that a failed write does not hold up
/// the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    /// [`Action::WriteAuthority`].
    pub authority: bool,
    /// [`Action::WriteBundle`].
    pub bundle: bool,
    /// [`Action::RestoreBundle`].
    pub restoration: bool,
}

/// The next action.
#[derive(Debug)]
pub enum Action<'a> {
    /// Nothing until something changes.
    Nothing,
    /// Nothing yet: the Secret is missing, but not for as long as [`ABSENCE`].
    AwaitSecret,
    /// Nothing: the Secret holds no usable authority and none could be written.
    NoAuthority(&'a AuthorityError),
    /// Create an authority and write it to the Secret, before these that replicas may serve with.
    WriteAuthority(Bundle),
    /// Write this bundle to every webhook that has another one.
    WriteBundle(Bundle),
    /// Write this bundle to every webhook that has another one, because authorities that replicas serve
    /// with were lost from it and the Secret cannot say so.
    RestoreBundle(Bundle),
    /// Issue a leaf and serve it.
    IssueLeaf(&'a Authority),
    /// Nothing: there is no webhook configuration.
    NoConfiguration,
}

impl State {
    /// Records the Secret, `None` when there is none.
    pub fn see_secret(&mut self, secret: Option<Stored>) {
        if let Some(stored) = secret.as_ref().filter(|it| !it.bundle.is_empty()) {
            self.known = stored.bundle.clone();
        }
        self.secret = Some(secret);
    }

    /// Records the bundle of each webhook, `None` when there is no webhook configuration.
    pub fn see_bundles(&mut self, bundles: Option<Vec<Bundle>>) {
        self.bundles = Some(bundles);
    }

    /// Records the leaf that is served now.
    pub fn see_leaf(&mut self, leaf: Issued) {
        self.leaf = Some(leaf);
    }

    /// The next action at this time of the wall clock.
    pub fn next(&mut self, now: SystemTime, tried: Tried) -> Action<'_> {
        if self.secret.is_none() || self.bundles.is_none() {
            return Action::Nothing;
        }
        let is_secret_awaited = self.is_secret_awaited(now);
        if !tried.restoration
            && self.authority().is_none()
            && let Some(wanted) = self.incomplete_bundle(now)
        {
            return Action::RestoreBundle(wanted);
        }
        if is_secret_awaited {
            return Action::AwaitSecret;
        }
        if !tried.authority && self.authority().is_none_or(|it| it.is_due(now)) {
            return Action::WriteAuthority(self.all_authorities(now));
        }
        self.note_trust(now);
        let stored = self.secret.as_ref().and_then(Option::as_ref);
        let authority = match stored.map(|stored| &stored.authority) {
            Some(Ok(authority)) => authority,
            Some(Err(error)) => return Action::NoAuthority(error),
            None => return Action::NoAuthority(&AuthorityError::Certificate),
        };
        if !tried.bundle
            && let Some(wanted) = self.outdated_bundle(now)
        {
            return Action::WriteBundle(wanted);
        }
        if self.is_leaf_due(authority.certificate(), now) {
            return Action::IssueLeaf(authority);
        }
        if self.live_bundles().is_none() {
            return Action::NoConfiguration;
        }
        Action::Nothing
    }

    /// Whether every webhook trusts the leaf in use.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        let leaf = self.leaf.as_ref();
        leaf.is_some_and(|leaf| self.is_live(&leaf.issuer))
    }

    /// Whether the Secret may still come back.
    fn is_secret_awaited(&mut self, now: SystemTime) -> bool {
        if self.stored().is_some() {
            self.absent_since = None;
            return false;
        }
        let since = *self.absent_since.get_or_insert(now);
        // A clock that was set back does not extend the wait.
        now.duration_since(since).is_ok_and(|it| it < ABSENCE)
    }

    /// Records since when every webhook trusts the Secret's authority.
    fn note_trust(&mut self, now: SystemTime) {
        let authority = self.authority().map(|it| it.certificate().clone());
        let live = authority.filter(|certificate| self.is_live(certificate));
        let since = match (&self.trusted, &live) {
            (Some((trusted, since)), Some(live)) if trusted == live => *since,
            _ => now,
        };
        self.trusted = live.map(|live| (live, since));
    }

    /// A leaf is issued when there is none, when it is old, and when a new authority has been trusted
    /// for [`SETTLING`] or the previous one no longer is.
    fn is_leaf_due(&self, authority: &CertificateDer<'_>, now: SystemTime) -> bool {
        match &self.leaf {
            None => true,
            Some(leaf) if leaf.issuer == *authority => !leaf.usable.contains(&now),
            Some(leaf) => self.trusted.as_ref().is_some_and(|(_, since)| {
                let has_settled = now.duration_since(*since).is_ok_and(|it| it >= SETTLING);
                has_settled || !self.is_live(&leaf.issuer)
            }),
        }
    }

    /// The bundle that every webhook should have, where one has another.
    fn outdated_bundle(&self, now: SystemTime) -> Option<Bundle> {
        let mut wanted = self.stored()?.bundle.clone();
        wanted.retain_valid(now, MAX_AUTHORITIES);
        let is_outdated = self.live_bundles()?.iter().any(|live| *live != wanted);
        is_outdated.then_some(wanted)
    }

    /// The bundle that every webhook should have while the Secret has no authority, where one lost an
    /// authority that a replica may serve with. A bundle of other authorities alone belongs to another
    /// tool: the certificate mode was changed, and this replica is about to end.
    fn incomplete_bundle(&self, now: SystemTime) -> Option<Bundle> {
        let live = self.live_bundles()?;
        let mut wanted = self.known_authorities(now);
        let is_ours = |bundle: &Bundle| bundle.is_empty() || bundle.has_any(&wanted);
        let is_complete = |bundle: &Bundle| bundle.has_all(&wanted);
        if !live.iter().all(is_ours) || live.iter().all(is_complete) {
            return None;
        }
        live.iter().for_each(|bundle| wanted.merge(bundle.clone()));
        Some(wanted)
    }

    /// The authorities that replicas may serve with, as this replica remembers them.
    fn known_authorities(&self, now: SystemTime) -> Bundle {
        let mut known = self.known.clone();
        known.retain_valid(now, MAX_AUTHORITIES - 1);
        if let Some(leaf) = &self.leaf {
            known.push(leaf.issuer.clone());
        }
        known.retain_valid(now, MAX_AUTHORITIES);
        known
    }

    /// Every authority that a replica may serve with. The Secret may have lost some.
    fn all_authorities(&self, now: SystemTime) -> Bundle {
        let stored = self.stored().map(|stored| stored.bundle.clone());
        let mut all = stored.unwrap_or_default();
        all.merge(self.known_authorities(now));
        for bundle in self.live_bundles().into_iter().flatten() {
            all.merge(bundle.clone());
        }
        all.retain_valid(now, MAX_AUTHORITIES - 1);
        all
    }

    /// Whether every webhook trusts this authority.
    fn is_live(&self, authority: &CertificateDer<'_>) -> bool {
        let bundles = self.live_bundles().unwrap_or_default();
        !bundles.is_empty() && bundles.iter().all(|bundle| bundle.contains(authority))
    }

    fn authority(&self) -> Option<&Authority> {
        self.stored()?.authority.as_ref().ok()
    }

    fn stored(&self) -> Option<&Stored> {
        self.secret.as_ref()?.as_ref()
    }

    fn live_bundles(&self) -> Option<&[Bundle]> {
        self.bundles.as_ref()?.as_deref()
    }
}

/// The number of authorities that can be in use at the same time.
const MAX_AUTHORITIES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// An authority as the Secret holds it after it was written.
    fn stored(now: SystemTime, others: &Bundle) -> (Stored, Bundle) {
        let (authority, _) = Authority::generate(now).unwrap();
        let mut bundle = Bundle::default();
        bundle.push(authority.certificate().clone());
        bundle.merge(others.clone());
        let stored = Stored {
            authority: Ok(authority),
            bundle: bundle.clone(),
        };
        (stored, bundle)
    }

    fn next(state: &mut State, now: SystemTime) -> String {
        match state.next(now, Tried::default()) {
            Action::WriteAuthority(bundle) => format!("write authority before {}", bundle.len()),
            Action::WriteBundle(bundle) => format!("write bundle of {}", bundle.len()),
            Action::RestoreBundle(bundle) => format!("restore bundle of {}", bundle.len()),
            Action::IssueLeaf(_) => "issue leaf".to_owned(),
            action => format!("{action:?}"),
        }
    }

    fn issue(state: &mut State, now: SystemTime) {
        let Action::IssueLeaf(authority) = state.next(now, Tried::default()) else {
            panic!("no leaf is due");
        };
        let issuer = authority.certificate().clone();
        let usable = now..now + 20 * DAY;
        state.see_leaf(Issued { issuer, usable });
    }

    #[test]
    fn does_nothing_before_both_objects_are_seen() {
        let (mut state, now) = (State::default(), SystemTime::now());
        assert_eq!(next(&mut state, now), "Nothing");
        state.see_secret(None);
        assert_eq!(next(&mut state, now), "Nothing");
        state.see_bundles(Some(vec![Bundle::default()]));
        assert_eq!(next(&mut state, now), "AwaitSecret");
    }

    #[test]
    fn lets_a_new_authority_sign_when_it_has_been_trusted_for_a_minute() {
        let (mut state, now) = (State::default(), SystemTime::now());
        let (first, old) = stored(now, &Bundle::default());
        state.see_secret(Some(first));
        state.see_bundles(Some(vec![Bundle::default(), Bundle::default()]));
        assert_eq!(next(&mut state, now), "write bundle of 1");
        // One webhook of two does not trust it yet.
        state.see_bundles(Some(vec![old.clone(), Bundle::default()]));
        assert_eq!(next(&mut state, now), "write bundle of 1");
        assert!(!state.is_trusted());
        state.see_bundles(Some(vec![old.clone(), old.clone()]));
        issue(&mut state, now);
        assert!(state.is_trusted());
        assert_eq!(next(&mut state, now), "Nothing");

        let (second, both) = stored(now, &old);
        state.see_secret(Some(second));
        assert_eq!(next(&mut state, now), "write bundle of 2");
        state.see_bundles(Some(vec![both.clone(), both]));
        assert_eq!(next(&mut state, now), "Nothing");
        assert_eq!(
            next(&mut state, now + SETTLING - Duration::from_secs(1)),
            "Nothing"
        );
        assert_eq!(next(&mut state, now + SETTLING), "issue leaf");
    }

    #[test]
    fn leaves_an_untrusted_authority_at_once() {
        let (mut state, now) = (State::default(), SystemTime::now());
        let (first, old) = stored(now, &Bundle::default());
        state.see_secret(Some(first));
        state.see_bundles(Some(vec![old]));
        issue(&mut state, now);
        let (second, new) = stored(now, &Bundle::default());
        state.see_secret(Some(second));
        state.see_bundles(Some(vec![new]));
        assert!(!state.is_trusted());
        assert_eq!(next(&mut state, now), "issue leaf");
    }

    #[test]
    fn replaces_old_authorities_and_leaves() {
        let (mut state, now) = (State::default(), SystemTime::now());
        let (first, old) = stored(now, &Bundle::default());
        state.see_secret(Some(first));
        state.see_bundles(Some(vec![old]));
        issue(&mut state, now);
        assert_eq!(next(&mut state, now + 19 * DAY), "Nothing");
        assert_eq!(next(&mut state, now + 20 * DAY), "issue leaf");
        let late = now + 300 * DAY;
        assert_eq!(next(&mut state, late), "write authority before 1");
        // When that fails, the rest is done all the same.
        let tried = Tried {
            authority: true,
            ..Tried::default()
        };
        assert!(matches!(state.next(late, tried), Action::IssueLeaf(_)));
    }

    #[test]
    fn creates_the_secret_again_when_it_stays_away() {
        let (mut state, now) = (State::default(), SystemTime::now());
        let (_, live) = stored(now, &Bundle::default());
        state.see_secret(None);
        state.see_bundles(Some(vec![live]));
        assert_eq!(next(&mut state, now), "AwaitSecret");
        let late = now + ABSENCE;
        assert_eq!(next(&mut state, late), "write authority before 1");
        // A clock that was set back does not extend the wait.
        assert_eq!(next(&mut state, now - DAY), "write authority before 1");
        state.see_secret(Some(stored(now, &Bundle::default()).0));
        next(&mut state, late);
        state.see_secret(None);
        assert_eq!(next(&mut state, late), "AwaitSecret");
    }

    #[test]
    fn restores_a_lost_bundle_from_memory_while_the_secret_is_missing() {
        let (mut state, now) = (State::default(), SystemTime::now());
        let (first, live) = stored(now, &Bundle::default());
        state.see_secret(Some(first));
        state.see_bundles(Some(vec![live.clone(), live.clone()]));
        issue(&mut state, now);
        state.see_secret(None);
        assert_eq!(next(&mut state, now), "AwaitSecret");
        // One webhook of two lost it.
        state.see_bundles(Some(vec![live.clone(), Bundle::default()]));
        assert_eq!(next(&mut state, now), "restore bundle of 1");
        // When that fails, the wait for the Secret goes on, and the bundle is part of the next one.
        let tried = Tried {
            restoration: true,
            ..Tried::default()
        };
        assert!(matches!(state.next(now, tried), Action::AwaitSecret));
        state.see_bundles(Some(vec![Bundle::default()]));
        let late = now + ABSENCE;
        let Action::WriteAuthority(previous) = state.next(late, tried) else {
            panic!("the Secret is written after its absence");
        };
        assert_eq!(previous, live);
        state.see_bundles(Some(vec![live]));
        assert_eq!(next(&mut state, now), "AwaitSecret");
    }

    #[test]
    fn restores_a_lost_bundle_while_the_secret_has_no_usable_authority() {
        let (mut state, now) = (State::default(), SystemTime::now());
        let (first, live) = stored(now, &Bundle::default());
        state.see_secret(Some(first));
        state.see_bundles(Some(vec![live]));
        issue(&mut state, now);
        state.see_secret(Some(Stored {
            authority: Err(AuthorityError::Certificate),
            bundle: Bundle::default(),
        }));
        state.see_bundles(Some(vec![Bundle::default()]));
        assert_eq!(next(&mut state, now), "restore bundle of 1");
        let tried = Tried {
            restoration: true,
            ..Tried::default()
        };
        let Action::WriteAuthority(previous) = state.next(now, tried) else {
            panic!("a damaged Secret is replaced at once");
        };
        assert_eq!(previous.len(), 1);
    }

    #[test]
    fn restores_both_authorities_of_a_rotation_whichever_signed_the_leaf() {
        let now = SystemTime::now();
        let (first, old) = stored(now, &Bundle::default());
        let mut state = State::default();
        state.see_secret(Some(first));
        state.see_bundles(Some(vec![old.clone()]));
        issue(&mut state, now);
        let (second, both) = stored(now, &old);
        state.see_secret(Some(second));
        state.see_secret(None);
        state.see_bundles(Some(vec![Bundle::default()]));
        let wanted = restored(&mut state, now);
        assert_eq!(wanted, both);
        // The other authorities of a bundle that has one of these stay.
        let (_, other) = stored(now, &old);
        state.see_bundles(Some(vec![other.clone()]));
        let wanted = restored(&mut state, now);
        assert!(wanted.has_all(&both) && wanted.has_all(&other));
        state.see_bundles(Some(vec![wanted]));
        assert_eq!(next(&mut state, now), "AwaitSecret");
    }

    #[test]
    fn leaves_the_bundle_of_another_tool_alone_while_the_secret_is_missing() {
        let (mut state, now) = (State::default(), SystemTime::now());
        let (first, live) = stored(now, &Bundle::default());
        state.see_secret(Some(first));
        state.see_bundles(Some(vec![live]));
        issue(&mut state, now);
        state.see_secret(None);
        let (_, other) = stored(now, &Bundle::default());
        state.see_bundles(Some(vec![other]));
        assert_eq!(next(&mut state, now), "AwaitSecret");
        // A replica that has never seen an authority has nothing to restore.
        let mut state = State::default();
        state.see_secret(None);
        state.see_bundles(Some(vec![Bundle::default()]));
        assert_eq!(next(&mut state, now), "AwaitSecret");
    }

    fn restored(state: &mut State, now: SystemTime) -> Bundle {
        match state.next(now, Tried::default()) {
            Action::RestoreBundle(wanted) => wanted,
            action => panic!("{action:?}"),
        }
    }

    #[test]
    fn issues_a_leaf_without_a_configuration_but_does_not_trust_it() {
        let (mut state, now) = (State::default(), SystemTime::now());
        state.see_secret(Some(stored(now, &Bundle::default()).0));
        state.see_bundles(None);
        issue(&mut state, now);
        assert_eq!(next(&mut state, now), "NoConfiguration");
        assert!(!state.is_trusted());
        // No webhook in it: none trusts the authority.
        state.see_bundles(Some(Vec::new()));
        assert!(!state.is_trusted());
    }
}
