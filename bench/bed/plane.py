"""A real control plane with kwok's nodes and the released operator as a process: what the suite `operator` measures on.

I/O: starts and ends one cluster of e2e/cluster (--node process, its node stopped), kwok, operators, a worker's player; records
once, in $SHOWRUNNER_CACHE/bench/operator, what the real worker makes of a small clip.
"""

import base64
import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from harness import ROOT, CannotRun

from . import api

NAME = os.environ.get("SHOWRUNNER_BENCH_CLUSTER", "bench-operator")
HERE = Path(__file__).resolve().parent
SYSTEM, TITLES_IN = "showrunner-system", "studio"
NODES = 10
SOON_S = 60
# As the scenario of the fault sweep: five seconds, two shots, nothing to hear.
GRAPH = ("testsrc2=s=320x180:r=24:d=2.5[a];mandelbrot=s=320x180:r=24,trim=duration=2.5,setpts=PTS-STARTPTS[b];"
         "[a][b]concat=n=2,format=yuv420p[v]")
ASKED = ["--select", "1", "--sprite-interval-ms", "1000"]
SPEC = {"thumbnails": {"select": 1, "spriteInterval": "1s"}}
# What differs from the chart's own values: where things are, prices, and a store that takes more than a shared one would.
VALUES = """
image: { repository: showrunner.dev/operator, tag: bench }
worker: { image: { repository: showrunner.dev/worker, tag: recorded } }
prices: { currency: USD, cpuCoreHour: "0.04", memoryGibHour: "0.005", scratchGibHour: "0.0001" }
stores:
  default:
    endpoint: %s
    region: %s
    bucket: %s
    prefix: "{namespace}/"
    ranges: ["127.0.0.1/32"]
    pathStyle: true
    requestsPerSecond: 1000
    credentials: { accessKeyId: %s, secretAccessKey: %s }
"""


