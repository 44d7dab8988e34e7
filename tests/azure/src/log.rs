//! The log of requests, and the counters.

use std::sync::Mutex;

use tokio::sync::watch;

use crate::lock;
use crate::model::{Counters, Record, Service, Socket};

/// Requests and counters since the start or the last reset.
pub(crate) struct Log {
    content: Mutex<Content>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Content {
    records: Vec<Record>,
    counters: Counters,
    connections: u64,
    sequence: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            content: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Counts a connection and returns its number.
    pub(crate) fn connected(&self, socket: Socket) -> u64 {
        let mut content = lock(&self.content);
        content.connections += 1;
        *content.counters.connections.entry(socket).or_default() += 1;
        content.connections
    }

    /// Adds a request and returns its number.
    pub(crate) fn begin(&self, mut record: Record) -> u64 {
        let mut content = lock(&self.content);
        content.sequence += 1;
        record.sequence = content.sequence;
        *content.counters.requests.entry(record.service).or_default() += 1;
        content.records.push(record);
        let sequence = content.sequence;
        drop(content);
        self.changed.send_replace(());
        sequence
    }

    /// Records the answer to a request, unless a reset removed it meanwhile.
    pub(crate) fn answered(&self, sequence: u64, status: u16, aadsts: Option<u32>) {
        let mut content = lock(&self.content);
        if let Some(record) = content
            .records
            .iter_mut()
            .rfind(|record| record.sequence == sequence)
        {
            record.status = Some(status);
            record.aadsts = aadsts;
        }
    }

    pub(crate) fn token_given(&self, service: Service) {
        let counters = &mut lock(&self.content).counters;
        if service == Service::Imds {
            counters.node_tokens += 1;
        } else {
            counters.tokens += 1;
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        lock(&self.content).counters.clone()
    }

    /// The requests to one service, or to all.
    pub(crate) fn records(&self, service: Option<Service>) -> Vec<Record> {
        lock(&self.content)
            .records
            .iter()
            .filter(|record| service.is_none_or(|service| record.service == service))
            .cloned()
            .collect()
    }

    /// Waits until there are `count` records, and returns them.
    pub(crate) async fn wait(&self, service: Option<Service>, count: usize) -> Vec<Record> {
        let mut changed = self.changed.subscribe();
        loop {
            let records = self.records(service);
            // The sender lives in self: an error cannot come.
            if records.len() >= count || changed.changed().await.is_err() {
                return records;
            }
        }
    }

    /// Forgets requests and counters. Connections keep their numbers.
    pub(crate) fn clear(&self) {
        let mut content = lock(&self.content);
        content.records.clear();
        content.counters = Counters::default();
    }
}
