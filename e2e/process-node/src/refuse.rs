//! What this node does not do, said before anything is started.
//!
//! Pure.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

use crate::image::plain;

/// Why a pod cannot run here; none when it can.
pub(crate) fn refuse(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let why = of_pod(pod, spec)
        .or_else(|| spec.volumes.iter().flatten().find_map(of_volume))
        .or_else(|| spec.containers.iter().find_map(|container| of_container(spec, container)))?;
    Some(format!("a process node runs simple Job pods only: {why}"))
}

fn first(rules: &[(bool, &str)]) -> Option<String> {
    rules.iter().find(|(broken, _)| *broken).map(|(_, why)| (*why).to_owned())
}

fn of_pod(pod: &Pod, spec: &PodSpec) -> Option<String> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let security = spec.security_context.as_ref();
    first(&[
        (!owners.into_iter().any(|owner| owner.controller == Some(true) && owner.kind == "Job"), "the pod belongs to no Job"),
        (spec.restart_policy.as_deref() != Some("Never"), "restartPolicy must be Never"),
        (spec.init_containers.iter().flatten().next().is_some(), "it has init containers"),
        (
            spec.host_network == Some(true) || spec.host_pid == Some(true) || spec.host_ipc == Some(true),
            "it wants the host's namespaces",
        ),
        (spec.share_process_namespace == Some(true), "it shares a process namespace"),
        (spec.resource_claims.iter().flatten().next().is_some(), "it has resource claims"),
        (spec.readiness_gates.iter().flatten().next().is_some(), "it has readiness gates"),
        (security.is_some_and(|security| security.sysctls.iter().flatten().next().is_some()), "it sets sysctls"),
    ])
}

fn of_volume(volume: &Volume) -> Option<String> {
    let name = &volume.name;
    if !is_name(name) {
        return Some(format!("the volume name \"{name}\" is none"));
    }
    if let Some(empty) = &volume.empty_dir {
        return empty
            .medium
            .as_deref()
            .is_some_and(|medium| !medium.is_empty())
            .then(|| format!("the volume {name} has a medium"));
    }
    if volume.config_map.is_some() || volume.secret.is_some() {
        return None;
    }
    if let Some(downward) = &volume.downward_api {
        let unknown = downward.items.iter().flatten().any(|item| item.field_ref.is_none());
        return unknown.then(|| format!("the volume {name} has more than fields of the pod"));
    }
    if volume.projected.is_some() {
        return Some(format!("the volume {name} is projected; set automountServiceAccountToken: false if it is a token's"));
    }
    Some(format!("the volume {name} is none of emptyDir, configMap, secret and downwardAPI"))
}

fn of_container(spec: &PodSpec, container: &Container) -> Option<String> {
    let name = &container.name;
    if !is_name(name) {
        return Some(format!("the container name \"{name}\" is none"));
    }
    let security = container.security_context.as_ref();
    let wants = security.and_then(|security| security.capabilities.as_ref()).and_then(|wanted| wanted.add.as_ref());
    let env = container.env.iter().flatten();
    let rules = [
        (
            container.liveness_probe.is_some() || container.readiness_probe.is_some() || container.startup_probe.is_some(),
            "has probes",
        ),
        (container.lifecycle.is_some(), "has lifecycle hooks"),
        (container.volume_devices.iter().flatten().next().is_some(), "uses block devices"),
        (container.env_from.iter().flatten().next().is_some(), "uses envFrom"),
        (container.stdin == Some(true) || container.tty == Some(true), "wants a terminal"),
        (container.restart_policy.is_some() || container.restart_policy_rules.is_some(), "has a restart policy of its own"),
        (security.is_some_and(|security| security.privileged == Some(true)), "is privileged"),
        (wants.is_some_and(|wanted| !wanted.is_empty()), "adds capabilities"),
        // They would decide what code the image's programs load.
        (env.clone().any(|entry| entry.name.starts_with("LD_")), "sets variables of the dynamic linker"),
        (
            env.filter_map(|entry| entry.value_from.as_ref())
                .any(|from| from.resource_field_ref.is_some() || from.file_key_ref.is_some()),
            "takes variables from resources or files",
        ),
    ];
    if let Some(why) = first(&rules) {
        return Some(format!("the container {name} {why}"));
    }
    container.volume_mounts.iter().flatten().find_map(|mount| {
        let path = &mount.mount_path;
        let known = spec.volumes.iter().flatten().any(|volume| volume.name == mount.name);
        if mount.sub_path.as_deref().is_some_and(|path| !path.is_empty()) || mount.sub_path_expr.is_some() {
            return Some(format!("the container {name} mounts a part of a volume at {path}"));
        }
        (!known || plain(path).is_none_or(|path| path.parent().is_none()))
            .then(|| format!("the container {name} cannot mount anything at \"{path}\""))
    })
}

