//! Costs are exact, and rounded once.

use proptest::prelude::*;

use super::*;

fn nanos(text: &str) -> Option<i64> {
    decimal(text).map(Usd::nanos)
}

#[test]
fn a_decimal_is_rounded_once_half_to_even() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1", Some(1_000_000_000)),
        ("0.000000001", Some(1)),
        ("0.0000000005", Some(0)),
        ("0.00000000050000000000000001", Some(1)),
        ("0.0000000015", Some(2)),
        ("0.0000000025", Some(2)),
        ("0.00000000249999999999999999", Some(2)),
        ("-0.0000000015", Some(-2)),
        ("1.3e-10", Some(0)),
        ("1.3e-05", Some(13_000)),
        ("1E+2", Some(100_000_000_000)),
        ("0e99", Some(0)),
        ("1e-400", Some(0)),
        ("9223372036.854775807", Some(i64::MAX)),
        ("9223372036.854775808", None),
        ("1e30", None),
        ("1e999", None),
        ("1e99999", None),
        ("", None),
        (".5", None),
        ("5.", None),
        ("NaN", None),
        ("inf", None),
        ("+1", None),
        ("1_000", None),
        ("0x10", None),
        ("1e", None),
        ("12345678901234567890123456789", None),
        ("0.1234567890123456789012345678901234567890", None),
    ] {
        assert_eq!(nanos(text), expected, "{text}");
    }
}

/// What a sum of floating-point numbers drifts by is far beyond its 15th digit.
#[test]
fn a_floating_point_number_stands_for_its_fifteen_digits() {
    for (dollars, expected) in [
        (0.1 + 0.2, Some(300_000_000)),
        (0.000_135_f64.next_down(), Some(135_000)),
        (1.5e-9, Some(2)),
        (2.5e-9, Some(2)),
        (0.0, Some(0)),
        (-0.5, Some(-500_000_000)),
        (f64::NAN, None),
        (f64::INFINITY, None),
        (1e30, None),
        (f64::MIN_POSITIVE, Some(0)),
    ] {
        assert_eq!(from_float(dollars).map(Usd::nanos), expected, "{dollars:e}");
    }
}

#[test]
fn prices_of_a_model_are_exact() {
    let usd = |nanos| Some(Usd::from_nanos(nanos));
    let cost = |input, output, prices: (Option<Usd>, Option<Usd>)| {
        let tokens = Tokens { input, output, ..Tokens::default() };
        by_prices(tokens, prices.0, prices.1).nanos()
    };
    let dollars = |amount: i64| usd(amount * 1_000_000_000);
    assert_eq!(cost(1_000_000, 1_000_000, (dollars(3), dollars(15))), 18_000_000_000);
    assert_eq!(cost(1, 0, (dollars(3), None)), 3_000);
    // Both parts are added before the one rounding: two halves make a whole.
    assert_eq!(cost(500, 500, (usd(1_000), usd(1_000))), 1);
    assert_eq!(cost(500, 0, (usd(1_000), None)), 0);
    assert_eq!(cost(1_500, 0, (usd(1_000), None)), 2);
    let most = 1_000_000_000_000;
    assert_eq!(cost(most, most, (usd(i64::MAX), usd(i64::MAX))), MOST.nanos());
}

#[test]
fn a_model_that_nobody_prices_costs_nothing_and_says_so() {
    let tokens = Tokens { input: 5, ..Tokens::default() };
    let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let call = Call { model: Some("no such model at all"), provider: None, tokens, at };
    let unpriced = Priced { cost: Usd::ZERO, source: CostSource::Unpriced, price: None };
    assert_eq!(price(&call, None), unpriced);
    let without = Call { model: None, provider: Some("openai"), ..call };
    assert_eq!(price(&without, None), unpriced);
    let known = Call { model: Some("gpt-4o"), provider: Some("openai"), ..call };
    assert_eq!(price(&known, None).source, CostSource::PriceTable);
}

proptest! {
    /// Against long division in decimal digits.
    #[test]
    fn division_rounds_half_to_even(number in -1_000_000_000_i128..1_000_000_000, by in 1_i128..10_000) {
        let quotient = divided(number, by);
        let twice_off = (number - quotient * by).abs() * 2;
        prop_assert!(twice_off <= by);
        prop_assert!(twice_off < by || quotient % 2 == 0);
    }

    #[test]
    fn an_amount_survives_its_text(nanos in any::<i64>()) {
        let text = Usd::from_nanos(nanos).to_string();
        if nanos > i64::MIN {
            prop_assert_eq!(decimal(&text), Some(Usd::from_nanos(nanos)));
        }
    }
}
