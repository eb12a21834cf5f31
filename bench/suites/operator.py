"""The operator under load: memory, writes, waits and fail-over on a real control plane with kwok's nodes.

I/O: see bed/plane.py; each part starts and ends a cluster of its own.
"""

import os
import signal
import statistics
import subprocess
import sys
import time

from bed import api
from bed.plane import HERE, TITLES_IN, Plane, processor, seconds, until
from harness import Goal

NO_PEER = "none"
WHY_NO_PEER = "no peer: no other operator does this work on these objects"
TITLES = api.TITLES.format(TITLES_IN)
RESYNC_S, QUICK_RESYNC_S = 60, 20
MEMORY_AT = (200, 2_000, 10_000)
REST_TITLES, REST_S = 2_000, 600
PUBLISHED, FLOOD = 200, 2_000
IDLE_S, FLOOD_S = 20, 120
FAILOVERS = 3


# --- titles that are finished -----------------------------------------------------------------------------------------

def finish_one(plane):
    """A first title, by the whole way: its Job, its pod, its results. Gives it as it is stored when all is settled."""
    operator = plane.operator()
    plane.sources([0])
    name, _ = plane.title(0)
    until("a first title is published", lambda: plane.phases().get("Published") == 1, tell=plane.phases)
    until("its Job is settled", plane.settled)
    operator.end()
    return plane.api.must("GET", f"{TITLES}/{name}")


def finish_more(plane, first, numbers):
    """Titles as they would be if they had been finished like the first, of the same source: its metadata, spec and status, with
    names and UIDs of their own."""
    old_name, old_uid = first["metadata"]["name"], first["metadata"]["uid"]
    folder = f"titles/{TITLES_IN}/"

    def finish(number):
        name, _ = plane.title(number, apply=False)
        meta = {key: first["metadata"][key] for key in ("labels", "annotations", "finalizers") if key in first["metadata"]}
        made = plane.api.must("POST", TITLES, {"apiVersion": first["apiVersion"], "kind": first["kind"],
                                               "metadata": meta | {"name": name}, "spec": first["spec"]})
        uid = made["metadata"]["uid"]
        status = replaced(first["status"], {folder + old_name: folder + name, old_uid: uid, old_uid[:8]: uid[:8]})
        plane.api.must("PATCH", f"{TITLES}/{name}/status", {"status": status}, "application/merge-patch+json")
    api.at_once(finish, numbers)


def replaced(value, words):
    """A document in which some words stand for others."""
    if isinstance(value, dict):
        return {key: replaced(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, words) for item in value]
    if isinstance(value, str):
        for old, new in words.items():
            value = value.replace(old, new)
    return value


def resynced(operator, titles):
    """Whether every title has been looked at twice: when it was first listed, and on a resync."""
    return (operator.metric("showrunner_cache_objects", kind="TitleEnrichment") == titles
            and operator.metric("controller_runtime_reconcile_total", controller="titleenrichment") >= 2 * titles)


# --- the parts --------------------------------------------------------------------------------------------------------

def memory(bench):
    """Resident memory of a leader that has finished titles in its caches, after a full resync."""
    informer = build_informer(bench)
    with Plane(bench, [f"queue.resyncSeconds={QUICK_RESYNC_S}"]) as plane:
        first, there = finish_one(plane), 1
        for count in MEMORY_AT:
            bench.say(f"memory at {count} titles")
            finish_more(plane, first, range(there, count))
            there = count
            began = time.time()
            loaded = bench.quiet(f"memory at {count}")
            operator = plane.operator()
            until("every title was looked at twice", lambda: resynced(operator, count), seconds=6 * RESYNC_S)
            resident, program, peak = operator.memory()
            writes = [request for request in plane.requests(began) if request.write]
            operator.end()
            peer = plane.spawn("informer", [informer, plane.kubeconfig])
            until("the informer has them all", lambda: f"synced {count} titles" in (plane.folder / "informer.log").read_text(), seconds=180, every=0.5)
            theirs = memory_of(peer)
            plane.end(peer, signal.SIGKILL)
            (plane.folder / "informer.log").write_text("")
            note = (f"{program:.0f} MiB of it are pages of the program's own file; {peak:.0f} MiB at its peak, when it began and listed; {len(writes)} writes. The titles' status is that of one that went the whole "
                    "way, under names and UIDs of their own. Peer: an informer with typed objects and without managedFields, 30 s after it has them all")
            bench.row(f"resident at {count} finished titles", "MiB", [resident], "client-go 0.35.4 informer, caching only", [theirs],
                      goal=Goal(32 + count * 6 / 1024), note=note, loaded=loaded)


