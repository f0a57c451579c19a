//! The catalogue: which names of models there are, and what is in access groups.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::id::TeamId;
use entity::role::BlockLevel;
use entity::value::{ModelAccess, ModelAccessMode, Usd};
use entity::{access_group, access_group_model, llm_model};
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect};

use crate::domain::model_access::covers;
use crate::error::Result;

/// What is known of the deployments behind one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Behind {
    usable: u32,
    priced: u32,
    /// The highest prices of those that are usable.
    prices: Option<Prices>,
    /// Those that are usable and have no prices.
    unpriced: BTreeSet<Provided>,
}

/// What a provider calls a model, which is how the table of public prices knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Provided {
    /// The provider.
    pub provider: String,
    /// Its name of the model.
    pub model: String,
}

impl Behind {
    fn and(mut self, other: Self) -> Self {
        self.unpriced.extend(other.unpriced);
        let highest = |one: Prices, two: Prices| Prices {
            input: one.input.max(two.input),
            output: one.output.max(two.output),
        };
        Self {
            usable: self.usable + other.usable,
            priced: self.priced + other.priced,
            prices: match (self.prices, other.prices) {
                (Some(one), Some(two)) => Some(highest(one, two)),
                (one, two) => one.or(two),
            },
            unpriced: self.unpriced,
        }
    }
}

/// What a million tokens cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Of those that are sent.
    pub input: Usd,
    /// Of those that are taken.
    pub output: Usd,
}

/// Whether a name can be called, as far as the catalogue goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No model has the name.
    Unknown,
    /// Every model with the name is blocked.
    Blocked,
    /// A model has the name and is not blocked.
    Available {
        /// Whether each of them has prices, all of them zero.
        is_free: bool,
    },
}

/// The names of all models and what is in access groups, at a moment.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    shared: BTreeMap<String, Behind>,
    patterns: Vec<(String, Behind)>,
    own: HashMap<TeamId, BTreeMap<String, Behind>>,
    groups: HashMap<String, Vec<String>>,
}

/// What the catalogue reads of a model.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The public name.
    pub name: String,
    /// The team that owns it; none for a model of the platform.
    pub team: Option<TeamId>,
    /// Whether it is blocked.
    pub is_blocked: bool,
    /// Whether both of its prices are zero.
    pub is_free: bool,
    /// Its prices, if it has any of its own.
    pub prices: Option<Prices>,
    /// What its provider calls it.
    pub provided: Option<Provided>,
}

impl Catalogue {
    /// The catalogue of these models, and of these pairs of an access group and a name in it.
    pub fn new(
        models: impl IntoIterator<Item = Listed>,
        groups: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut catalogue = Self::default();
        for model in models {
            let names = match model.team {
                Some(team) => catalogue.own.entry(team).or_default(),
                None => &mut catalogue.shared,
            };
            let behind = names.entry(model.name).or_default();
            let unpriced = model.provided.filter(|_| !model.is_blocked && model.prices.is_none());
            *behind = std::mem::take(behind).and(Behind {
                usable: u32::from(!model.is_blocked),
                priced: u32::from(!model.is_blocked && !model.is_free),
                prices: model.prices.filter(|_| !model.is_blocked),
                unpriced: unpriced.into_iter().collect(),
            });
        }
        let patterns = catalogue.shared.iter().filter(|(name, _)| name.contains('*'));
        catalogue.patterns =
            patterns.map(|(name, behind)| (name.clone(), behind.clone())).collect();
        for (group, name) in groups {
            catalogue.groups.entry(group).or_default().push(name);
        }
        catalogue
    }

    /// Whether a name can be called by a team. A team that has models of its own under the name gets
    /// these alone, blocked or not; else it is the platform's, by the very name, blocked or not, else
    /// by a name with a `*` that covers it.
    pub fn presence(&self, team: Option<TeamId>, name: &str) -> Presence {
        self.behind(team, name).map_or(Presence::Unknown, |behind| presence(&behind))
    }

    /// What is known of the prices at which a name that a team calls may be answered: the highest of
    /// those that models have, and the models that have none.
    pub fn prices(&self, team: Option<TeamId>, name: &str) -> (Option<Prices>, BTreeSet<Provided>) {
        let behind = self.behind(team, name).map(Cow::into_owned).unwrap_or_default();
        (behind.prices, behind.unpriced)
    }

    fn behind(&self, team: Option<TeamId>, name: &str) -> Option<Cow<'_, Behind>> {
        let own = team.and_then(|team| self.own.get(&team)?.get(name));
        if let Some(behind) = own.or_else(|| self.shared.get(name)) {
            return Some(Cow::Borrowed(behind));
        }
        let covering = self.patterns.iter().filter(|(pattern, _)| covers(pattern, name));
        covering.map(|(_, behind)| behind.clone()).reduce(Behind::and).map(Cow::Owned)
    }

    /// Whether a list allows a name.
    pub fn allows(&self, access: &ModelAccess, name: &str) -> bool {
        match access.mode {
            ModelAccessMode::All => true,
            ModelAccessMode::None => false,
            ModelAccessMode::List => self.entries(access).any(|entry| covers(entry, name)),
        }
    }

    /// What a list lists, the access groups opened. A name of a group that does not exist has nothing
    /// in it.
    pub(super) fn entries<'a>(&'a self, access: &'a ModelAccess) -> impl Iterator<Item = &'a str> {
        let groups = access.access_groups.iter().filter_map(|group| self.groups.get(group));
        access.models.iter().chain(groups.flatten()).map(String::as_str)
    }

    /// The names of the platform's models, and of a team's own.
    pub(super) fn names(&self, team: Option<TeamId>) -> impl Iterator<Item = &str> {
        let own = team.and_then(|team| self.own.get(&team));
        self.shared.keys().chain(own.into_iter().flat_map(BTreeMap::keys)).map(String::as_str)
    }
}

fn presence(behind: &Behind) -> Presence {
    if behind.usable == 0 {
        return Presence::Blocked;
    }
    Presence::Available { is_free: behind.priced == 0 }
}

/// The catalogue as it is now, whoever asks.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
pub async fn catalogue(db: &impl ConnectionTrait) -> Result<Catalogue> {
    use llm_model::Column;
    type Row =
        (String, Option<TeamId>, Option<BlockLevel>, Option<Usd>, Option<Usd>, String, String);
    let columns = [
        Column::Name,
        Column::TeamId,
        Column::BlockedBy,
        Column::InputPrice,
        Column::OutputPrice,
        Column::Provider,
        Column::ProviderModel,
    ];
    let models = llm_model::Entity::find().select_only().columns(columns).into_tuple::<Row>();
    let groups = access_group_model::Entity::find()
        .inner_join(access_group::Entity)
        .select_only()
        .column(access_group::Column::Name)
        .column(access_group_model::Column::ModelName)
        .into_tuple::<(String, String)>();
    let (models, groups) = tokio::try_join!(models.all(db), groups.all(db))?;
    let listed = |(name, team, blocked_by, input, output, provider, model): Row| Listed {
        name,
        team,
        is_blocked: blocked_by.is_some(),
        is_free: input == Some(Usd::ZERO) && output == Some(Usd::ZERO),
        prices: (input.is_some() || output.is_some()).then(|| Prices {
            input: input.unwrap_or_default(),
            output: output.unwrap_or_default(),
        }),
        provided: Some(Provided { provider, model }),
    };
    Ok(Catalogue::new(models.into_iter().map(listed), groups))
}