def until(what, condition, seconds=SOON_S, every=0.05, tell=lambda: ""):
    """Waits for what is true some time; gives it. The error has what `tell` says then."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise CannotRun(f"failed to see, within {seconds} s: {what} {tell()}")
        time.sleep(every)
    return found


def recording(bench):
    """What this worker makes of the clip, made when it is not there."""
    worker = bench.need(bench.target / "release/showrunner-worker", "run 'make binaries'")
    key = hashlib.sha256(worker.read_bytes() + GRAPH.encode() + "".join(ASKED).encode()).hexdigest()[:16]
    folder = bench.cache / "bench/operator" / key
    if not folder.is_dir():
        bench.say("recording what the worker makes of a clip")
        ffmpeg = bench.need(bench.artefacts / "bin/ffmpeg", "run 'make artefacts'")
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent))
        subprocess.run([ffmpeg, "-loglevel", "error", "-nostdin", "-threads", "2", "-filter_complex", GRAPH, "-map", "[v]", "-c:v", "libx264",
                        "-preset", "veryfast", "-bitexact", scratch / "clip.mp4"], check=True)
        subprocess.run([worker, "enrich", scratch / "clip.mp4", "--out", scratch / "out", *ASKED], check=True, stdout=subprocess.DEVNULL)
        scratch.rename(folder)
    return folder


class Plane:
    """The cluster and what runs on it; ends with its `with`."""

    def __init__(self, bench, helm=()):
        self.bench, self.helm, self.children, self.count = bench, helm, [], 0
        self.recording = recording(bench)
        self.operator_program = bench.need(bench.target / "release/showrunner-operator", "run 'make binaries'")

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="showrunner-bench."))
        try:
            return self.up()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for child in reversed(self.children):
            self.end(child, signal.SIGKILL)
        subprocess.run(["e2e/cluster/cluster", "down", NAME], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def shell(self, command, **more):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=ROOT, env=self.env, capture_output=True, text=True, **more)
        if done.returncode != 0:
            raise CannotRun(f"failed to run {command}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def up(self):
        subprocess.run(["e2e/cluster/tools/build", "kwok"], cwd=ROOT, check=True)
        subprocess.run(["e2e/cluster/cluster", "up", NAME, "--node", "process"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        told = subprocess.run(["bash", "-c", f'eval "$(e2e/cluster/cluster env {NAME})" && env -0'], cwd=ROOT, check=True, capture_output=True)
        self.env = dict(pair.split("=", 1) for pair in told.stdout.decode().split("\0") if "=" in pair)
        self.audit_log = Path(self.env["SHOWRUNNER_AUDIT_LOG"])
        # Its own node would run pods; kwok's do not.
        subprocess.run(["e2e/cluster/cluster", "node", NAME, "stop"], cwd=ROOT, check=True)
        self.shell("kubectl delete nodes --all --wait=false")
        self.kubeconfig = self.folder / "kubeconfig.json"
        self.kubeconfig.write_text(self.shell("kubectl config view --raw --output json"))
        self.api = api.Api(self.kubeconfig)
        self.start_kwok()
        self.install()
        self.api.must("POST", "/api/v1/namespaces", {"metadata": {"name": TITLES_IN}})
        self.spawn("worker", [sys.executable, HERE / "worker.py", self.kubeconfig, self.recording])
        return self

    def spawn(self, name, command, env=None):
        log = open(self.folder / f"{name}.log", "ab")
        child = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True)
        self.children.append(child)
        return child

    def end(self, child, how=signal.SIGTERM):
        if child in self.children:
            self.children.remove(child)
            child.send_signal(how)
            child.wait()

    def start_kwok(self):
        path = subprocess.run(["e2e/cluster/tools/build", "--path", "kwok"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[1]
        self.spawn("kwok", [f"{path}/kwok", "--kubeconfig", self.kubeconfig, "--config", HERE / "kwok.yaml", "--node-ip", "127.0.0.1",
                            "--manage-all-nodes=true", "--node-lease-duration-seconds=40", "--server-address=127.0.0.1:0"])
        for number in range(NODES):
            self.api.must("POST", "/api/v1/nodes", {"metadata": {"name": f"kwok-{number}", "labels": {"type": "kwok"}}})

        def ready():
            nodes = self.api.must("GET", "/api/v1/nodes")["items"]
            good = [node for node in nodes if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))]
            return len(good) == NODES and not any(node["spec"].get("taints") for node in nodes)
        until("kwok's nodes are Ready", ready)

    def install(self):
        """The chart, but for its Deployment: see e2e/install."""
        values = self.folder / "values.yaml"
        values.write_text(VALUES % tuple(self.env[key] for key in (
            "S3_ENDPOINT", "S3_REGION", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")))
        more = " ".join(f"--set {setting}" for setting in self.helm)
        self.shell(f"""
            helm upgrade --install showrunner-crds charts/showrunner-crds --namespace {SYSTEM} --create-namespace --wait
            helm template showrunner charts/showrunner --namespace {SYSTEM} --no-hooks --values {values} {more} |
              kubectl create --dry-run=client --output json --filename - |
              jq --slurp '{{apiVersion: "v1", kind: "List", items: [.[] | (.items? // [.])[] | select(.kind != "Deployment")]}}' |
              kubectl apply --filename -""")
        self.config = self.shell(f"kubectl --namespace {SYSTEM} get configmap showrunner-config --output jsonpath='{{.data.config\\.yaml}}'")

    def operator(self, ready=True):
        """One more replica of the operator, with a token of its own, by which the audit log tells it from others."""
        self.count += 1
        name = f"operator-{self.count}"
        folder = self.folder / name
        keys = folder / "stores/default"
        keys.mkdir(parents=True)
        (keys / "accessKeyId").write_text(self.env["S3_ACCESS_KEY_ID"])
        (keys / "secretAccessKey").write_text(self.env["S3_SECRET_ACCESS_KEY"])
        token = self.shell(f"kubectl --namespace {SYSTEM} create token showrunner --duration 24h").strip()
        kubeconfig = json.loads(self.kubeconfig.read_text())
        kubeconfig["users"][0]["user"] = {"token": token}
        kubeconfig["contexts"][0]["context"]["namespace"] = SYSTEM
        (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
        admin, debug = free_ports(2)
        (folder / "config.yaml").write_text(self.config.replace("/etc/showrunner/stores/", f"{folder}/stores/")
                                            + f"\nports: {{ admin: {admin}, debug: {debug} }}\n")
        env = {"PATH": os.environ["PATH"], "KUBECONFIG": str(folder / "kubeconfig"), "POD_NAME": name, "POD_NAMESPACE": SYSTEM} | of_image()
        child = self.spawn(name, [self.operator_program, "--config", folder / "config.yaml"], env)
        operator = Operator(self, child, admin, json.loads(part(token))["jti"], name)
        if ready:
            until(f"{name} is ready", operator.is_ready, tell=operator.tail)
        return operator

    def title(self, number, apply=True):
        """Applies a title whose source nobody else has."""
        name = f"title-{number:05}"
        spec = SPEC | {"source": {"path": f"ingest/{name}.mp4"}}
        if apply:
            self.api.must("POST", api.TITLES.format(TITLES_IN), {
                "apiVersion": "showrunner.dev/v1alpha1", "kind": "TitleEnrichment", "metadata": {"name": name}, "spec": spec})
        return name, spec

    def sources(self, numbers):
        """The clip, once for each title."""
        put(self.env, [f"{TITLES_IN}/ingest/title-{number:05}.mp4" for number in numbers], self.recording / "clip.mp4")

    def phases(self):
        """How many titles are in which phase."""
        counts = {}
        for title in self.api.all(api.TITLES.format(TITLES_IN)):
            phase = title.get("status", {}).get("phase", "None")
            counts[phase] = counts.get(phase, 0) + 1
        return counts

    def settled(self):
        """Whether no Job and no pod is held any more."""
        for path in ("/apis/batch/v1/jobs", "/api/v1/pods"):
            if any(item["metadata"].get("finalizers") for item in self.api.all(path)):
                return False
        return True

    def requests(self, since=0.0):
        """The operators' requests in the audit log from this moment on, Leases left out."""
        found = []
        with self.audit_log.open() as lines:
            for line in lines:
                if '"showrunner-operator/' not in line or '"resource":"leases"' in line:
                    continue
                event = json.loads(line)
                at = seconds(event["requestReceivedTimestamp"])
                if at < since or event.get("stage") != "ResponseComplete" and event["verb"] != "watch":
                    continue
                target = event.get("objectRef", {})
                found.append(Request(at, event["verb"], target.get("resource", ""), target.get("subresource", ""), target.get("name", ""),
                                     event.get("responseStatus", {}).get("code", 0), event.get("stage"),
                                     event["user"].get("extra", {}).get("authentication.kubernetes.io/credential-id", [""])[0]))
        return found