def rest(bench):
    """What a leader asks of the API server when nothing is to be done, by the audit log."""
    with Plane(bench, [f"queue.resyncSeconds={RESYNC_S}"]) as plane:
        first = finish_one(plane)
        finish_more(plane, first, range(1, REST_TITLES))
        operator = plane.operator()
        until("every title was looked at twice", lambda: resynced(operator, REST_TITLES), seconds=6 * RESYNC_S)
        looks, began = operator.metric("controller_runtime_reconcile_total", controller="titleenrichment"), time.time()
        bench.say(f"at rest for {REST_S} s")
        time.sleep(REST_S)  # the time itself is what is measured
        requests = plane.requests(began)
        looks = operator.metric("controller_runtime_reconcile_total", controller="titleenrichment") - looks
        told = f"{REST_TITLES} finished titles, {looks:.0f} looks in {REST_S / 60:.0f} minutes of resyncs every {RESYNC_S} s; the Lease's renewals are left out"
        writes = [request for request in requests if request.write]
        lists = [request for request in requests if request.verb == "list"]
        gets = [request for request in requests if request.verb == "get"]
        watches = [request for request in requests if request.verb == "watch" and request.stage == "ResponseStarted"]
        bench.row("at rest: writes", "", [len(writes)], NO_PEER, goal=Goal(0), note=f"{told}. {WHY_NO_PEER} {writes[:3] or ''}".strip())
        bench.row("at rest: lists", "", [len(lists)], NO_PEER, goal=Goal(0), note=f"{lists[:3]}" if lists else "")
        bench.row("at rest: GETs a minute", "", [len(gets) / (REST_S / 60)], NO_PEER, goal=Goal(1), note=f"{gets[:3]}" if gets else "")
        bench.row("at rest: watches begun again", "", [len(watches)], note="the API server ends each watch after five to ten minutes")


def published(bench):
    """Titles applied at once, until each is published and each Job settled: writes by the audit log."""
    with Plane(bench) as plane:
        operator = plane.operator()
        plane.sources(range(PUBLISHED))
        until("it leads", operator.leads)
        loaded, began = bench.quiet("published"), time.time()
        api.at_once(plane.title, range(PUBLISHED))
        until("all are published", lambda: plane.phases().get("Published") == PUBLISHED, seconds=300, every=1,
              tell=plane.phases)
        took = time.time() - began
        until("all Jobs are settled", plane.settled, every=1)
        jobs = len(list(plane.api.all("/apis/batch/v1/jobs")))
        asked = [request for request in plane.requests(began) if request.write]
        # One that meets a conflict has written nothing.
        writes = [request for request in asked if request.code < 400]
        resident, _, peak = operator.memory()

        def each(*resources):
            return len([write for write in writes if write.resource in resources]) / PUBLISHED
        split = {}
        for write in writes:
            kind = f"{write.verb} {write.resource}{'/' + write.below if write.below else ''}"
            split[kind] = split.get(kind, 0) + 1
        told = ", ".join(f"{kind} {count / PUBLISHED:.2f}" for kind, count in sorted(split.items(), key=lambda item: -item[1]))
        bench.row(f"{PUBLISHED} titles at once: writes a Job", "", [each("jobs", "pods")], NO_PEER, goal=Goal(5), loaded=loaded, note=(
            f"of the Job and of its pod, {jobs} Jobs; {len(asked) - len(writes)} more writes were refused. A title: {told}"))
        bench.row(f"{PUBLISHED} titles at once: writes a title", "", [each("titleenrichments")], NO_PEER, goal=Goal(8), loaded=loaded,
                  note="of the title itself and of its status; Events are counted apart, below")
        bench.row(f"{PUBLISHED} titles at once: Events a title", "", [each("events")], loaded=loaded)
        bench.row(f"{PUBLISHED} titles at once: until all were published", "s", [took], loaded=loaded)
        bench.row("  resident then, with their Jobs and pods", "MiB", [resident], note=f"{peak:.0f} MiB at its peak", loaded=loaded)


