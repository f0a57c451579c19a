//! R6: two servers behind a balancer, which are restarted one after the other under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::client::read_message;
use crate::load::Work;
use crate::play::{Length, Outcome, Play};
use crate::stage::{Data, Stage};
use crate::world::Plan;

pub(crate) async fn restarts(data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, "R6").await;
    let mut servers = vec![stage.serve(0).await, stage.serve(1).await];
    let people =
        Plan { teams: 5, keys: 200, period: "10s", tight: Some(length.tight()), zones: &[] };
    let mut play = Play::begin(length, &servers[0], people).await;
    let balancer = balance(servers.iter().map(|server| server.address).collect()).await;
    play.look(&stage).await;
    play.put_at(Work::Check, 8, length.rate(1_000.0), vec![balancer]);
    play.put_at(Work::Hold, 16, length.rate(400.0), vec![balancer]);
    play.put_at(Work::Report, 2, length.rate(10.0), vec![balancer]);
    let (mut restarts, mut slowest) = (0, 0.0_f64);
    let pause = length.share(12).max(Duration::from_secs(2));
    // Both at least, however long that takes.
    while restarts < servers.len() || Instant::now() + pause < play.end {
        tokio::time::sleep(pause).await;
        let count = servers.len();
        let server = &mut servers[restarts % count];
        server.signal("TERM");
        let told = Instant::now();
        let status = server.ended().await;
        slowest = slowest.max(told.elapsed().as_secs_f64());
        if !status.success() {
            play.journal.fault(format!("a server ended with {status}: {}", server.tail()));
        }
        server.start(&stage).await;
        restarts += 1;
    }
    play.tell(&format!("{restarts} restarts"));
    play.bound("ended after", slowest, 10.0, "s");
    play.finish(&stage, servers).await
}

/// A balancer as simple as they come: a request goes to the next server, and to the other one if that
/// does not answer. Every request of the load may be sent twice.
async fn balance(servers: Vec<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let turn = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (servers, turn) = (servers.clone(), Arc::clone(&turn));
            tokio::spawn(async move {
                while let Some((head, body)) = read_message(&mut client).await {
                    let mut answer = None;
                    let first = turn.fetch_add(1, Ordering::Relaxed);
                    for number in first..first + servers.len() {
                        answer = ask(servers[number % servers.len()], &head, &body).await;
                        if answer.is_some() {
                            break;
                        }
                    }
                    let Some((head, body)) = answer else { return };
                    if client.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Sends a request on a connection of its own.
async fn ask(server: SocketAddr, head: &str, body: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    stream.set_nodelay(true).ok()?;
    stream.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    read_message(&mut stream).await
}
