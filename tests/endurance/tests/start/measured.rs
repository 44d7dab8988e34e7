//! Starts pods, reads the moments of their start from their logs, and makes a table of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use contract::container::{PROXY, PROXY_INIT};
use e2e::Namespace;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use tokio::time::timeout;

use crate::form::{BARE, Form};

/// Seconds from the API call to each moment.
pub struct Start {
    /// The application's first line.
    first_line: f64,
    /// Its first token, if it asks for one.
    token: Option<f64>,
    /// The first line of each injected container.
    injected: BTreeMap<&'static str, f64>,
}

impl fmt::Display for Start {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, seconds) in &self.injected {
            write!(formatter, "{name} {seconds:.2} s, ")?;
        }
        write!(formatter, "first line {:.2} s", self.first_line)?;
        match self.token {
            Some(seconds) => write!(formatter, ", token {seconds:.2} s"),
            None => Ok(()),
        }
    }
}

/// The pods of a namespace.
pub struct Pods<'a> {
    api: Api<Pod>,
    namespace: &'a Namespace,
}

impl<'a> Pods<'a> {
    pub fn new(client: Client, namespace: &'a Namespace) -> Self {
        let api = Api::namespaced(client, namespace.name());
        Self { api, namespace }
    }

    /// Creates a pod, waits for its end, and removes it.
    pub async fn start(&self, form: &Form, round: usize) -> Start {
        let mut pod: Pod = serde_json::from_value(form.pod.clone()).expect("it is a pod");
        pod.metadata.name = None;
        pod.metadata.generate_name = Some(format!("start-{round}-"));
        let created = Timestamp::now();
        let pod = self.api.create(&PostParams::default(), &pod).await;
        let pod = pod.expect("the pod is admitted");
        let name = pod.metadata.name.clone().expect("the API server names it");
        let ended = await_condition(self.api.clone(), &name, has_ended);
        let ended = timeout(DEADLINE, ended).await;
        ended.expect("it ends in time").expect("the watch lasts");
        let since = |time: Timestamp| time.duration_since(created).as_secs_f64();
        let lines = self.namespace.timed_log(&name, "app").await;
        let mut lines = lines.iter().map(|(time, _)| since(*time));
        let mut injected = BTreeMap::new();
        for container in [PROXY_INIT, PROXY] {
            if has_container(&pod, container) {
                let lines = self.namespace.timed_log(&name, container).await;
                injected.extend(lines.first().map(|(time, _)| (container, since(*time))));
            }
        }
        let start = Start {
            first_line: lines.next().expect("the application printed a line"),
            token: lines.next(),
            injected,
        };
        let at_once = DeleteParams::default().grace_period(0);
        let deleted = self.api.delete(&name, &at_once).await;
        deleted.expect("it can be deleted");
        start
    }
}

const DEADLINE: Duration = Duration::from_secs(60);

/// Whether the application has ended; a plain sidecar goes on.
fn has_ended(pod: Option<&Pod>) -> bool {
    let statuses = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref());
    let mut statuses = statuses.into_iter().flatten();
    statuses.any(|status| {
        let state = status.state.as_ref();
        status.name == "app" && state.is_some_and(|state| state.terminated.is_some())
    })
}

fn has_container(pod: &Pod, name: &str) -> bool {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref());
    let containers = spec.map(|spec| &spec.containers);
    let mut all = init.into_iter().chain(containers).flatten();
    all.any(|container| container.name == name)
}

/// The starts of each form, in the order in which the forms were measured.
#[derive(Default)]
pub struct Table(Vec<(&'static str, Vec<Start>)>);

impl Table {
    pub fn add(&mut self, form: &'static str, start: Start) {
        match self.0.iter_mut().find(|(name, _)| *name == form) {
            Some((_, starts)) => starts.push(start),
            None => self.0.push((form, vec![start])),
        }
    }

    /// The table in Markdown.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "| a pod | first line, median | worst | to a pod alone | first token, median | worst |\n\
             |---|--:|--:|--:|--:|--:|\n",
        );
        let bare = self.0.iter().find(|(name, _)| *name == BARE);
        let bare = bare.map(|(_, starts)| median(&first_lines(starts)));
        for (name, starts) in &self.0 {
            let lines = first_lines(starts);
            let tokens: Vec<_> = starts.iter().filter_map(|start| start.token).collect();
            let ratio = bare.map_or_else(String::new, |bare| {
                format!("{:.1} ×", median(&lines) / bare)
            });
            let [token, worst_token] = if tokens.is_empty() {
                [String::new(), String::new()]
            } else {
                [seconds(median(&tokens)), seconds(worst(&tokens))]
            };
            text += &format!(
                "| {name} | {} | {} | {ratio} | {token} | {worst_token} |\n",
                seconds(median(&lines)),
                seconds(worst(&lines)),
            );
        }
        text
    }
}

fn first_lines(starts: &[Start]) -> Vec<f64> {
    starts.iter().map(|start| start.first_line).collect()
}

fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}

fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}
