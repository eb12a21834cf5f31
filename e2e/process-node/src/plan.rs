//! Pod and image -> the program, arguments, variables and folder of each process, with paths as they are on this machine.
//!
//! Pure but for looking whether a path is inside the image.
//!
//! A process of this machine does not see a container's file system, so paths are rewritten where they are handed over:
//! an argument, a variable or a part of one between colons that is, as a whole, a path at or below a mount, at the
//! termination message or inside the image becomes the path that has the same content here. Programs that take their
//! paths from arguments or variables, as the worker does, need not know of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

use crate::image::{Image, plain};
use crate::volumes::{PodFolder, Sources};

/// Says in each process whose it is; found again by it when its parents are gone.
pub(crate) const MARK: &str = "SHOWRUNNER_PROCESS_NODE_POD";
/// A kubelet's own, where a pod names none.
const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";
/// Programs that a pod's own `PATH` does not name are looked for here, inside the image.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How one container's process is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) container: String,
    pub(crate) program: PathBuf,
    /// The name that the program sees itself called by.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    pub(crate) log: PathBuf,
    /// User and group; none where the node is not root.
    pub(crate) user: Option<(u32, u32)>,
}

/// Why there is no plan: a kubelet's reason, and more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoPlan {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// What in the pod's configuration cannot be carried out.
pub(crate) const CONFIG_ERROR: &str = "CreateContainerConfigError";
/// The program cannot be started.
pub(crate) const START_ERROR: &str = "StartError";

/// The process of one container.
pub(crate) fn plan(
    pod: &Pod,
    container: &Container,
    image: &Image,
    sources: &Sources,
    folder: &PodFolder,
    as_root: bool,
) -> Result<Plan, NoPlan> {
    let moved = Moved::new(container, image, folder);
    let config = &image.config;
    let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    env.extend(config.env.clone());
    for entry in container.env.iter().flatten() {
        match value(pod, entry, sources, &env).map_err(|message| NoPlan { reason: CONFIG_ERROR, message })? {
            Some(value) => env.insert(entry.name.clone(), value),
            None => env.remove(&entry.name),
        };
    }
    let own = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| expand(word, &env)).collect::<Vec<_>>();
    let (command, args) = (own(&container.command), own(&container.args));
    // As container runtimes have it: a command replaces entrypoint and cmd, arguments replace cmd only.
    let mut words = if command.is_empty() { config.entrypoint.clone() } else { command.clone() };
    words.extend(if args.is_empty() && command.is_empty() { config.cmd.clone() } else { args });
    let no_program = |message: String| NoPlan { reason: START_ERROR, message };
    let Some((name, arguments)) = words.split_first() else { return Err(no_program("no command specified".to_owned())) };
    let program = image.program(name, env.get("PATH").map_or(DEFAULT_PATH, String::as_str)).map_err(no_program)?;
    let directory = container.working_dir.as_deref().filter(|path| !path.is_empty()).unwrap_or(&config.working_dir);
    let directory = if directory.is_empty() { "/" } else { directory };
    let directory = moved.path(directory).filter(|path| path.is_dir());
    let directory = directory.ok_or_else(|| no_program("the working directory is not in the image".to_owned()))?;
    let env = env.into_iter().map(|(key, value)| (key, moved.text(&value)));
    let mark = (MARK.to_owned(), mark(pod, &container.name));
    Ok(Plan {
        container: container.name.clone(),
        program,
        name: name.clone(),
        arguments: arguments.iter().map(|argument| moved.text(argument)).collect(),
        env: env.chain([mark]).collect(),
        directory,
        log: folder.log(&container.name),
        user: if as_root { Some(user(pod, container, image)?) } else { None },
    })
}

/// Value of [`MARK`].
pub(crate) fn mark(pod: &Pod, container: &str) -> String {
    format!("{}/{container}", pod.metadata.uid.as_deref().unwrap_or_default())
}

