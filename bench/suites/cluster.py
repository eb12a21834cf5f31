"""From built programs to a Kubernetes one can use, and to a first title: how long, and is anything left afterwards?

I/O: as root; starts and ends clusters of its own name by `make cluster`, `make demo` and `make cluster-down`.
"""

import json
import os
import re
import subprocess
from pathlib import Path

from harness import ROOT, CannotRun, Goal

NAME = "showrunner-bench"
DEMO_RUNS = 3  # a demo takes minutes, and nothing is compared run by run
NO_PEER = "none"
WHY_NO_PEER = ("no peer: kind, k3d and minikube pull a node image from a registry, k3s the images of its own pods; kwok's nodes run "
               "nothing. None of them starts a real node from what is on the machine")


def remains():
    """Everything that a cluster of our name could leave, one thing a line."""
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()

    state = Path(os.environ.get("SHOWRUNNER_STATE", "/var/lib/showrunner-clusters")) / NAME
    found = [f"folder {state}"] if state.exists() else []
    found += [f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if NAME in line]
    found += [f"cgroup {line}" for line in said("find", "/sys/fs/cgroup", "-mindepth", "1", "-type", "d", "-name", f"showrunner-{NAME}")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if f"showrunner-cluster-{NAME}" in command or str(state) in command:
            found.append(f"process {command[:100]}")
    return found


def shared():
    """What of the machine a cluster touches besides: links, routes and tables of clusters come and go under numbers."""
    lines = []
    for command in (["ip", "-o", "link"], ["ip", "-4", "route", "show", "table", "all"], ["nft", "list", "tables"]):
        lines += subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return lines


def used_number():
    """The number our cluster was given: its link and its networks bear it."""
    state = Path(os.environ.get("SHOWRUNNER_STATE", "/var/lib/showrunner-clusters")) / NAME
    return int((state / "number").read_text())


def left(number):
    pattern = re.compile(rf"\bsr-{number}\b|\b10\.6[45]\.{number}\.")
    return remains() + [line for line in shared() if pattern.search(line)]


def node_is_ready():
    """As its user would see it, after `make cluster` said so."""
    state = Path(os.environ.get("SHOWRUNNER_STATE", "/var/lib/showrunner-clusters")) / NAME
    answer = subprocess.run([state / "bin/kubectl", "--kubeconfig", state / "kubeconfig", "get", "nodes", "--output", "json"],
                            capture_output=True, text=True)
    if answer.returncode != 0:
        raise CannotRun(f"failed to ask for the node: {answer.stderr}")
    conditions = [condition for node in json.loads(answer.stdout)["items"] for condition in node["status"]["conditions"]]
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def make(bench, target, timeout=600):
    return bench.run(["make", target, f"NAME={NAME}"], f"make {target}", timeout)


def measure(bench):
    if os.geteuid() != 0:
        raise CannotRun("failed to start a cluster: it needs root; run it with sudo")
    if found := remains():
        raise CannotRun(f"failed to begin: something of an earlier '{NAME}' is there ({found[0]}); end it with 'make cluster-down NAME={NAME}'")
    # Builds what is missing, so that no run is the cold one.
    subprocess.run(["e2e/cluster/tools/build"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    ups, inside, downs, remnants, loaded = [], [], [], [], False
    try:
        for nth in range(bench.runs):
            bench.say(f"run {nth + 1} of {bench.runs}")
            up = make(bench, "cluster")
            if not node_is_ready():
                raise CannotRun("failed to find a Ready node after 'make cluster' said it was there")
            number = used_number()
            down = make(bench, "cluster-down")
            remnants.append(len(left(number)))
            ups.append(up.wall)
            inside.append(float(re.search(r"node Ready ([\d.]+) s after", up.output)[1]))
            downs.append(down.wall)
            loaded |= up.loaded
        bench.row("make cluster, programs built", "s", ups, NO_PEER, goal=Goal(10), loaded=loaded, note=(
            "to a Ready node without taints, the default service account, DNS and the S3 server; " + WHY_NO_PEER))
        bench.row("  of it, after the look at the programs", "s", inside, loaded=loaded)
        bench.row("make cluster-down", "s", downs, loaded=loaded)
        bench.row("things left after it", "", remnants, goal=Goal(0),
                  note="processes, mounts, links, routes, nft tables, cgroups, folders")
        demo(bench)
    finally:
        if remains():
            subprocess.run(["make", "cluster-down", f"NAME={NAME}"], cwd=ROOT, stdout=subprocess.DEVNULL)


def demo(bench):
    """`make demo` from nothing running to a report, with built programs and images."""
    # Builds what is missing, as above.
    make(bench, "images", timeout=3600)
    walls, phases, loaded = [], {}, False
    for nth in range(min(bench.runs, DEMO_RUNS)):
        bench.say(f"demo, run {nth + 1} of {min(bench.runs, DEMO_RUNS)}")
        run = make(bench, "demo", timeout=1200)
        make(bench, "cluster-down")
        walls.append(run.wall)
        loaded |= run.loaded
        for phase, seconds in split(run).items():
            phases.setdefault(phase, []).append(seconds)
    bench.row("make demo, warm", "s", walls, NO_PEER, goal=Goal(180), loaded=loaded)
    for phase, seconds in phases.items():
        bench.row(f"  of it: {phase}", "s", seconds, loaded=loaded)
    bench.row("make demo, cold", "s", [], note="not measured here: it wants a machine without any cache; see bench/README.md")


def split(run):
    """Seconds of each phase, by the headings that the demo prints."""
    begins = [("programs and images", 0.0)]
    for line, at in zip(run.output.splitlines(), run.ended):
        if heading := re.match(r"(?:\x1b\[1m)?\d\. ([^\x1b]+)", line):
            begins.append((heading[1].strip(), at))
    ends = [at for _, at in begins[1:]] + [run.wall]
    return {name: end - at for (name, at), end in zip(begins, ends)}