class Request:
    """One line of the audit log."""

    WRITES = {"create", "update", "patch", "delete", "deletecollection"}

    def __init__(self, at, verb, resource, below, name, code, stage, credential):
        self.at, self.verb, self.resource, self.below, self.name = at, verb, resource, below, name
        self.code, self.stage, self.credential = code, stage, credential
        self.write = verb in self.WRITES

    def __repr__(self):
        return f"{self.verb} {self.resource}{'/' + self.below if self.below else ''} {self.name} {self.code}"


class Operator:
    """One process of the operator."""

    def __init__(self, plane, child, port, jti, name):
        self.plane, self.child, self.port, self.credential, self.name = plane, child, port, f"JTI={jti}", name

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def is_ready(self):
        if self.child.poll() is not None:
            raise CannotRun(f"failed to keep {self.name} running; its last words:\n{self.tail()}")
        with contextlib.suppress(OSError):
            return bool(self.get("/readyz"))
        return False

    def tail(self):
        return (self.plane.folder / f"{self.name}.log").read_text()[-1500:]

    def metric(self, name, **labels):
        """Sum over the samples that have these labels."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            if line.startswith(name + "{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def leads(self):
        return self.metric("leader_election_master_status") == 1

    def memory(self):
        """(resident now, of it the program's own file, resident at its greatest), MiB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1]) / 1024 for name in ("VmRSS", "RssFile", "VmHWM"))

    def end(self, how=signal.SIGTERM):
        self.plane.end(self.child, how)


def processor():
    """Processor seconds that each program on the machine has had, by name; only of processes that have not ended."""
    used = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            name = (folder / "comm").read_text().strip()
            times = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
            used[name] = used.get(name, 0) + sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return used


def of_image():
    """The environment that the operator's image sets."""
    lines = (ROOT / "images/operator.Containerfile").read_text().splitlines()
    return dict(pair.split("=", 1) for line in lines if line.startswith("ENV ") for pair in line.split()[1:])


def free_ports(count):
    """Ports that nobody listens at now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def part(token):
    """The claims of a token."""
    claims = token.split(".")[1]
    return base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def put(env, keys, file):
    """One file into the store under each of these keys, by curl's own request signing."""
    lines = [f'user = "{env["S3_ACCESS_KEY_ID"]}:{env["S3_SECRET_ACCESS_KEY"]}"']
    for key in keys:
        lines += [f'url = "{env["S3_ENDPOINT"]}/{env["S3_BUCKET"]}/{key}"', f'upload-file = "{file}"']
    subprocess.run(["curl", "--fail", "--silent", "--show-error", "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                    "--aws-sigv4", f"aws:amz:{env['S3_REGION']}:s3", "--config", "-"], check=True, text=True, input="\n".join(lines))
