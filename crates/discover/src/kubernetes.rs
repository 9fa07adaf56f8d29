//! Kubernetes manifests. All files of a root are read before any is understood: a Service finds
//! its workload by labels, a container its settings in a ConfigMap. Secrets are never opened.

use std::collections::BTreeMap;

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Component, Discovery, Endpoint, Kind, Name, Trait};

use crate::files::{File, Root};
use crate::notes::{Notes, engine_of_image, sounds_like_background};
use crate::tree::{self, Node};
use crate::values::{Owner, Setting, settings};

mod routes;
mod workload;

/// An object and the file it stands in.
struct Object<'a> {
    file: &'a File,
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    node: &'a Node,
}

impl Object<'_> {
    fn scope(&self) -> String {
        scope(self.namespace)
    }

    /// Its place in the cluster, which no address of anything else can be.
    fn own_name(&self) -> Name {
        Name::component(&self.scope(), &format!("{}/{}", self.kind.to_ascii_lowercase(), self.name))
    }

    /// Labels of the pods it makes.
    fn pod_labels(&self) -> &[(String, Node)] {
        self.pod_template().at(&["metadata", "labels"]).entries()
    }

    fn pod_template(&self) -> &Node {
        match self.kind {
            "CronJob" => self.node.at(&["spec", "jobTemplate", "spec", "template"]),
            "Pod" => self.node,
            _ => self.node.at(&["spec", "template"]),
        }
    }

    fn is_workload(&self) -> bool {
        matches!(
            self.kind,
            "Deployment"
                | "StatefulSet"
                | "DaemonSet"
                | "CronJob"
                | "Job"
                | "Pod"
                | "ReplicaSet"
                | "Rollout"
        )
    }
}

fn scope(namespace: &str) -> String {
    format!("kubernetes namespace {namespace}")
}

/// Reads all manifests of a root.
pub(crate) fn read(root: &Root<'_>, files: &[&File], found: &mut Discovery) {
    let documents: Vec<(&File, Vec<Node>)> = files
        .iter()
        .filter_map(|file| {
            let json = file.text.trim_start().starts_with('{');
            let read =
                if json { tree::json(&file.text).map(|n| vec![n]) } else { tree::yaml(&file.text) };
            read.ok().map(|documents| (*file, documents))
        })
        .collect();
    let mut objects: Vec<Object<'_>> = Vec::new();
    for (file, nodes) in &documents {
        for node in nodes {
            let listed = node.get("kind").text().is_some_and(|kind| kind.ends_with("List"));
            let items = if listed { node.get("items").items() } else { std::slice::from_ref(node) };
            objects.extend(items.iter().filter_map(|node| object(file, node)));
        }
    }
    for (file, nodes) in &documents {
        for node in nodes.iter().filter(|node| node.get("kind").text() == Some("Kustomization")) {
            let why = "what kustomize makes of the manifests is not known";
            let next = "give what `kubectl kustomize DIR` prints";
            root.notes(&file.shown, found).unread(node.get("kind").line, why, next);
        }
    }
    for object in &objects {
        let mut notes = root.notes(&object.file.shown, found);
        match object.kind {
            _ if object.is_workload() => workload::read(&mut notes, object, &objects),
            "Service" => routes::service(&mut notes, object, &objects),
            "Ingress" => routes::ingress(&mut notes, object),
            "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" => {
                routes::route(&mut notes, object)
            }
            "HorizontalPodAutoscaler" => autoscaler(&mut notes, object),
            _ => {}
        }
    }
}

fn object<'a>(file: &'a File, node: &'a Node) -> Option<Object<'a>> {
    let kind = node.get("kind").text()?;
    let name = node.at(&["metadata", "name"]).text()?;
    let namespace = node.at(&["metadata", "namespace"]).text().unwrap_or("default");
    Some(Object { file, kind, name, namespace, node })
}

fn autoscaler(notes: &mut Notes<'_>, object: &Object<'_>) {
    let spec = object.node.get("spec");
    let target = spec.at(&["scaleTargetRef", "name"]).to_string();
    let least = spec.get("minReplicas");
    let min = least.number().unwrap_or(1);
    let max = spec.get("maxReplicas").number().unwrap_or(min);
    let line = if least.line > 0 { least.line } else { object.node.line };
    let evidence = notes.declared(line, format!("{target} may be scaled between {min} and {max}"));
    notes.hint(&target, HintKind::AutoscalerMinimum { min, max }, evidence);
}

/// A host as pods see it: `db`, `db.shop`, `db.shop.svc.cluster.local`.
fn cluster_name(namespace: &str, host: &str) -> Option<Name> {
    let mut parts = host.split('.');
    let service = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    match rest.as_slice() {
        [] => Some(Name::component(&scope(namespace), service)),
        [other, "svc", ..] => Some(Name::component(&scope(other), service)),
        _ => None,
    }
}