/// User and group that the pod asks for, else the image's; root only where the pod allows it.
pub(crate) fn user(pod: &Pod, container: &Container, image: &Image) -> Result<(u32, u32), NoPlan> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let own = container.security_context.as_ref();
    let user = own.and_then(|own| own.run_as_user).or(of_pod.and_then(|pod| pod.run_as_user));
    let group = own.and_then(|own| own.run_as_group).or(of_pod.and_then(|pod| pod.run_as_group));
    let not_root = own.and_then(|own| own.run_as_non_root).or(of_pod.and_then(|pod| pod.run_as_non_root));
    let user = user.map_or(Ok(image.config.user.unwrap_or_default()), u32::try_from);
    let group = group.map_or(Ok(image.config.user.unwrap_or_default()), u32::try_from);
    let (Ok(user), Ok(group)) = (user, group) else {
        return Err(NoPlan { reason: CONFIG_ERROR, message: "user or group is out of range".to_owned() });
    };
    if user == 0 && not_root == Some(true) {
        let message = "container has runAsNonRoot and image will run as root".to_owned();
        return Err(NoPlan { reason: CONFIG_ERROR, message });
    }
    Ok((user, group))
}

/// Paths of the container and where they are here, mounts before what they hide.
struct Moved<'a> {
    mounts: Vec<(PathBuf, PathBuf)>,
    image: &'a Image,
}

impl<'a> Moved<'a> {
    fn new(container: &Container, image: &'a Image, folder: &PodFolder) -> Self {
        let message =
            container.termination_message_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(DEFAULT_MESSAGE_PATH);
        let volumes = container.volume_mounts.iter().flatten();
        let volumes = volumes.filter_map(|mount| Some((plain(&mount.mount_path)?, folder.volume(&mount.name))));
        let mut mounts: Vec<_> = volumes.chain(plain(message).map(|path| (path, folder.message(&container.name)))).collect();
        // The innermost mount is the one that is seen.
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.components().count()));
        Self { mounts, image }
    }

    /// Where a path of the container is here; none where it is nowhere.
    fn path(&self, path: &str) -> Option<PathBuf> {
        let path = plain(path)?;
        let mounted = self.mounts.iter().find_map(|(mount, here)| Some(joined(here, path.strip_prefix(mount).ok()?)));
        mounted.or_else(|| self.image.inside(path.to_str()?).filter(|path| path.exists()))
    }

    /// A value with its paths moved. `/` alone is a path in few programs and a character in many: it stays.
    fn text(&self, value: &str) -> String {
        let part = |part: &str| {
            // Two slashes follow the scheme of an address.
            if part.len() < 2 || part.starts_with("//") {
                return part.to_owned();
            }
            self.path(part).and_then(|path| path.into_os_string().into_string().ok()).unwrap_or_else(|| part.to_owned())
        };
        value.split(':').map(part).collect::<Vec<_>>().join(":")
    }
}

/// Without the separator that joining an empty path would leave.
fn joined(here: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { here.to_owned() } else { here.join(rest) }
}

/// A variable's value; none where it is optional and absent.
fn value(pod: &Pod, entry: &EnvVar, sources: &Sources, env: &BTreeMap<String, String>) -> Result<Option<String>, String> {
    let Some(from) = &entry.value_from else { return Ok(Some(expand(entry.value.as_deref().unwrap_or_default(), env))) };
    if let Some(reference) = &from.field_ref {
        let path = &reference.field_path;
        return field(pod, path).map(Some).ok_or_else(|| format!("the field {path} is not known here"));
    }
    let (kind, data, name, key, optional) = if let Some(reference) = &from.config_map_key_ref {
        ("configmap", &sources.config_maps, &reference.name, &reference.key, reference.optional)
    } else if let Some(reference) = &from.secret_key_ref {
        ("secret", &sources.secrets, &reference.name, &reference.key, reference.optional)
    } else {
        return Err(format!("the variable {} comes from a place that is not known here", entry.name));
    };
    let found = data.get(name).and_then(|data| data.get(key));
    match found.map(|bytes| String::from_utf8(bytes.clone())) {
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(format!("the key {key} of {kind} \"{name}\" is no text")),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("couldn't find key {key} in {kind} \"{name}\"")),
    }
}

/// A field of the pod, as the downward API gives it.
pub(crate) fn field(pod: &Pod, path: &str) -> Option<String> {
    let (meta, spec, status) = (&pod.metadata, pod.spec.as_ref(), pod.status.as_ref());
    let keyed = |prefix: &str, map: &Option<BTreeMap<String, String>>| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default())
    };
    match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.hostIP" | "status.podIP" => Some(status.and_then(|status| status.host_ip.clone()).unwrap_or_default()),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        _ => keyed("metadata.annotations", &meta.annotations).or_else(|| keyed("metadata.labels", &meta.labels)),
    }
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