def flood(bench):
    """Many titles at once: how long the last waits for its first reconcile, and what it does to others' reads."""
    with Plane(bench) as plane:
        reads = plane.folder / "reads"
        plane.spawn("reader", [sys.executable, HERE / "reader.py", plane.kubeconfig, reads])
        loaded, idle_from = bench.quiet("flood"), time.time()
        time.sleep(IDLE_S)  # others' reads of an idle API server, which is what is measured
        alone = time.time()
        api.at_once(plane.title, range(FLOOD))
        alone_to = time.time()
        plane.api.must("DELETE", TITLES)
        operator = plane.operator()
        plane.sources(range(FLOOD))
        until("it leads", operator.leads)
        began, had = time.time(), processor()
        api.at_once(plane.title, range(FLOOD))
        applied = time.time()
        until("each has had its first reconcile", lambda: operator.metric("operator_status_condition_count", type="Ready") == FLOOD,
              seconds=200, every=1, tell=plane.phases)
        done = time.time() - began
        time.sleep(max(0.0, FLOOD_S - done))  # others' reads while Jobs are run, too, which is what is measured
        ended = time.time()
        shares = [(name, (used - had.get(name, 0)) / (ended - began)) for name, used in processor().items()]
        created = {title["metadata"]["name"]: title for title in plane.api.all(TITLES)}
        first = {}
        for request in plane.requests(began):
            if request.write and request.resource == "titleenrichments":
                first.setdefault(request.name, request.at)
        # The API keeps whole seconds of a creation; a wait is then too long by one at most.
        waits = sorted(first[name] - seconds(title["metadata"]["creationTimestamp"]) for name, title in created.items())
        told = ", ".join(f"{name} {cores:.2f}" for name, cores in sorted(shares, key=lambda share: -share[1])[:8])
        idle, whole = p99(reads, idle_from, alone), p99(reads, began, ended)
        bench.row(f"{FLOOD} titles at once: longest wait for a first reconcile", "s", [waits[-1]], NO_PEER, goal=Goal(60), loaded=loaded, note=(
            f"from its creation to the operator's first write of it, by the audit log; median {statistics.median(waits):.1f} s. Applied within "
            f"{applied - began:.0f} s, each told of within {done:.0f} s. The store may take 1,000 requests a second; with the default of 50, that is the bound"))
        bench.row(f"{FLOOD} titles at once: p99 of another's reads, over idle", "x", [whole / idle], NO_PEER, goal=Goal(2), loaded=loaded, note=(
            f"{idle * 1e3:.1f} ms idle, {whole * 1e3:.1f} ms in the {FLOOD_S} s from the first of them on. All of it runs on the same "
            f"{len(os.sched_getaffinity(0))} cores, of which in that time: {told}. Requests by whom: {requesters(plane)}"))
        for what, start, end in [("while they are applied and no operator runs", alone, alone_to), ("while they are applied", began, applied),
                                 ("after that, while their Jobs run", applied, ended)]:
            bench.row(f"  {what}", "x", [p99(reads, start, end) / idle], loaded=loaded)


def p99(path, begin, end):
    took = [float(line.split()[1]) for line in path.read_text().splitlines() if begin <= float(line.split()[0]) < end and len(line.split()) == 2]
    return statistics.quantiles(took, n=100)[98]


def requesters(plane):
    """Whose requests the API server had, so that a missed goal can be laid at somebody's door."""
    counts = {}
    with plane.audit_log.open() as lines:
        for line in lines:
            agent = line.partition('"userAgent":"')[2].partition("/")[0].partition('"')[0]
            counts[agent] = counts.get(agent, 0) + 1
    whole = sum(counts.values())
    return ", ".join(f"{agent} {count / whole:.0%}" for agent, count in sorted(counts.items(), key=lambda item: -item[1])[:6])


def failover(bench):
    """A leader ends while titles are at work: until the other's first write."""
    with Plane(bench) as plane:
        lease = 15
        killed, asked = [], []
        number, leader, other = 0, plane.operator(), plane.operator()
        loaded = bench.quiet("failover")
        for how, gaps in [(signal.SIGKILL, killed), (signal.SIGTERM, asked)] * FAILOVERS:
            until("one leads", lambda: leader.leads() or other.leads(), seconds=60)
            if other.leads():
                leader, other = other, leader
            fresh = range(number, number + 60)
            number += 60
            plane.sources(fresh)
            begun = time.time()
            api.at_once(plane.title, fresh)
            until("the leader is at work", lambda: any(
                r.write and r.credential == leader.credential for r in plane.requests(begun)), every=0.5)
            ended = time.time()
            leader.end(how)
            gap = until("the other writes", lambda: next(
                (r.at - ended for r in plane.requests(ended) if r.write and r.credential == other.credential), None), seconds=60, every=0.5)
            gaps.append(gap)
            leader, other = other, plane.operator()
        bench.row("fail-over, leader killed: until the other's next write", "s", killed, NO_PEER, goal=Goal(lease + 2), loaded=loaded, note=(
            f"under load, by the audit log; a lease of {lease} s as by default"))
        bench.row("fail-over, leader asked to end: until the other's next write", "s", asked, NO_PEER, goal=Goal(2), loaded=loaded, note=(
            "from SIGTERM; its reconciles are drained and the lease given back first"))


# --- the peer ---------------------------------------------------------------------------------------------------------

def build_informer(bench):
    """client-go's informer over the same objects: what controller-runtime's cache is made of."""
    program = bench.cache / "bench/operator/informer"
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-trimpath", "-o", program, "."], cwd=HERE.parent / "peers/informer", check=True,
                   env=os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"})
    return program


def memory_of(child):
    status = open(f"/proc/{child.pid}/status").read()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


PARTS = {"memory": memory, "rest": rest, "published": published, "flood": flood, "failover": failover}
