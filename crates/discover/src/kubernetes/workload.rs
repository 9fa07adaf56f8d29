//! Workloads: containers, their settings, probes and disks.

use super::*;

/// A setting of a container, with the file that holds its value.
struct Found<'a> {
    file: &'a File,
    key: &'a str,
    value: String,
    line: usize,
}

pub(super) fn read(notes: &mut Notes<'_>, object: &Object<'_>, all: &[Object<'_>]) {
    let name = object.own_name();
    let spec = object.pod_template().get("spec");
    let containers = spec.get("containers").items();
    let images: Vec<&str> = containers.iter().filter_map(|c| c.get("image").text()).collect();
    let engine = images.iter().find_map(|image| engine_of_image(image));
    let says = format!("{} {} runs {}", object.kind, object.name, images.join(", "));
    let line = object.node.at(&["metadata", "name"]).line;
    let mut component = notes.component(object.name, name.clone(), notes.declared(line, says));
    component.kind = Some(engine.map_or(Kind::Service, |(_, kind)| kind));
    component.engine = engine.map(|(engine, _)| engine.to_owned());
    background(notes, object, containers, line, &mut component);
    disks(notes, object, spec, &mut component);
    for container in containers {
        notes.image(object.name, container.get("image").text().unwrap_or_default(), container.line);
        probes(notes, object, container, &component);
    }
    if let Some(seconds) = spec.get("terminationGracePeriodSeconds").number() {
        let node = spec.get("terminationGracePeriodSeconds");
        let evidence =
            notes.declared(node.line, format!("{} may drain for {seconds} s", object.name));
        let name = "terminationGracePeriodSeconds".to_owned();
        let what = HintKind::Timeout { name, ms: seconds.saturating_mul(1000) };
        notes.hint(object.name, what, evidence);
    }
    let is_service = component.kind == Some(Kind::Service);
    if component.kind == Some(Kind::Database) {
        for found in containers.iter().flat_map(|c| environment(object, c, all)) {
            if matches!(found.key, "POSTGRES_DB" | "MYSQL_DATABASE") {
                component.databases.insert(found.value);
            }
        }
    }
    notes.add(component);
    for container in containers.iter().filter(|_| is_service) {
        let values = environment(object, container, all);
        let scope = object.scope();
        for file in files(&values) {
            let own: Vec<Setting<'_>> = values
                .iter()
                .filter(|found| found.file.path == file.path)
                .map(|found| Setting {
                    key: found.key,
                    value: &found.value,
                    file: None,
                    line: found.line,
                })
                .collect();
            let links = notes.found.links.len();
            let mut there = Notes {
                source: &file.shown,
                machine: notes.machine,
                now: notes.now,
                found: notes.found,
            };
            settings(&mut there, &Owner { label: object.name, name: &name, scope: &scope }, &own);
            for link in &mut notes.found.links[links..] {
                if let Some(inside) = cluster_name(object.namespace, &link.to.host) {
                    link.to = Name { port: link.to.port, ..inside };
                }
            }
        }
    }
}

/// The files in which values stand, each once.
fn files<'a>(values: &[Found<'a>]) -> Vec<&'a File> {
    let mut files: Vec<&File> = Vec::new();
    for found in values {
        if !files.iter().any(|file| file.path == found.file.path) {
            files.push(found.file);
        }
    }
    files
}

/// What a container is told: its own `env`, and ConfigMaps that were given too.
fn environment<'a>(object: &Object<'a>, container: &'a Node, all: &[Object<'a>]) -> Vec<Found<'a>> {
    let map = |name: &str| {
        all.iter()
            .find(|o| o.kind == "ConfigMap" && o.name == name && o.namespace == object.namespace)
    };
    let mut values: Vec<Found<'a>> = Vec::new();
    for entry in container.get("env").items() {
        let Some(key) = entry.get("name").text() else { continue };
        if let Some(value) = entry.get("value").text() {
            let line = entry.get("value").line;
            values.push(Found { file: object.file, key, value: value.to_owned(), line });
            continue;
        }
        let reference = entry.at(&["valueFrom", "configMapKeyRef"]);
        let node = reference.get("name").text().and_then(map).map(|o| (o, o.node.get("data")));
        if let Some((from, data)) = node
            && let Some(value) = reference.get("key").text().map(|key| data.get(key))
            && let Some(text) = value.text()
        {
            values.push(Found { file: from.file, key, value: text.to_owned(), line: value.line });
        }
    }
    for entry in container.get("envFrom").items() {
        let Some(from) = entry.at(&["configMapRef", "name"]).text().and_then(map) else { continue };
        for (key, value) in from.node.get("data").entries() {
            if let Some(text) = value.text() {
                values.push(Found {
                    file: from.file,
                    key,
                    value: text.to_owned(),
                    line: value.line,
                });
            }
        }
    }
    // `$(NAME)` refers to an earlier variable.
    let known: BTreeMap<String, String> =
        values.iter().map(|found| (found.key.to_owned(), found.value.clone())).collect();
    for found in &mut values {
        for (key, value) in &known {
            found.value = found.value.replace(&format!("$({key})"), value);
        }
    }
    values
}

