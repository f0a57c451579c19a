//! R1, R2, R3: load without faults.

use crate::load::Work;
use crate::play::{Length, Outcome, Play};
use crate::stage::{Data, Stage};
use crate::world::Plan;

/// R1: checks of many keys, from memory.
pub(crate) async fn checks(data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, "R1").await;
    let server = stage.serve(0).await;
    let keys = length.number(10_000, 500);
    let people = Plan { teams: 20, keys, period: "1d", tight: None, zones: &[] };
    let mut play = Play::begin(length, &server, people).await;
    play.put(Work::Check, 16, length.rate(5_000.0), &[&server]);
    tokio::time::sleep(length.share(3)).await;
    let before = server.resident_mib();
    for (_, mut figures) in play.loads().await {
        play.bound("p50", figures.percentile(50), 1.0, "ms");
        play.bound("p99", figures.percentile(99), 10.0, "ms");
    }
    play.bound("memory grew by", server.resident_mib() - before, 20.0, "MiB");
    play.finish(&stage, vec![server]).await
}

/// R2: what calls may cost is held and settled in four windows, one of which is everybody's; one
/// project has too little, and windows of ten seconds.
pub(crate) async fn holds(data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, "R2").await;
    let server = stage.serve(0).await;
    let people =
        Plan { teams: 5, keys: 50, period: "10s", tight: Some(length.tight()), zones: &[] };
    let mut play = Play::begin(length, &server, people).await;
    play.look(&stage).await;
    play.put(Work::Hold, 32, length.rate(800.0), &[&server]);
    for (_, mut figures) in play.loads().await {
        play.bound("p99", figures.percentile(99), 50.0, "ms");
        if figures.refused == 0 {
            play.journal.fault("the budget that is too small refused nobody".to_owned());
        }
    }
    play.finish(&stage, vec![server]).await
}

/// R3: reports, a fifth of which come twice, in any order, by many clients.
pub(crate) async fn reports(data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, "R3").await;
    let server = stage.serve(0).await;
    let people = Plan { teams: 5, keys: 50, period: "10s", tight: None, zones: &[] };
    let mut play = Play::begin(length, &server, people).await;
    play.look(&stage).await;
    play.put(Work::Report, 8, length.rate(100.0), &[&server]);
    play.finish(&stage, vec![server]).await
}
