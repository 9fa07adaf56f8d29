//! Terraform (and OpenTofu): `terraform show -json` of a state or a plan, and raw state files of
//! version 4. Judged is what a plan would do (`resource_changes`), not what drifted.

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Discovery, Kind, Name, Trait};

use crate::files::{File, Root};
use crate::notes::Notes;
use crate::tree::{self, Node};
use crate::values::{Owner, Setting, settings};

mod resources;

use resources::{SWITCHES, kind_of};

/// Resources of one Terraform configuration are called by their address in this scope.
const SCOPE: &str = "terraform";

/// A resource in the one shape that all three formats are brought to.
struct Resource<'a> {
    address: String,
    resource_type: &'a str,
    name: &'a str,
    values: &'a Node,
    depends_on: Vec<String>,
    line: usize,
}

/// Reads one file.
pub(crate) fn read(root: &Root<'_>, file: &File, found: &mut Discovery) {
    let mut notes = root.notes(&file.shown, found);
    let Ok(document) = tree::json(&file.text) else { return };
    let mut resources = Vec::new();
    if document.get("version").number().is_some() && document.get("format_version").is_null() {
        if document.get("version").number() != Some(4) {
            let why = format!(
                "a state of version {}, and only version 4 is known",
                document.get("version")
            );
            notes.unread(document.get("version").line, why, "terraform show -json > state.json");
            return;
        }
        raw_state(&document, &mut resources);
    } else {
        let major = document.get("format_version").to_string();
        if !matches!(major.split('.').next(), Some("0" | "1")) {
            let why = format!("format version {major}, and only 1 is known");
            notes.unread(document.get("format_version").line, why, "use a newer changeover");
            return;
        }
        module(document.at(&["values", "root_module"]), &mut resources);
        module(document.at(&["prior_state", "values", "root_module"]), &mut resources);
        if resources.is_empty() {
            module(document.at(&["planned_values", "root_module"]), &mut resources);
        }
    }
    for resource in &resources {
        component(&mut notes, resource);
    }
    for resource in &resources {
        edges(&mut notes, resource, &resources);
    }
    if document.get("resource_changes").is_null() {
        for resource in &resources {
            switch(
                &mut notes,
                resource.resource_type,
                &resource.address,
                resource.line,
                Vec::new(),
            );
        }
    } else {
        changes(&mut notes, &document);
    }
    if document.get("errored").is_true() {
        let why = "the plan ended with an error: it does not say everything it would do";
        notes.unread(
            document.get("errored").line,
            why,
            "terraform plan -out=plan; terraform show -json plan",
        );
    }
}

/// `resources` of `show -json`, with those of child modules.
fn module<'a>(module: &'a Node, resources: &mut Vec<Resource<'a>>) {
    for node in module.get("resources").items() {
        if node.get("mode").text() == Some("data") {
            continue;
        }
        resources.push(Resource {
            address: node.get("address").to_string(),
            resource_type: node.get("type").text().unwrap_or_default(),
            name: node.get("name").text().unwrap_or_default(),
            values: node.get("values"),
            depends_on: node
                .get("depends_on")
                .texts()
                .into_iter()
                .map(|(t, _)| t.to_owned())
                .collect(),
            line: node.get("address").line,
        });
    }
    for child in module.get("child_modules").items() {
        self::module(child, resources);
    }
}

/// `resources` of a raw state: each with instances.
fn raw_state<'a>(document: &'a Node, resources: &mut Vec<Resource<'a>>) {
    for node in document.get("resources").items() {
        if node.get("mode").text() == Some("data") {
            continue;
        }
        let resource_type = node.get("type").text().unwrap_or_default();
        let name = node.get("name").text().unwrap_or_default();
        let module = node.get("module").text().map(|m| format!("{m}.")).unwrap_or_default();
        for instance in node.get("instances").items() {
            let index = instance.get("index_key");
            let quoted = index.text().is_some_and(|t| t.parse::<u64>().is_err());
            let key = match index.text() {
                Some(text) if quoted => format!("[\"{text}\"]"),
                Some(text) => format!("[{text}]"),
                None => String::new(),
            };
            let depends_on = instance.get("dependencies").texts();
            resources.push(Resource {
                address: format!("{module}{resource_type}.{name}{key}"),
                resource_type,
                name,
                values: instance.get("attributes"),
                depends_on: depends_on.into_iter().map(|(t, _)| t.to_owned()).collect(),
                line: node.get("name").line,
            });
        }
    }
}

