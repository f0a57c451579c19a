//! Made-up worlds: a few plain values, and the rows that they stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::id::Id;
use entity::role::{ApiKeyKind, BlockLevel, PlatformRole, ScopeKind, TeamRole};
use entity::value::{
    MemberPermissions, ModelAccess, ModelAccessMode, PlatformSettings, Usd, Words,
};
use entity::{api_key, end_user, model_alias, organization, project, team, team_membership, user};
use serde_json::json;
use tollkeep::domain::access::catalogue::Listed;
use tollkeep::domain::access::{
    Catalogue, Chain, Change, EndUserFacts, Facts, Remedy, Request, TagFacts,
};
use tollkeep::domain::scope::Scope;
use uuid::Uuid;

use super::budgets::{Budget, Fixed, budget_id};

/// The names that lists, aliases and calls use.
pub(crate) const NAMES: &[&str] = &["a", "b", "a/x", "a/y", "a/*", "*", "c"];
/// The paths that keys and calls use.
const PATHS: &[&str] = &["llm", "/v1/chat", "/v1/*", "management"];

/// The splitmix64 generator: the same numbers for the same seed, everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1))
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A number from 0 up to, and without, an end.
    pub(crate) fn number(&mut self, end: i64) -> i64 {
        i64::try_from(self.below(end.unsigned_abs())).unwrap()
    }

    pub(crate) fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    pub(crate) fn maybe<T>(&mut self, of: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (!self.one_in(of)).then(|| make(self))
    }
}

/// What a list of models says: none for all, else names and whether the group `g` is on it; an empty
/// list is NONE.
pub(crate) type List = Option<(Vec<&'static str>, bool)>;

fn list(dice: &mut Dice) -> List {
    if dice.below(5) < 2 {
        return None;
    }
    let names = (0..dice.below(5)).map(|_| dice.pick(NAMES)).collect();
    Some((names, dice.one_in(3)))
}

fn access(list: &List) -> ModelAccess {
    let Some((names, group)) = list else { return ModelAccess::default() };
    let models: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let access_groups: Vec<_> = group.then(|| "g".to_owned()).into_iter().collect();
    let empty = models.is_empty() && access_groups.is_empty();
    let mode = if empty { ModelAccessMode::None } else { ModelAccessMode::List };
    ModelAccess { mode, models, access_groups }
}

/// A world and a call.
#[expect(clippy::struct_excessive_bools, reason = "what is there and what is not")]
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) known: bool,
    pub(crate) kind: ApiKeyKind,
    /// In how many seconds the key expires.
    pub(crate) expires_in: Option<i64>,
    pub(crate) blocked: BTreeMap<&'static str, bool>,
    pub(crate) lists: BTreeMap<&'static str, List>,
    pub(crate) user: bool,
    pub(crate) team: bool,
    pub(crate) organization: bool,
    pub(crate) project: bool,
    pub(crate) member: bool,
    pub(crate) team_aliases: Vec<(&'static str, &'static str)>,
    pub(crate) key_aliases: Vec<(&'static str, &'static str)>,
    pub(crate) routes: Option<Vec<&'static str>>,
    pub(crate) end_user_is_required: bool,
    pub(crate) personal: bool,
    pub(crate) end_user: Option<bool>,
    pub(crate) default_model: Option<&'static str>,
    pub(crate) budgets: Vec<Budget>,
    /// Name, whether it is the team's own, whether it is blocked, whether it is free.
    pub(crate) models: Vec<(&'static str, bool, bool, bool)>,
    pub(crate) group: Vec<&'static str>,
    pub(crate) model: Option<&'static str>,
    pub(crate) path: Option<&'static str>,
    pub(crate) named: Option<&'static str>,
    pub(crate) estimate: i64,
}

/// The places that may be blocked, or have lists.
const PLACES: &[&str] = &["organization", "team", "project", "member", "user", "key", "end user"];

