"""How long it takes to let a job start under a budget: the ledger in a store and in ConfigMaps, with 5,000 jobs live.

I/O: a control plane and an S3 server of its own (e2e/cluster), a folder for keys. No nodes, no titles: what is measured is the ledger.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from harness import CannotRun, Goal

ROOT = Path(__file__).resolve().parents[2]
NAME = "showrunner-bench"
LIVE, RATE, SECONDS, BURST = 5_000, 20, 30, 1_000
PEER = "a page for each, one after the other"
KINDS = {"store": "an S3 store", "objects": "ConfigMaps"}


def measure(bench):
    program = bench.need(bench.target / "release/examples/admission", "run 'cargo build --release --workspace --example admission'")
    with tempfile.TemporaryDirectory(prefix="showrunner-bench.") as folder:
        try:
            subprocess.run(["e2e/cluster/cluster", "up", NAME, "--node", "process"], cwd=ROOT, check=True,
                           stdout=subprocess.DEVNULL, env=os.environ | {"SHOWRUNNER_ETCD_FSYNC": "1"})
            env = environment(Path(folder))
            for kind in KINDS:
                rows(bench, program, kind, env)
        finally:
            subprocess.run(["e2e/cluster/cluster", "down", NAME], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)


def environment(folder):
    told = subprocess.run(["bash", "-c", f'eval "$(e2e/cluster/cluster env {NAME})" && env -0'], cwd=ROOT, check=True, capture_output=True)
    env = dict(pair.split("=", 1) for pair in told.stdout.decode().split("\0") if "=" in pair)
    (folder / "accessKeyId").write_text(env["S3_ACCESS_KEY_ID"])
    (folder / "secretAccessKey").write_text(env["S3_SECRET_ACCESS_KEY"])
    return env | {"S3_KEYS": str(folder)}


def rows(bench, program, kind, env):
    found, loaded, where = [], False, KINDS[kind]
    for number in range(bench.runs):
        bench.say(f"the ledger in {where}, run {number + 1}")
        loaded |= bench.quiet(f"{kind} {number + 1}")
        # Pages of the run before have numbers that this one wants.
        here = env | {"LEDGER_NAMESPACE": f"ledger-{kind}-{number}"}
        subprocess.run(["kubectl", "create", "namespace", here["LEDGER_NAMESPACE"]], env=env, check=True, stdout=subprocess.DEVNULL)
        command = [str(program), kind, str(LIVE), str(RATE), str(SECONDS), str(BURST)]
        done = subprocess.run(command, env=here, capture_output=True, text=True)
        if done.returncode != 0:
            raise CannotRun(f"failed to run {program}: {done.stderr.strip()[-2000:]}")
        found.append(json.loads(done.stdout))

    def of(name):
        return [run[name] for run in found]

    median = sorted(of("p50_ms"))[len(found) // 2]
    bench.row(f"let start, {RATE} a second, {LIVE:,} live, in {where}: 99 of 100 within", "ms", of("p99_ms"), "none", goal=Goal(50),
              note=f"median {median:.1f} ms; all servers on this machine, etcd with fsync", loaded=loaded)
    bench.row(f"{BURST:,} at once, in {where}, until all may start", "s", of("burst_s"), PEER, of("alone_s"), goal=Goal(30), loaded=loaded)
    bench.row(f"pages for {BURST:,} at once, in {where}", "", of("burst_pages"), "none", goal=Goal(BURST / 16), loaded=loaded)