/// Resources that are components.
fn component(notes: &mut Notes<'_>, resource: &Resource<'_>) {
    let Some((kind, engine)) = kind_of(resource.resource_type) else { return };
    let values = resource.values;
    let says = format!("{} is in Terraform's hands", resource.address);
    let evidence = notes.declared(resource.line, says);
    let name = Name::component(SCOPE, &resource.address);
    let mut component = notes.component(&label(resource), name.clone(), evidence);
    component.kind = Some(kind);
    let told = values.get("engine").text().map(|engine| match engine {
        "postgres" | "aurora-postgresql" => "postgres",
        "mysql" | "aurora-mysql" | "mariadb" => "mysql",
        "valkey" => "redis",
        other => other,
    });
    component.engine = told.or(engine).map(str::to_owned);
    let port = values.get("port").number().and_then(|port| u16::try_from(port).ok());
    for address in resources::addresses(values) {
        let (host, own) = match address.rsplit_once(':') {
            Some((host, own)) if !host.contains(':') => (host, own.parse().ok()),
            _ => (address, None),
        };
        if !host.contains("://") && !host.is_empty() {
            component.names.insert(Name::address(SCOPE, host, own.or(port)));
        }
    }
    let database = ["db_name", "database_name"].iter().find_map(|key| values.get(key).text());
    component.databases.extend(database.filter(|name| !name.is_empty()).map(str::to_owned));
    if resources::faces_clients(resource.resource_type, values) {
        component.traits.insert(Trait::FacesClients);
    }
    notes.add(component);
    environment(notes, resource, &name);
}

/// A resource's `Name` tag or its own name.
fn label(resource: &Resource<'_>) -> String {
    let values = resource.values;
    let named = [
        "identifier",
        "cluster_identifier",
        "replication_group_id",
        "cluster_id",
        "broker_name",
        "function_name",
    ]
    .iter()
    .find_map(|key| values.get(key).text())
    .or_else(|| values.at(&["tags", "Name"]).text())
    .or_else(|| values.get("name").text())
    .filter(|name| !name.is_empty());
    named.unwrap_or(resource.name).to_owned()
}

/// Environment variables of functions and container definitions.
fn environment(notes: &mut Notes<'_>, resource: &Resource<'_>, name: &Name) {
    let label = label(resource);
    let owner = Owner { label: &label, name, scope: SCOPE };
    for block in resource.values.get("environment").items() {
        let variables = block.get("variables").entries();
        let all: Vec<Setting<'_>> = variables
            .iter()
            .filter_map(|(key, v)| {
                Some(Setting { key, value: v.text()?, file: None, line: resource.line })
            })
            .collect();
        settings(notes, &owner, &all);
    }
    // A task definition is JSON in a text.
    let Some(text) = resource.values.get("container_definitions").text() else { return };
    let Ok(definitions) = tree::json(text) else {
        let why = format!("the container definitions of {} are not JSON", resource.address);
        notes.unread(resource.line, why, "mend them");
        return;
    };
    for container in definitions.items() {
        let variables = container.get("environment").items();
        let all: Vec<Setting<'_>> = variables
            .iter()
            .filter_map(|v| {
                let (key, value) = (v.get("name").text()?, v.get("value").text()?);
                Some(Setting { key, value, file: None, line: resource.line })
            })
            .collect();
        settings(notes, &owner, &all);
    }
}

/// Dependencies between resources that are components, also through those that are none.
fn edges(notes: &mut Notes<'_>, resource: &Resource<'_>, all: &[Resource<'_>]) {
    if kind_of(resource.resource_type).is_none_or(|(kind, _)| kind == Kind::Host) {
        return;
    }
    for address in reached(resource, all) {
        let evidence =
            notes.declared(resource.line, format!("{} depends on {address}", resource.address));
        let from = Name::component(SCOPE, &resource.address);
        notes.uses(&from, Name::component(SCOPE, &address), evidence);
    }
}

/// The nearest components that a resource depends on.
fn reached(resource: &Resource<'_>, all: &[Resource<'_>]) -> Vec<String> {
    let mut open: Vec<&str> = resource.depends_on.iter().map(String::as_str).collect();
    let (mut seen, mut found) = (Vec::new(), Vec::new());
    while let Some(address) = open.pop() {
        if seen.contains(&address) {
            continue;
        }
        seen.push(address);
        let bare = |full: &str| full.split('[').next().unwrap_or_default().to_owned();
        for other in all.iter().filter(|o| o.address == address || bare(&o.address) == address) {
            if other.address == resource.address {
                continue;
            }
            if kind_of(other.resource_type).is_some() {
                found.push(other.address.clone());
            } else {
                open.extend(other.depends_on.iter().map(String::as_str));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What the plan would do with the resources that decide where traffic goes.
fn changes(notes: &mut Notes<'_>, document: &Node) {
    for change in document.get("resource_changes").items() {
        if change.get("mode").text() == Some("data") {
            continue;
        }
        let actions = change.at(&["change", "actions"]).texts();
        let actions: Vec<String> =
            actions.into_iter().map(|(a, _)| a.to_owned()).filter(|a| a != "no-op").collect();
        let resource_type = change.get("type").text().unwrap_or_default();
        let address = change.get("address");
        switch(notes, resource_type, &address.to_string(), address.line, actions);
    }
}

fn switch(notes: &mut Notes<'_>, kind: &str, address: &str, line: usize, actions: Vec<String>) {
    if !SWITCHES.contains(&kind) {
        return;
    }
    let says = if actions.is_empty() {
        format!("{address} decides where traffic goes and is in Terraform's hands")
    } else {
        format!("{address} decides where traffic goes; the plan would {} it", actions.join(" and "))
    };
    let what = HintKind::SwitchResource {
        address: address.to_owned(),
        resource_type: kind.to_owned(),
        actions,
    };
    let evidence = notes.declared(line, says);
    notes.hint(address, what, evidence);
}
