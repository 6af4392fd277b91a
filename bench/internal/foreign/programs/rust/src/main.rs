//! A rival in Rust: rival KIND SIZE IN_FLIGHT. See package foreign for what it reads and writes.

use std::collections::HashMap;
use std::env;
use std::io::{self, BufRead};
use std::process::{Child, Command};
use std::time::Instant;

use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender};
use serde::{Deserialize, Serialize};

const LAST: u64 = 1;

/// The struct of record.Sample.
#[derive(Serialize, Deserialize, Clone)]
struct Record {
    id: u64,
    name: String,
    tags: Vec<String>,
    attrs: HashMap<String, String>,
    score: f64,
    when: i64,
    #[serde(with = "serde_bytes")]
    blob: Vec<u8>,
}

fn sample(id: u64) -> Record {
    let attrs = [("format", "webp"), ("owner", "gallery"), ("region", "eu-central")];
    Record {
        id,
        name: "resize the picture".into(),
        tags: ["image", "urgent", "customer"].map(String::from).to_vec(),
        attrs: attrs.map(|(k, v)| (k.into(), v.into())).into(),
        score: 0.8125,
        when: 1_700_000_000_123_456_000,
        blob: (0..64u32).map(|i| (7 * i) as u8).collect(),
    }
}

/// What a child hands to its parent when it starts: the ends on which the parent sends and receives.
#[derive(Serialize, Deserialize)]
enum Ends {
    Bytes(IpcBytesSender, IpcBytesReceiver),
    Records(IpcSender<Record>, IpcReceiver<Record>),
}

/// Messages of one type that carry a number.
trait Link {
    fn send(&self, number: u64);
    /// Receives a message, gives its number, and None at the end.
    fn recv(&self) -> Option<u64>;
    /// Sends a message that is ready.
    fn send_plain(&self);
}

struct Bytes {
    tx: IpcBytesSender,
    rx: IpcBytesReceiver,
    plain: Vec<u8>,
}

impl Link for Bytes {
    fn send(&self, number: u64) {
        let mut message = self.plain.clone();
        message[..8].copy_from_slice(&number.to_le_bytes());
        self.tx.send(&message).expect("send");
    }
    fn recv(&self) -> Option<u64> {
        let message = self.rx.recv().ok()?;
        Some(u64::from_le_bytes(message[..8].try_into().unwrap()))
    }
    fn send_plain(&self) {
        self.tx.send(&self.plain).expect("send");
    }
}

struct Records {
    tx: IpcSender<Record>,
    rx: IpcReceiver<Record>,
    plain: Record,
}

impl Link for Records {
    fn send(&self, number: u64) {
        self.tx.send(sample(number)).expect("send");
    }
    fn recv(&self) -> Option<u64> {
        Some(self.rx.recv().ok()?.id)
    }
    fn send_plain(&self) {
        // send takes the value, so a sender of the same record makes a copy.
        self.tx.send(self.plain.clone()).expect("send");
    }
}

fn link(ends: Ends, size: usize) -> Box<dyn Link> {
    match ends {
        Ends::Bytes(tx, rx) => Box::new(Bytes { tx, rx, plain: vec![0; size] }),
        Ends::Records(tx, rx) => Box::new(Records { tx, rx, plain: sample(0) }),
    }
}

fn serve(server: String, kind: &str, size: usize) {
    let to_parent = IpcSender::<Ends>::connect(server).expect("connect");
    let mine = if kind == "struct" {
        let (there_tx, there_rx) = ipc::channel().expect("channel");
        let (back_tx, back_rx) = ipc::channel().expect("channel");
        to_parent.send(Ends::Records(there_tx, back_rx)).expect("send");
        Ends::Records(back_tx, there_rx)
    } else {
        let (there_tx, there_rx) = ipc::bytes_channel().expect("channel");
        let (back_tx, back_rx) = ipc::bytes_channel().expect("channel");
        to_parent.send(Ends::Bytes(there_tx, back_rx)).expect("send");
        Ends::Bytes(back_tx, there_rx)
    };
    drop(to_parent);
    let link = link(mine, size);
    let mut count = 0;
    while let Some(number) = link.recv() {
        count += 1;
        match kind {
            "echo" => link.send_plain(),
            "spawn" => return link.send(number),
            _ if number == LAST => {
                link.send(count);
                count = 0;
            }
            _ => {}
        }
    }
}

fn start(kind: &str, size: usize) -> (Child, Box<dyn Link>) {
    let (server, name) = IpcOneShotServer::<Ends>::new().expect("server");
    let child = Command::new(env::current_exe().expect("path"))
        .args([kind, &size.to_string(), "0", &name])
        .spawn()
        .expect("spawn");
    let (_, ends) = server.accept().expect("accept");
    (child, link(ends, size))
}

fn stream(link: &dyn Link, n: u64) -> Vec<u128> {
    let began = Instant::now();
    for _ in 1..n {
        link.send_plain();
    }
    link.send(LAST);
    let got = link.recv();
    assert_eq!(got, Some(n), "the child has got another number of messages");
    vec![began.elapsed().as_nanos()]
}

fn echo(link: &dyn Link, n: u64) -> Vec<u128> {
    let began = Instant::now();
    let mut start = began;
    let mut times = Vec::with_capacity(n as usize);
    for _ in 0..n {
        link.send_plain();
        link.recv().expect("answer");
        let now = Instant::now();
        times.push((now - start).as_nanos());
        start = now;
    }
    times.sort();
    let at = |percent: usize| times[(times.len() * percent + 99) / 100 - 1];
    vec![(start - began).as_nanos(), at(50), at(99)]
}

fn spawn(n: u64) -> Vec<u128> {
    let began = Instant::now();
    for _ in 0..n {
        let (mut child, link) = start("spawn", 16);
        link.send(LAST);
        link.recv().expect("answer");
        child.wait().expect("wait");
    }
    vec![began.elapsed().as_nanos()]
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let kind = args[1].as_str();
    let size = args[2].parse().expect("size");
    if let Some(server) = args.get(4) {
        return serve(server.clone(), kind, size);
    }
    let mut started = if kind == "spawn" { None } else { Some(start(kind, size)) };
    println!("ready");
    for line in io::stdin().lock().lines() {
        let n = line.expect("line").trim().parse().expect("number");
        let times = match (&started, kind) {
            (None, _) => spawn(n),
            (Some((_, link)), "echo") => echo(link.as_ref(), n),
            (Some((_, link)), _) => stream(link.as_ref(), n),
        };
        let texts: Vec<String> = times.iter().map(u128::to_string).collect();
        println!("{}", texts.join(" "));
    }
    if let Some((mut child, link)) = started.take() {
        drop(link);
        child.wait().expect("wait");
    }
}
