//! The section `teams`: what members may do with teams on their own. The permissions behind it
//! are decided in the authorization matrix.

use serde::{Deserialize, Serialize};

/// What members may do with teams.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teams {
    /// Whether internal users may create teams. Default false. Such a team is bound by its
    /// creator's own budget, limits and models.
    pub self_serve: bool,
}
