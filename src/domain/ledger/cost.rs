//! What a call cost: as reported, else from the prices of a model, else from the table of public
//! prices. Decimals are exact, and each cost is rounded once, half to even, to a nano-dollar.

use std::collections::BTreeSet;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use entity::llm_model;
use entity::role::CostSource;
use entity::value::Usd;
use genai_prices::{Calculator, PriceRequest, Usage, UsageKey};

use crate::domain::access::{Prices, Provided};
use crate::domain::call::MOST;

/// What the table of public prices is, for [`entity::usage_event::Model::price_ref`].
const TABLE: &str = "genai-prices/0.2";

/// Prices are for a million tokens.
const PER: i128 = 1_000_000;

/// The tokens of a call. Totals include their parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All tokens in.
    pub input: i64,
    /// Of these, those read from a cache.
    pub cache_read: i64,
    /// Of these, those written to a cache.
    pub cache_write: i64,
    /// All tokens out.
    pub output: i64,
    /// Of these, those of reasoning.
    pub reasoning: i64,
}

/// A cost, where it comes from, and which price was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// What the call cost.
    pub cost: Usd,
    /// Where that comes from.
    pub source: CostSource,
    /// A model's id, or an entry of the table.
    pub price: Option<String>,
}

/// What a call is that is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The public name of the model; none for a call of a route without a model.
    pub model: Option<&'a str>,
    /// The provider, if somebody named it.
    pub provider: Option<&'a str>,
    /// What it used.
    pub tokens: Tokens,
    /// When it was made: prices change.
    pub at: DateTime<Utc>,
}

/// The cost of a call of which nobody reported one. `deployment` is the model that answered, with
/// prices of its own or a name in the table of public prices.
pub fn price(call: &Call<'_>, deployment: Option<&llm_model::Model>) -> Priced {
    let priced = priced(call, deployment);
    Priced { cost: priced.cost.min(MOST), ..priced }
}

fn priced(call: &Call<'_>, deployment: Option<&llm_model::Model>) -> Priced {
    if let Some(model) = deployment
        && (model.input_price.is_some() || model.output_price.is_some())
    {
        let cost = by_prices(call.tokens, model.input_price, model.output_price);
        let price = Some(model.id.to_string());
        return Priced { cost, source: CostSource::ModelPrice, price };
    }
    let provider = deployment.map(|model| model.provider.as_str()).or(call.provider);
    let names = deployment.map(|model| model.provider_model.as_str()).into_iter().chain(call.model);
    for name in names {
        if let Some((cost, entry)) = by_table(name, provider, call) {
            let price = Some(format!("{TABLE}:{entry}"));
            return Priced { cost, source: CostSource::PriceTable, price };
        }
    }
    Priced { cost: Usd::ZERO, source: CostSource::Unpriced, price: None }
}

/// What tokens cost at most, before a call is made: by the prices of models and, of models that have
/// none, by the table of public prices; nothing where neither knows the model.
pub fn estimate(call: &Call<'_>, prices: Option<Prices>, unpriced: &BTreeSet<Provided>) -> Usd {
    let own =
        prices.map(|Prices { input, output }| by_prices(call.tokens, Some(input), Some(output)));
    let listed = unpriced.iter().map(|provided| {
        let provider = Some(provided.provider.as_str());
        let by_name = |name: &str| by_table(name, provider, call);
        let found = by_name(&provided.model).or_else(|| call.model.and_then(by_name));
        found.map(|(cost, _)| cost).unwrap_or_default()
    });
    let known = own.into_iter().chain(listed).max();
    known.unwrap_or_else(|| price(call, None).cost).min(MOST)
}

/// Reads the table, which takes some tens of milliseconds, before a call waits for it.
pub fn warm_up() {
    let _ = Calculator::bundled();
}

/// A price that is not given is nothing.
fn by_prices(tokens: Tokens, input: Option<Usd>, output: Option<Usd>) -> Usd {
    let part = |tokens: i64, price: Option<Usd>| {
        i128::from(tokens) * i128::from(price.unwrap_or_default().nanos())
    };
    let total = part(tokens.input, input) + part(tokens.output, output);
    // What cannot be stored is more than a call costs.
    usd(divided(total, PER)).unwrap_or(MOST)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of tokens are far below 2^53, as the check of reports sees to"
)]
fn by_table(name: &str, provider: Option<&str>, call: &Call<'_>) -> Option<(Usd, String)> {
    let tokens = call.tokens;
    let mut usage = Usage::new();
    for (key, count) in [
        (UsageKey::INPUT_TOKENS, tokens.input),
        (UsageKey::CACHE_READ_TOKENS, tokens.cache_read),
        (UsageKey::CACHE_WRITE_TOKENS, tokens.cache_write),
        (UsageKey::OUTPUT_TOKENS, tokens.output),
    ] {
        if count > 0 {
            usage.insert(key, count as f64);
        }
    }
    let mut request = PriceRequest::new(name, &usage).with_timestamp(SystemTime::from(call.at));
    if let Some(provider) = provider {
        request = request.with_provider_id(provider);
    }
    let found = genai_prices::calculate(&request).ok()?;
    let entry = format!("{}/{}", found.provider_id, found.model_id);
    Some((from_float(found.total_price)?, entry))
}

/// The amount that a floating-point number stands for: its 15 significant digits, rounded once, half
/// to even, to a nano-dollar. None for what is no amount that can be stored.
pub(super) fn from_float(dollars: f64) -> Option<Usd> {
    if !dollars.is_finite() {
        return None;
    }
    decimal(&format!("{dollars:.14e}"))
}

/// Reads a decimal number, with an exponent if need be, and rounds it once, half to even, to a
/// nano-dollar. None for what is no number, has more than 40 digits, or cannot be stored.
pub(super) fn decimal(text: &str) -> Option<Usd> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) if exponent.len() <= 4 => (number, exponent.parse::<i32>().ok()?),
        Some(_) => return None,
        None => (text, 0),
    };
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() > 40 {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let joined = format!("{whole}{fraction}");
    let mantissa: i128 = match joined.trim_start_matches('0') {
        "" => 0,
        significant if significant.len() <= 28 => significant.parse().ok()?,
        _ => return None,
    };
    // mantissa × 10^shift nano-dollars.
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(9)?;
    let power = 10_i128.checked_pow(shift.unsigned_abs().min(38));
    let nanos = match (shift, power) {
        _ if mantissa == 0 => 0,
        (0.., Some(power)) if shift <= 38 => mantissa.checked_mul(power)?,
        (0.., _) => return None,
        // A mantissa of 28 digits, divided by more, is nothing.
        (_, Some(power)) if shift >= -38 => divided(mantissa, power),
        _ => 0,
    };
    usd(if negative { -nanos } else { nanos })
}

/// The quotient of two numbers, rounded half to even; the divisor is above zero.
fn divided(number: i128, by: i128) -> i128 {
    let (quotient, rest) = (number.div_euclid(by), number.rem_euclid(by));
    match (rest * 2).cmp(&by) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    }
}

fn usd(nanos: i128) -> Option<Usd> {
    i64::try_from(nanos).ok().map(Usd::from_nanos)
}

#[cfg(test)]
mod tests;