impl Spec {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let team = dice.below(4) > 0;
        let service = team && dice.one_in(3);
        let kind = match (dice.one_in(40), service) {
            (true, _) => dice.pick(&[ApiKeyKind::Gateway, ApiKeyKind::Admin]),
            (false, true) => ApiKeyKind::Service,
            (false, false) => ApiKeyKind::User,
        };
        let user = kind == ApiKeyKind::User;
        let budgets = (0..dice.below(6)).map(|_| Budget::random(dice)).collect();
        let aliases = |dice: &mut Dice| {
            let count = dice.below(3);
            let mut found: Vec<(&'static str, &'static str)> = Vec::new();
            for _ in 0..count {
                let (alias, target) = (dice.pick(NAMES), dice.pick(NAMES));
                if alias != target && found.iter().all(|(known, _)| *known != alias) {
                    found.push((alias, target));
                }
            }
            found
        };
        Self {
            known: !dice.one_in(60),
            kind,
            expires_in: if dice.one_in(4) { Some(dice.pick(&[-1, 0, 1, 5])) } else { None },
            blocked: PLACES.iter().map(|place| (*place, dice.one_in(25))).collect(),
            lists: PLACES.iter().map(|place| (*place, list(dice))).collect(),
            user,
            team,
            organization: team && dice.one_in(2),
            project: team && dice.one_in(3),
            member: team && user && !dice.one_in(15),
            team_aliases: if team { aliases(dice) } else { Vec::new() },
            key_aliases: aliases(dice),
            routes: if dice.one_in(3) {
                let count = 1 + dice.below(2);
                Some((0..count).map(|_| dice.pick(PATHS)).collect())
            } else {
                None
            },
            end_user_is_required: dice.one_in(6),
            personal: dice.one_in(2),
            end_user: if dice.one_in(3) { Some(dice.one_in(2)) } else { None },
            default_model: if dice.one_in(3) { Some(dice.pick(NAMES)) } else { None },
            budgets,
            models: {
                let count = dice.below(6);
                let model = |dice: &mut Dice| {
                    (dice.pick(NAMES), team && dice.one_in(3), dice.one_in(3), dice.one_in(4))
                };
                (0..count).map(|_| model(dice)).collect()
            },
            group: (0..dice.below(3)).map(|_| dice.pick(NAMES)).collect(),
            model: dice.maybe(6, |dice| dice.pick(NAMES)),
            path: if dice.one_in(2) {
                Some(dice.pick(&["/v1/chat", "/v1/chat?x", "/v1/models", "/v2/else"]))
            } else {
                None
            },
            named: if dice.one_in(2) { Some(dice.pick(&["", "eve"])) } else { None },
            estimate: dice.number(6),
        }
    }

    /// Every name that anything in the world uses.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let models = self.models.iter().map(|(name, ..)| *name);
        let aliases = self.team_aliases.iter().chain(&self.key_aliases).map(|(alias, _)| *alias);
        models.chain(aliases)
    }

    /// The scope of a place.
    pub(crate) fn scope(kind: ScopeKind) -> Scope {
        match kind {
            ScopeKind::Platform => Scope::platform(),
            kind => Scope { kind, id: Uuid::from_u128(kind as u128 + 1) },
        }
    }

    /// The tag that every call of the key carries; the other one is brought by the call.
    pub(crate) fn own_tag() -> Scope {
        Scope { kind: ScopeKind::Tag, id: Uuid::from_u128(500) }
    }

    /// The world after a change that an explanation proposed, less so many nano-dollars.
    pub(crate) fn with(mut self, remedy: &Remedy, less: i64) -> Self {
        let place = place(remedy.scope.kind);
        match &remedy.change {
            Change::LaterExpiry(_) => self.expires_in = Some(1),
            Change::Unblock => {
                self.blocked.insert(place, false);
                if place == "end user" {
                    self.end_user = self.end_user.map(|_| false);
                }
            }
            Change::Route(path) => {
                let opened = if path.is_some() { "/v*" } else { "llm" };
                self.routes.get_or_insert_default().push(opened);
            }
            // Somebody of whom nothing is known.
            Change::EndUser => {
                self.named = Some("eve");
                self.end_user = None;
            }
            Change::Model(model) => {
                let name = NAMES.iter().find(|name| *name == model).unwrap();
                if let Some(list) = self.lists.get_mut(place).unwrap() {
                    list.0.push(name);
                }
            }
            Change::Deployment(model) => self.unblock(model),
            Change::Spend { budget, max, .. } => {
                for (at, own) in self.budgets.iter_mut().enumerate() {
                    if Id::uuid(*budget) == budget_id(at).uuid() {
                        // What each of its counters needs, and the largest of that.
                        own.max = own.max.max(Some(max.nanos() - less));
                    }
                }
            }
            Change::AnotherKey
            | Change::Membership
            | Change::Wait(_)
            | Change::Rate { .. }
            | Change::Exhaust { .. } => panic!("{remedy:?}"),
        }
        self
    }

    fn unblock(&mut self, model: &str) {
        for (name, _, blocked, _) in &mut self.models {
            if *name == model || super::reference::glob(name.as_bytes(), model.as_bytes()) {
                *blocked = false;
            }
        }
    }

    /// The rows.
    pub(crate) fn build(&self) -> Built {
        let now = DateTime::from_timestamp(1_795_608_000, 0).unwrap();
        let chain = if self.known { self.chain(now) } else { Chain::default() };
        let mut counters = Fixed::default();
        let budgets = self.budgets.iter().enumerate();
        let bound: Vec<_> =
            budgets.flat_map(|(at, budget)| budget.build(at, now, &mut counters)).collect();
        let mut there = tollkeep::domain::access::facts::counting(&chain);
        there.push(Self::own_tag());
        let of = |scope: Scope| bound.iter().filter(move |one| one.scope == scope).cloned();
        let budgets = there.into_iter().flat_map(of).collect();
        let named = self.named.is_some_and(|named| !named.is_empty());
        let end_user = self.end_user.filter(|_| named).map(|blocked| EndUserFacts {
            external_id: "eve".to_owned(),
            row: Some(end_user_row(blocked, self.default_model, now)),
            budgets: of(Self::scope(ScopeKind::EndUser)).collect(),
        });
        let tags = of(Self::scope(ScopeKind::Tag)).collect();
        let own = team_id();
        let listed = |(name, is_own, is_blocked, is_free): &(&str, bool, bool, bool)| Listed {
            provided: None,
            name: (*name).to_owned(),
            team: is_own.then_some(own),
            is_blocked: *is_blocked,
            is_free: *is_free,
            prices: None,
        };
        let groups = self.group.iter().map(|name| ("g".to_owned(), (*name).to_owned()));
        Built {
            facts: Facts { chain, budgets, ..Facts::default() },
            end_user,
            tags: TagFacts { rows: Vec::new(), budgets: tags },
            catalogue: Catalogue::new(self.models.iter().map(listed), groups),
            settings: PlatformSettings {
                end_user_is_required: self.end_user_is_required,
                user_budgets_hold_in_teams: self.personal,
                ..PlatformSettings::default()
            },
            counters,
            now,
            request: Request {
                model: self.model.map(str::to_owned),
                route: self.path.map(str::to_owned),
                end_user: self.named.map(str::to_owned),
                tags: Vec::new(),
                estimate: Usd::from_nanos(self.estimate),
            },
        }
    }

    fn blocked(&self, place: &str) -> Option<BlockLevel> {
        self.blocked[place].then_some(BlockLevel::Platform)
    }

    #[expect(clippy::too_many_lines, reason = "rows with many columns")]
    fn chain(&self, now: DateTime<Utc>) -> Chain {
        let by = String::new;
        let organization = self.organization.then(|| organization::Model {
            id: Id::from_uuid(Self::scope(ScopeKind::Organization).id),
            external_id: None,
            name: by(),
            search_text: by(),
            metadata: json!({}),
            model_access: access(&self.lists["organization"]),
            version: 1,
            created_at: now,
            created_by: by(),
            updated_at: now,
            updated_by: by(),
        });
        let team = self.team.then(|| team::Model {
            id: team_id(),
            organization_id: organization.as_ref().map(|row| row.id),
            external_id: None,
            name: by(),
            search_text: by(),
            metadata: json!({}),
            tags: Words::default(),
            model_access: access(&self.lists["team"]),
            member_model_access: ModelAccess::default(),
            blocked_by: self.blocked("team"),
            is_joinable: false,
            member_permissions: MemberPermissions::default(),
            router_settings: None,
            guardrails: Words::default(),
            version: 1,
            created_at: now,
            created_by: by(),
            updated_at: now,
            updated_by: by(),
        });
        let user = self.user.then(|| user::Model {
            id: Id::from_uuid(Self::scope(ScopeKind::User).id),
            external_id: None,
            organization_id: None,
            email: None,
            email_key: None,
            email_confirmed_by: None,
            name: None,
            search_text: by(),
            platform_role: PlatformRole::User,
            model_access: access(&self.lists["user"]),
            blocked_by: self.blocked("user"),
            metadata: json!({}),
            version: 1,
            created_at: now,
            created_by: by(),
            updated_at: now,
            updated_by: by(),
        });
        let membership = self.member.then(|| team_membership::Model {
            id: Id::from_uuid(Self::scope(ScopeKind::TeamMembership).id),
            team_id: team_id(),
            user_id: Id::from_uuid(Self::scope(ScopeKind::User).id),
            role: TeamRole::Member,
            model_access: access(&self.lists["member"]),
            version: 1,
            created_at: now,
            created_by: by(),
            updated_at: now,
            updated_by: by(),
        });
        let project = self.project.then(|| project::Model {
            id: Id::from_uuid(Self::scope(ScopeKind::Project).id),
            team_id: team_id(),
            organization_id: organization.as_ref().map(|row| row.id),
            external_id: None,
            name: by(),
            search_text: by(),
            description: None,
            model_access: access(&self.lists["project"]),
            metadata: json!({}),
            tags: Words::default(),
            blocked_by: self.blocked("project"),
            object_permissions: None,
            version: 1,
            created_at: now,
            created_by: by(),
            updated_at: now,
            updated_by: by(),
        });
        let words =
            |words: &Vec<&str>| Words(words.iter().map(|word| (*word).to_owned()).collect());
        let key = api_key::Model {
            id: Id::from_uuid(Self::scope(ScopeKind::ApiKey).id),
            kind: self.kind,
            user_id: user.as_ref().map(|row| row.id),
            team_id: team.as_ref().map(|row| row.id),
            project_id: project.as_ref().map(|row| row.id),
            external_id: None,
            name: None,
            search_text: by(),
            model_access: access(&self.lists["key"]),
            allowed_routes: self.routes.as_ref().map(words),
            tags: Words::default(),
            metadata: json!({}),
            blocked_by: self.blocked("key"),
            expires_at: self.expires_in.map(|seconds| now + TimeDelta::seconds(seconds)),
            last_used_at: None,
            version: 1,
            created_at: now,
            created_by: by(),
            updated_at: now,
            updated_by: by(),
        };
        let alias = |kind: ScopeKind| {
            move |(alias, target): &(&str, &str)| model_alias::Model {
                id: Id::from_uuid(Uuid::nil()),
                scope_kind: kind,
                scope_id: Self::scope(kind).id,
                alias: (*alias).to_owned(),
                target: (*target).to_owned(),
                version: 1,
                created_at: now,
                created_by: by(),
                updated_at: now,
                updated_by: by(),
            }
        };
        let of_team = self.team_aliases.iter().map(alias(ScopeKind::Team));
        let of_key = self.key_aliases.iter().map(alias(ScopeKind::ApiKey));
        Chain {
            organization: organization.map(Arc::new),
            team: team.map(Arc::new),
            project: project.map(Arc::new),
            membership: membership.map(Arc::new),
            user: user.map(Arc::new),
            key: Some(Arc::new(key)),
            aliases: of_team.chain(of_key).collect::<Vec<_>>().into(),
        }
    }
}

