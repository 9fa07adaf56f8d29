//! Services, Ingresses and routes: how workloads are reached.

use super::*;

/// A Service is another name of the one workload that it selects; with several, or none that was
/// given, it is a component of its own that leads to them.
pub(super) fn service(notes: &mut Notes<'_>, object: &Object<'_>, all: &[Object<'_>]) {
    let spec = object.node.get("spec");
    let selector = spec.get("selector").entries();
    let selected: Vec<&Object<'_>> = all
        .iter()
        .filter(|other| other.is_workload() && other.namespace == object.namespace)
        .filter(|other| !selector.is_empty() && selects(selector, other.pod_labels()))
        .collect();
    let line = object.node.at(&["metadata", "name"]).line;
    let own = Name::component(&object.scope(), object.name);
    let evidence = notes.declared(line, format!("Service {}", object.name));
    let mut component = notes.component(object.name, own.clone(), evidence);
    let outside = matches!(spec.get("type").text(), Some("LoadBalancer" | "NodePort"));
    if outside {
        component.traits.insert(Trait::FacesClients);
    }
    if let [workload] = selected.as_slice() {
        component.label = workload.name.to_owned();
        component.names.insert(workload.own_name());
    }
    if let Some(host) = spec.get("externalName").text() {
        let evidence = notes
            .declared(spec.get("externalName").line, format!("{} leads to {host}", object.name));
        let what =
            HintKind::HardCodedAddress { key: "externalName".to_owned(), address: host.to_owned() };
        notes.hint(object.name, what, evidence);
        component.names.insert(Name::address(&object.scope(), host, None));
    }
    notes.add(component);
    if selected.len() > 1 {
        for workload in selected {
            let says = format!("Service {} selects {}", object.name, workload.name);
            let evidence = notes.declared(line, says);
            notes.uses(&own, workload.own_name(), evidence);
        }
    }
}

fn selects(selector: &[(String, Node)], labels: &[(String, Node)]) -> bool {
    selector.iter().all(|(key, value)| {
        labels.iter().any(|(other, label)| other == key && label.text() == value.text())
    })
}

pub(super) fn ingress(notes: &mut Notes<'_>, object: &Object<'_>) {
    let spec = object.node.get("spec");
    let hosts: Vec<&str> =
        spec.get("rules").items().iter().filter_map(|rule| rule.get("host").text()).collect();
    let name = entrance(notes, object, &hosts);
    let backend = |node: &Node| {
        let service = node.at(&["backend", "service", "name"]);
        let service =
            if service.is_null() { node.at(&["backend", "serviceName"]) } else { service };
        service.text().map(|text| (text.to_owned(), service.line))
    };
    let mut backends: Vec<(String, usize)> = Vec::new();
    let default = spec.at(&["defaultBackend", "service", "name"]);
    backends.extend(default.text().map(|text| (text.to_owned(), default.line)));
    for rule in spec.get("rules").items() {
        backends.extend(rule.at(&["http", "paths"]).items().iter().filter_map(backend));
    }
    for (service, line) in backends {
        let evidence = notes.declared(line, format!("Ingress {} leads to {service}", object.name));
        notes.uses(&name, Name::component(&object.scope(), &service), evidence);
    }
    for (seconds, annotation) in timeouts(object) {
        let evidence = notes.declared(annotation.1, format!("{} of {}", annotation.0, object.name));
        let what = HintKind::Timeout { name: annotation.0, ms: seconds * 1000 };
        notes.hint(object.name, what, evidence);
    }
}

/// `nginx.ingress.kubernetes.io/proxy-read-timeout` and kin, in seconds.
fn timeouts(object: &Object<'_>) -> Vec<(u64, (String, usize))> {
    let annotations = object.node.at(&["metadata", "annotations"]).entries();
    annotations
        .iter()
        .filter(|(key, _)| key.ends_with("-timeout"))
        .filter_map(|(key, value)| {
            let name = key.rsplit('/').next().unwrap_or_default().to_owned();
            Some((value.text()?.trim_end_matches('s').parse().ok()?, (name, value.line)))
        })
        .collect()
}

pub(super) fn route(notes: &mut Notes<'_>, object: &Object<'_>) {
    let spec = object.node.get("spec");
    let hosts: Vec<&str> =
        spec.get("hostnames").texts().into_iter().map(|(text, _)| text).collect();
    let name = entrance(notes, object, &hosts);
    for rule in spec.get("rules").items() {
        for backend in rule.get("backendRefs").items() {
            let Some(service) = backend.get("name").text() else { continue };
            let namespace = backend.get("namespace").text().unwrap_or(object.namespace);
            let weight = backend.get("weight").text().map(|w| format!(" with weight {w}"));
            let says = format!(
                "{} {} leads to {service}{}",
                object.kind,
                object.name,
                weight.unwrap_or_default()
            );
            let evidence = notes.declared(backend.line, says);
            notes.uses(&name, Name::component(&scope(namespace), service), evidence);
        }
    }
}

/// The component for an Ingress or route.
fn entrance(notes: &mut Notes<'_>, object: &Object<'_>, hosts: &[&str]) -> Name {
    let name = object.own_name();
    let line = object.node.at(&["metadata", "name"]).line;
    let says = format!("{} {} for {}", object.kind, object.name, hosts.join(", "));
    let evidence = notes.declared(line, says);
    let mut component =
        notes.component(&format!("{} {}", object.kind, object.name), name.clone(), evidence);
    component.kind = Some(Kind::Service);
    component.engine = Some(object.kind.to_ascii_lowercase());
    component.traits.insert(Trait::FacesClients);
    for host in hosts.iter().filter(|host| !host.contains('*')) {
        if Endpoint::parse(&format!("https://{host}")).is_some() {
            component.names.insert(Name::address(&object.scope(), host, None));
        }
    }
    notes.add(component);
    name
}
