//! What was measured: samples of a floor and of ours, and the row that they make.

use serde_json::{Value, json};

/// Values of one thing, measured again and again, in its unit.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which this share of all lies.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1).unwrap();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of some thousands"
        )]
        let at = (share * last as f64).round() as usize;
        sorted[at]
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn as_json(&self) -> Value {
        json!({
            "min": self.quantile(0.0),
            "median": self.median(),
            "p90": self.quantile(0.9),
            "samples": self.0.len(),
        })
    }
}

/// Measures floor and ours in turns, so that whatever else the machine does falls
/// on both. The first turn warms up and is forgotten.
pub(crate) fn in_turns(
    rounds: usize,
    mut floor: impl FnMut(&mut Samples),
    mut ours: impl FnMut(&mut Samples),
) -> (Samples, Samples) {
    floor(&mut Samples::default());
    ours(&mut Samples::default());
    let (mut of_floor, mut of_ours) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        floor(&mut of_floor);
        ours(&mut of_ours);
    }
    (of_floor, of_ours)
}

/// Microseconds since `begun`.
pub(crate) fn micros(begun: std::time::Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6
}

/// What a row should come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At most so many times the floor.
    Ratio(f64),
    /// At most this, in the row's unit.
    Most(f64),
    /// Shown beside another row that has one.
    None,
}

/// One line of the table.
pub(crate) struct Row {
    /// The row of docs/performance.md that it belongs to, such as `P1`.
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) floor: &'static str,
    pub(crate) target: Target,
}

impl Row {
    /// The line as it is printed and kept.
    pub(crate) fn of(self, (floor, ours): &(Samples, Samples)) -> Value {
        let ratio = ours.median() / floor.median();
        let (most_ratio, most) = match self.target {
            Target::Ratio(ratio) => (Some(ratio), None),
            Target::Most(value) => (None, Some(value)),
            Target::None => (None, None),
        };
        let in_ratio = most_ratio.is_none_or(|most| ratio <= most);
        let in_value = most.is_none_or(|most| ours.median() <= most);
        let has_target = most_ratio.is_some() || most.is_some();
        json!({
            "id": self.id,
            "what": self.what,
            "unit": self.unit,
            "floor_is": self.floor,
            "floor": floor.as_json(),
            "ours": ours.as_json(),
            "ratio": ratio,
            "target": {"ratio": most_ratio, "value": most},
            "met": has_target.then_some(in_ratio && in_value),
        })
    }
}