fn background(
    notes: &mut Notes<'_>,
    object: &Object<'_>,
    containers: &[Node],
    line: usize,
    component: &mut Component,
) {
    let words: Vec<&str> = containers
        .iter()
        .flat_map(|c| ["command", "args"].into_iter().flat_map(|key| c.get(key).texts()))
        .map(|(text, _)| text)
        .collect();
    let sounds = sounds_like_background(object.name) || sounds_like_background(&words.join(" "));
    let timed = object.kind == "CronJob";
    let service = component.kind == Some(Kind::Service);
    if !(timed || object.kind == "Job" || (sounds && service)) {
        return;
    }
    component.traits.insert(Trait::Background);
    let schedule = object.node.at(&["spec", "schedule"]);
    let line = if schedule.line > 0 { schedule.line } else { line };
    let evidence = notes.declared(line, format!("{} {} works by itself", object.kind, object.name));
    let schedule = schedule.text().map(str::to_owned);
    notes.hint(object.name, HintKind::BackgroundWork { schedule }, evidence);
}

fn disks(notes: &mut Notes<'_>, object: &Object<'_>, spec: &Node, component: &mut Component) {
    if component.kind != Some(Kind::Service) {
        return;
    }
    let mounts: Vec<(&str, &Node)> = spec
        .get("containers")
        .items()
        .iter()
        .flat_map(|c| c.get("volumeMounts").items())
        .filter_map(|mount| Some((mount.get("name").text()?, mount.get("mountPath"))))
        .collect();
    let claims = object.node.at(&["spec", "volumeClaimTemplates"]).items().iter();
    let claimed = claims.filter_map(|claim| claim.at(&["metadata", "name"]).text());
    let volumes = spec.get("volumes").items().iter().filter_map(|volume| {
        let kept = ["persistentVolumeClaim", "hostPath", "emptyDir"];
        let kind = kept.iter().find(|kind| volume.entries().iter().any(|(key, _)| key == *kind))?;
        let memory = volume.at(&["emptyDir", "medium"]).text() == Some("Memory");
        (!memory).then_some(())?;
        Some((volume.get("name").text()?, *kind))
    });
    let all: Vec<(&str, &str)> =
        claimed.map(|name| (name, "persistentVolumeClaim")).chain(volumes).collect();
    for (volume, kind) in all {
        for (_, path) in mounts.iter().filter(|(name, _)| *name == volume) {
            let path_text = path.to_string();
            if path_text.starts_with("/tmp") || path_text.starts_with("/run") {
                continue;
            }
            if kind != "emptyDir" {
                component.traits.insert(Trait::KeepsFiles);
            }
            let says = format!("{} keeps files under {path_text} ({kind})", object.name);
            let evidence = notes.declared(path.line, says);
            let what = HintKind::LocalState { path: path_text, volume: volume.to_owned() };
            notes.hint(object.name, what, evidence);
        }
    }
}

fn probes(notes: &mut Notes<'_>, object: &Object<'_>, container: &Node, component: &Component) {
    if component.kind != Some(Kind::Service) || component.traits.contains(&Trait::Background) {
        return;
    }
    let keys = ["readinessProbe", "livenessProbe", "startupProbe"];
    if keys.into_iter().all(|key| container.get(key).is_null()) {
        let says = format!("container {} of {} has no probe", container.get("name"), object.name);
        let evidence = notes.declared(container.line, says);
        notes.hint(object.name, HintKind::NoHealthCheck, evidence);
    }
}