/// An RFC 1123 label: what the API server lets through becomes a folder's name here, so it is looked at once more.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A pod as a Job makes it, with changes by pointer.
    pub(crate) fn pod(changes: &[(&str, Value)]) -> Pod {
        let mut pod = json!({
            "metadata": {
                "name": "p-1", "namespace": "prod", "uid": "0b1e", "generation": 1,
                "annotations": {"example.org/order": "{\"steps\":[]}"},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "p", "uid": "u", "controller": true}],
            },
            "spec": {
                "restartPolicy": "Never", "nodeName": "n", "terminationGracePeriodSeconds": 30, "serviceAccountName": "default",
                "containers": [{
                    "name": "worker", "image": "test/shell:1", "args": ["exit 0"],
                    "env": [{"name": "TMPDIR", "value": "/scratch"}],
                    "volumeMounts": [{"name": "order", "mountPath": "/etc/order", "readOnly": true}, {"name": "scratch", "mountPath": "/scratch"}],
                    "resources": {"limits": {"memory": "64Mi"}},
                }],
                "volumes": [
                    {"name": "order", "downwardAPI": {"defaultMode": 292, "items": [
                        {"path": "order.json", "fieldRef": {"fieldPath": "metadata.annotations['example.org/order']"}}]}},
                    {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}},
                ],
            },
            "status": {"phase": "Pending"},
        });
        for (pointer, value) in changes {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = pod.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
            match parent {
                Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
                _ => parent[key] = value.clone(),
            }
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_simple_job_pod_is_taken() {
        assert_eq!(refuse(&pod(&[])), None);
    }

    #[test]
    fn everything_else_is_refused_and_named() {
        let mount = |mount: Value| json!([mount]);
        let cases = [
            ("/metadata/ownerReferences", json!([]), "belongs to no Job"),
            ("/spec/restartPolicy", json!("OnFailure"), "restartPolicy"),
            ("/spec/initContainers", json!([{"name": "i"}]), "init containers"),
            ("/spec/hostNetwork", json!(true), "host's namespaces"),
            ("/spec/hostPID", json!(true), "host's namespaces"),
            ("/spec/volumes/1", json!({"name": "scratch", "hostPath": {"path": "/etc"}}), "scratch is none of"),
            ("/spec/volumes/1", json!({"name": "scratch", "emptyDir": {"medium": "Memory"}}), "medium"),
            ("/spec/volumes/1", json!({"name": "scratch", "projected": {"sources": []}}), "automountServiceAccountToken"),
            ("/spec/volumes/1", json!({"name": "../x", "emptyDir": {}}), "volume name"),
            ("/spec/containers/0/name", json!("../x"), "container name"),
            ("/spec/containers/0/livenessProbe", json!({}), "probes"),
            ("/spec/containers/0/lifecycle", json!({}), "hooks"),
            ("/spec/containers/0/envFrom", json!([{}]), "envFrom"),
            ("/spec/containers/0/securityContext", json!({"privileged": true}), "privileged"),
            ("/spec/containers/0/env", json!([{"name": "LD_PRELOAD", "value": "/scratch/x.so"}]), "dynamic linker"),
            ("/spec/containers/0/volumeMounts", mount(json!({"name": "scratch", "mountPath": "/a/../../etc"})), "cannot mount"),
            ("/spec/containers/0/volumeMounts", mount(json!({"name": "scratch", "mountPath": "/"})), "cannot mount"),
            ("/spec/containers/0/volumeMounts", mount(json!({"name": "other", "mountPath": "/x"})), "cannot mount"),
            (
                "/spec/containers/0/volumeMounts",
                mount(json!({"name": "scratch", "mountPath": "/x", "subPath": "y"})),
                "part of a volume",
            ),
        ];
        for (pointer, value, expected) in cases {
            let said = refuse(&pod(&[(pointer, value.clone())])).unwrap_or_default();
            assert!(said.contains(expected), "{pointer} = {value}: {said}");
        }
    }
}