fn team_id() -> entity::id::TeamId {
    Id::from_uuid(Spec::scope(ScopeKind::Team).id)
}

fn place(kind: ScopeKind) -> &'static str {
    match kind {
        ScopeKind::Organization => "organization",
        ScopeKind::Team => "team",
        ScopeKind::Project => "project",
        ScopeKind::TeamMembership => "member",
        ScopeKind::User => "user",
        ScopeKind::ApiKey => "key",
        ScopeKind::EndUser => "end user",
        _ => "platform",
    }
}

fn end_user_row(blocked: bool, model: Option<&str>, now: DateTime<Utc>) -> end_user::Model {
    end_user::Model {
        id: Id::from_uuid(Spec::scope(ScopeKind::EndUser).id),
        organization_id: None,
        team_id: None,
        external_id: "eve".to_owned(),
        name: None,
        search_text: String::new(),
        default_model: model.map(str::to_owned),
        region: None,
        blocked_by: blocked.then_some(BlockLevel::Platform),
        version: 1,
        created_at: now,
        created_by: String::new(),
        updated_at: now,
        updated_by: String::new(),
    }
}

/// What the decision is given.
pub(crate) struct Built {
    pub(crate) facts: Facts,
    pub(crate) end_user: Option<EndUserFacts>,
    pub(crate) tags: TagFacts,
    pub(crate) catalogue: Catalogue,
    pub(crate) settings: PlatformSettings,
    pub(crate) counters: Fixed,
    pub(crate) now: DateTime<Utc>,
    pub(crate) request: Request,
}
