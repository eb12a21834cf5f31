#!/usr/bin/env python3
"""The worker of all pods at once: commits, for each pod that runs, what the real worker once made of a clip, through the
signed URLs of the pod's own work order, and puts the pod's last words where kwok's stage finds them.

usage: worker.py KUBECONFIG RECORDING    I/O: reads and annotates pods; PUTs to the store. Ends when it is told to.

kwok alone cannot do this: its stages give every pod a status, but the results that the operator reads, and checks by digest,
must be in the store, in the attempt's own folder, and must not be there before the pod runs, or no Job would be made.
"""

import hashlib
import json
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import api

LAST_WORDS = "bench.showrunner.dev/last-words"
ORDER = "showrunner.dev/work-order"
AT_ONCE = 4


def digest(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


class Worker:
    def __init__(self, kubeconfig, recording):
        self.api, self.store = api.Api(kubeconfig), api.Signed()
        out = recording / "out"
        self.unit = json.loads((out / "unit-result.json").read_text())
        self.results = {step["step"]: json.loads((out / f"{step['step']}.result.json").read_text())
                        for step in self.unit["steps"] if "done" in step["outcome"]}
        self.files = {output["name"]: (out / output["name"]).read_bytes()
                      for result in self.results.values() for output in result["outputs"]}

    def put(self, url, body, **headers):
        status, answer = self.store.ask("PUT", url, body, headers)
        if status != 200:
            raise RuntimeError(f"the store answers {status}: {answer[:300]}")

    def step(self, order, step, recorded):
        """One step's outcome; its files and its result are in the store then."""
        outcome = recorded["outcome"]
        if "done" in outcome:
            result = self.results[step["step"]]
            for output in result["outputs"]:
                self.put(order["grants"]["files"][output["name"]], self.files[output["name"]])
            result = result | {"key": step["key"], "folder": order["grants"]["folder"], "models": step["models"]}
            body = json.dumps(result).encode()
            self.put(order["grants"]["commits"][step["step"]], body, **{"if-none-match": "*"})
            outcome = {"done": {"result": digest(body)}}
        return {"step": step["step"], "key": step["key"], "outcome": outcome, "wallMs": 100, "cpuMs": None}

    def run(self, pod):
        meta = pod["metadata"]
        order = json.loads(meta["annotations"][ORDER])
        recorded = {step["step"]: step for step in self.unit["steps"]}
        steps = [self.step(order, step, recorded[step["step"]]) for step in order["steps"]]
        unit = self.unit | {"unitKey": order["unitKey"], "attempt": order["attempt"], "steps": steps}
        body = json.dumps(unit).encode()
        self.put(order["grants"]["unitResult"], body)
        words = json.dumps({"result": digest(body)})
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self.api.patch(path, {"metadata": {"annotations": {LAST_WORDS: words}}})

    def go(self):
        taken = set()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for what, pod in self.api.watch("/api/v1/pods", labelSelector="app.kubernetes.io/managed-by=showrunner"):
                uid = pod["metadata"]["uid"]
                if what == "DELETED" or uid in taken or pod.get("status", {}).get("phase") != "Running":
                    continue
                taken.add(uid)
                pool.submit(self.run, pod).add_done_callback(complain)


def complain(done):
    if error := done.exception():
        print(f"worker: failed to play a pod: {error!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    Worker(*map(pathlib.Path, sys.argv[1:3])).go()