/// Kubernetes' `$(NAME)`: replaced where NAME is known, kept where not; `$$` is a `$`.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::shell;
    use crate::refuse::tests::pod;
    use crate::volumes::Places;
    use serde_json::{Value, json};

    struct Planned {
        root: tempfile::TempDir,
        plan: Result<Plan, NoPlan>,
    }

    fn planned(changes: &[(&str, Value)], as_root: bool) -> Planned {
        let root = tempfile::tempdir().unwrap();
        let image = shell(root.path());
        let pod = pod(changes);
        let folder = Places::make(root.path()).unwrap().of(&pod).unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let plan = plan(&pod, container, &image, &Sources::default(), &folder, as_root);
        Planned { root, plan }
    }

    #[test]
    fn paths_of_the_container_become_paths_of_this_machine() {
        let env = json!([
            {"name": "TMPDIR", "value": "/scratch"},
            {"name": "ORDER", "value": "/etc/order/order.json"},
            {"name": "LIST", "value": "/scratch/a:/nowhere:/bin"},
            {"name": "CLIMB", "value": "/scratch/../../etc"},
            {"name": "LOG", "value": "/dev/termination-log"},
            {"name": "URL", "value": "http://host:80/scratch"},
        ]);
        let Planned { root, plan } =
            planned(&[("/spec/containers/0/env", env), ("/spec/containers/0/args", json!(["cat", "/etc/order"]))], false);
        let plan = plan.unwrap();
        let here = root.path().join("pods/0b1e");
        let text = |path: &str| here.join(path).to_str().unwrap().to_owned();
        assert_eq!(plan.env["TMPDIR"], text("volumes/scratch"));
        assert_eq!(plan.env["ORDER"], text("volumes/order/order.json"));
        assert_eq!(
            plan.env["LIST"],
            format!("{}:/nowhere:{}", text("volumes/scratch/a"), root.path().join("shell/bin").display())
        );
        assert_eq!(plan.env["CLIMB"], "/scratch/../../etc");
        assert_eq!(plan.env["LOG"], text("messages/worker"));
        assert_eq!(plan.env["URL"], "http://host:80/scratch");
        assert_eq!(plan.env[MARK], "0b1e/worker");
        assert_eq!(plan.arguments, ["-c".to_owned(), "cat".to_owned(), text("volumes/order")]);
        assert_eq!((plan.program, plan.name.as_str()), (root.path().join("shell/bin/sh"), "/bin/sh"));
        assert_eq!(plan.directory, root.path().join("shell"));
    }

    #[test]
    fn nothing_of_this_machine_is_started_but_what_the_image_has() {
        for command in [json!(["/bin/cat"]), json!(["cat"]), json!(["../../bin/cat"])] {
            let refused = planned(&[("/spec/containers/0/command", command)], false).plan.unwrap_err();
            assert_eq!(refused.reason, START_ERROR);
        }
        let refused = planned(&[("/spec/containers/0/workingDir", json!("/etc"))], false).plan.unwrap_err();
        assert_eq!(refused.reason, START_ERROR);
    }

    #[test]
    fn variables_come_from_where_the_pod_says() {
        let env = json!([
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "GREETING", "value": "I am $(NAME), $(NOBODY), $$(NAME)"},
            {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
        ]);
        let plan = planned(&[("/spec/containers/0/env", env)], false).plan.unwrap();
        assert_eq!(plan.env["GREETING"], "I am p-1, $(NOBODY), $(NAME)");
        assert!(!plan.env.contains_key("MAYBE"));
        let env = json!([{"name": "MUST", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        assert_eq!(planned(&[("/spec/containers/0/env", env)], false).plan.unwrap_err().reason, CONFIG_ERROR);
    }

    #[test]
    fn root_is_given_only_where_the_pod_allows_it() {
        let security = |value: Value| [("/spec/securityContext", value)];
        assert_eq!(planned(&security(json!({"runAsUser": 65532, "runAsGroup": 7})), true).plan.unwrap().user, Some((65532, 7)));
        assert_eq!(planned(&security(json!({"runAsNonRoot": true})), true).plan.unwrap_err().reason, CONFIG_ERROR);
        assert_eq!(planned(&security(json!({"runAsNonRoot": true})), false).plan.unwrap().user, None);
    }
}
