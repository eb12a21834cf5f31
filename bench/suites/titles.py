"""What is found in a title, by the worker's own steps: shots, on reels whose edit list is known and on films as they were edited;
chapters, on long titles with planted scenes; thumbnails, on pictures spoilt by known amounts and on the same reels and films;
fingerprints, on copies made with parameters drawn at random.

I/O: runs the worker, ffmpeg and the peers; brings the sources of bench/media and makes its reels once, below $SHOWRUNNER_CACHE/bench.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, CannotRun, Goal

MEDIA = ROOT / "bench/media"
sys.path.insert(0, str(MEDIA))
import rank  # noqa: E402
import score  # noqa: E402
import score_copies  # noqa: E402

THREADS = 2
# A bound of 99 in 100 is judged from so many on; with fewer, even no fault at all would not show it.
ENOUGH = 380
PROFILES = ("fast", "accurate")
KINDS = {"cuts": ("cut",), "dissolves": ("dissolve", "dissolve12", "dissolve24"), "fades": ("fade",)}
# What each peer is tried with on the reels for tuning: its threshold, and how short a shot may be.
SHORTEST = (4, 10, 15)
SWEEP = {
    "content": [{"threshold": t} for t in (15, 18, 21, 24, 27, 30, 33, 36, 40, 45)],
    "adaptive": [{"adaptive_threshold": t, "min_content_val": m} for t in (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0) for m in (5, 10, 15)],
    "histogram": [{"threshold": t} for t in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)],
}


def make(bench, script, into, *more):
    """The folder that a script of bench/media fills from the sources; what is there is left."""
    folder = bench.cache / "bench/media"
    ffmpeg = bench.need(bench.artefacts / "bin/ffmpeg", "fetch it with 'make artefacts'")
    for command in ([ROOT / "scripts/fetch-artefacts", "--lock", MEDIA / "sources.lock.json", "--into", folder / "sources"],
                    [bench.python("shots"), MEDIA / script, folder / "sources", ffmpeg, folder / into, *more]):
        made = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if made.returncode != 0:
            raise CannotRun(f"failed to make the {into}; they want a Python package index and Debian's archive:\n{made.stderr[-2000:]}")
    return folder / into


def corpus(bench):
    """(films, reels): brought and made where they are not there."""
    bench.say("bringing and making the reels, which takes ten minutes the first time")
    folder, ffmpeg = make(bench, "reels.py", "reels").parent, bench.artefacts / "bin/ffmpeg"
    films = folder / "films"
    films.mkdir(exist_ok=True)
    for name, clip in clips().items():
        if not (film := films / f"{name}.mkv").exists():
            # Without its sound: what is measured is the picture.
            scratch = film.with_suffix(".part.mkv")
            subprocess.run([str(ffmpeg), "-v", "error", "-y", "-i", str(folder / "sources" / clip["file"]), "-an", "-c", "copy",
                            str(scratch)], check=True)
            scratch.replace(film)
    return films, folder / "reels"


def clips():
    return json.loads((MEDIA / "clips.json").read_text())["clips"]


def as_edited(films, split):
    """[(name, file, truth)] of the real films, as far as they are scored in this split."""
    for name, clip in clips().items():
        if span := clip.get(split):
            changes = [{"kind": "cut", "from": at, "to": at} for at in clip["cuts"]]
            changes += [{"kind": kind, "from": a, "to": b} for kind in ("fade", "dissolve") for a, b in clip[f"{kind}s"]]
            inside = [change | {"unit": str(change["from"])} for change in changes if span[0] < change["from"] < span[1]]
            yield name, films / f"{name}.mkv", {"rate": clip["rate"], "span": span, "changes": inside, "events": []}


def sets(films, reels, split):
    """{name of a set: [(name, file, truth)]}; real and computed pictures are never one set."""
    made = {domain: [(path.stem, path.with_suffix(".mkv"), json.loads(path.read_text()))
                     for path in sorted(reels.glob(f"{split}-{domain}-*.json"))] for domain in ("real", "synthetic")}
    return {"real clips": made["real"], "synthetic": made["synthetic"], "as edited": list(as_edited(films, split))}


def inside(found, truth):
    first, last = truth.get("span", (0, sys.maxsize))
    return [one for one in found if first < one[1] < last]


def ours(bench, worker, file, rate, profile):
    """What the worker's step says: ([(kind, from, to)] in frames, frames that its network was shown)."""
    with tempfile.TemporaryDirectory() as out:
        bench.run([worker, "enrich", file, "--out", out, "--only", "shots", "--shots-profile", profile, "--threads", THREADS],
                  f"ours {file.name}")
        told = json.loads((Path(out) / "shots.json").read_text())
        manifest = json.loads((Path(out) / "manifest.json").read_text())
    shown = next(step for step in manifest["steps"] if step["step"] == "shots")["summary"]["shots"].get("inferred", 0)
    second = told["timeBase"]["den"] / told["timeBase"]["num"]
    found = []
    for shot in told["shots"][1:]:
        kind, span = shot["beginsWith"], shot["span"]
        kind, ends = (kind, (span["start"],) * 2) if isinstance(kind, str) else next(
            (kind, (at["start"], at["end"])) for kind, at in kind.items())
        found.append((kind, *(round(at / second * rate) for at in ends)))
    return found, shown, round(told["duration"] / second * rate)


def peers_settings(bench, python, tuning):
    """For each peer the setting that finds most cuts on the reels for tuning, and the one that finds most slow changes."""
    wanted = {f"{kind} {json.dumps(arguments)}": (kind, arguments)
              for kind, several in SWEEP.items() for some in several for shortest in SHORTEST
              for arguments in [some | {"min_scene_len": shortest}]}
    files = [(name, file, truth) for reels in tuning.values() for name, file, truth in reels]
    key = hashlib.sha256(json.dumps([sorted(wanted), [truth for *_, truth in files]]).encode())
    key.update((ROOT / "bench/peers/shots.txt").read_bytes() + (MEDIA / "score.py").read_bytes())
    kept = bench.cache / f"bench/media/peers-{key.hexdigest()[:12]}.json"
    if not kept.exists():
        bench.say("sweeping the peers' settings on the reels for tuning, once")
        found = dict(peers(python, wanted, files))
        best = {}
        for use, kinds in (("cuts", KINDS["cuts"]), ("slow", KINDS["dissolves"] + KINDS["fades"])):
            for name, (kind, arguments) in wanted.items():
                tally = tallied(files, lambda file, name=name: found[str(file)][name], points=True)
                reached = tally.f1(*kinds)[0]
                if reached > best.get((use, kind), (-1,))[0]:
                    best[use, kind] = (reached, arguments)
        kept.write_text(json.dumps({f"{use} {kind}": (kind, arguments) for (use, kind), (_, arguments) in best.items()}, indent=1))
    return json.loads(kept.read_text())


def peers(python, settings, files):
    """(file, {setting: [frame]}) for each file."""
    command = [str(python), str(ROOT / "bench/peers/scenes.py"), *(str(file) for _, file, _ in files)]
    done = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotRun(f"failed to run the peers:\n{done.stderr[-2000:]}")
    for line in done.stdout.splitlines()[1:]:
        told = json.loads(line)
        yield told["file"], told["cuts"]


def tallied(files, find, points):
    tally = score.Tally()
    for name, file, truth in files:
        found = [("cut", at, at) for at in find(file)] if points else find(file)
        tally.add(name, inside(found, truth), truth, points)
    return tally


def shots(bench):
    worker = bench.need(bench.target / "release/showrunner-worker", "build it with 'make binaries'")
    films, reels = corpus(bench)
    python = bench.python("shots")
    settings = peers_settings(bench, python, sets(films, reels, "tune"))
    for name, files in sets(films, reels, "score").items():
        bench.say(f"{name}: {len(files)} files")
        theirs = dict(peers(python, settings, files))
        given = {setting: tallied(files, lambda file, setting=setting: theirs[str(file)][setting], points=True)
                 for setting in settings}
        for profile in PROFILES:
            told = {file: ours(bench, worker, file, truth["rate"], profile) for _, file, truth in files}
            mine = tallied(files, lambda file, told=told: told[file][0], points=False)
            rows(bench, f"{name}, {profile}", mine, given)
            shown, frames = (sum(one[nth] for one in told.values()) for nth in (1, 2))
            bench.row(f"{name}, {profile}: frames shown to the network", "%", [100 * shown / frames], "", [], None, f"{shown} of {frames}")
            with contextlib.suppress(OSError):
                kept = bench.cache / f"bench/media/told-{name.replace(' ', '-')}-{profile}.json"
                kept.write_text(json.dumps(mine.told, indent=0))
    speed(bench, worker, films / "bunny.mkv")


def rows(bench, name, mine, given):
    for what, kinds in KINDS.items():
        use = "cuts" if what == "cuts" else "slow"
        reached, interval, n, count = mine.f1(*kinds)
        if n == 0:
            continue
        best, peer = max((tally.f1(*kinds)[0], setting.split()[1]) for setting, tally in given.items() if setting.startswith(use))
        goal = Goal(0.99, at_least=True, as_good_as_peer=True) if what == "cuts" else Goal(0.95, at_least=True, better_than_peer=True)
        few = what == "cuts" and n < ENOUGH or n < 20
        note = f"{count.missed} missed, {count.false} false" + (f"; too few for a verdict ({n})" if few else "")
        if what != "cuts":
            note += "; the peer tells of a frame only: anywhere inside counts for it, ours has to share half of the span"
        bench.row(f"{name}: {what}, F1", "", [reached], f"PySceneDetect {peer}", [best], None if few else goal, note,
                  interval=interval, n=n)
    for what, kind in (("flashes", "flash"), ("whip pans", "pan")):
        rate, interval, n = mine.alarms(kind)
        if n == 0:
            continue
        best, peer = min((tally.alarms(kind)[0], setting.split()[1]) for setting, tally in given.items() if setting.startswith("cuts"))
        bench.row(f"{name}: false alarms for 100 {what}", "", [rate], f"PySceneDetect {peer}", [best],
                  Goal(2.0, better_than_peer=True), interval=interval, n=n, note=(
                      "turns of up to half a screen a frame are followed; where one frame shows nothing of the one before, they are not"
                      if kind == "pan" else ""))


# All steps but subtitles; without them moderation does not judge what is said.
BUT_SPEECH = "shots,thumbnails,chapters,moderation,fingerprint"
# What is done to the film, the processor time that it may take over decoding alone, and how many times faster than it plays.
WORKS = {
    "shots, fast": (["--only", "shots"], 1.15, None),
    "shots, accurate": (["--only", "shots", "--shots-profile", "accurate"], 2.0, None),
    "all that looks at the picture": (["--only", BUT_SPEECH], 2.0, 15.0),
}


def speed(bench, worker, film):
    """Processor time of the worker's picture steps over that of decoding alone, on the film, in turn. The film has no sound here."""
    ffmpeg = bench.artefacts / "bin/ffmpeg"

    def plays(run):
        """The film's length, seconds, by the first line of what the worker says."""
        return float(re.search(r" ([\d.]+) s[,\n]", run.output)[1])

    def enriched(arguments):
        with tempfile.TemporaryDirectory() as out:
            return bench.run([worker, "enrich", film, "--out", out, "--threads", THREADS, *arguments], "ours")

    works = {what: lambda arguments=arguments: enriched(arguments) for what, (arguments, *_) in WORKS.items()}
    given = bench.alternate(
        **works, floor=lambda: bench.run([ffmpeg, "-v", "error", "-i", film, "-an", "-f", "null", "-"], "decoding alone"))
    for what, (_, most, least) in WORKS.items():
        loaded = any(run.loaded for runs in (given[what], given["floor"]) for run in runs)
        bench.row(f"the film, 720p: {what}: processor time over decoding alone", "s", [run.cpu for run in given[what]],
                  "ffmpeg -f null", [run.cpu for run in given["floor"]], Goal(most, of_ratio=True), loaded=loaded, note=(
                      "docs/shots.md says where it goes; scaling every frame to 640x360 cost more than its decoding"))
        if least:
            bench.row(f"the film, 720p: {what}: times faster than it plays", "x", [plays(run) / run.wall for run in given[what]], "", [],
                      Goal(least, at_least=True), loaded=loaded)


# A title of two hours: the film over and over. What it may take: minutes on two cores, memory, and over a title half as long.
LONG, LONG_MINUTES, LONG_BYTES, LONG_RATIO = 7200, 30, 2 << 30, 2.1



def long(bench):
    """All steps but those that need speech, on a title of two hours and on one of an hour, inside of a fence of 2 GiB."""
    worker = bench.need(bench.target / "release/showrunner-worker", "build it with 'make binaries'")
    films, _ = corpus(bench)
    ffmpeg, source = bench.artefacts / "bin/ffmpeg", films.parent / "sources" / clips()["bunny"]["file"]
    given, peaks = {}, {}
    with tempfile.TemporaryDirectory(dir=bench.cache) as folder:
        for seconds in (LONG // 2, LONG):
            title, out = Path(folder) / f"{seconds}.mp4", Path(folder) / f"out-{seconds}"
            subprocess.run([str(ffmpeg), "-v", "error", "-stream_loop", "-1", "-i", str(source), "-t", str(seconds), "-c", "copy",
                            str(title)], check=True)
            with fence(LONG_BYTES) as (enter, peak):
                given[seconds] = bench.run([*enter, worker, "enrich", title, "--out", out, "--only", BUT_SPEECH, "--threads", THREADS],
                                           f"{seconds} s", timeout=3600)
                peaks[seconds] = peak() / (1 << 20)
    hour, two = given[LONG // 2], given[LONG]
    loaded = hour.loaded or two.loaded
    what = "two hours of 720p, all steps but speech"
    note = f"the film over and over; {BUT_SPEECH}; {two.cpu:.0f} s of processor time"
    bench.row(what, "min", [two.wall / 60], "", [], Goal(LONG_MINUTES), note, loaded=loaded)
    bench.row(f"{what}: over one hour of it", "", [two.wall / hour.wall], "", [], Goal(LONG_RATIO), f"{hour.wall / 60:.1f} min", loaded=loaded)
    bench.row(f"{what}: memory at its peak, tools and page cache included", "MiB", [peaks[LONG]], "", [], Goal(LONG_BYTES >> 20),
              f"within a limit of {LONG_BYTES >> 20} MiB, to which the page cache grows; one hour {peaks[LONG // 2]:.0f}")


@contextlib.contextmanager
def fence(most):
    """A control group that holds so many bytes: (what to put before a command, a function that says the peak)."""
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    files = ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if v1.is_dir() else ("memory.max", "memory.peak")
    group = (v1 if v1.is_dir() else v2) / f"showrunner-bench-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
        (group / files[0]).write_text(str(most))
    except OSError as error:
        raise CannotRun(f"failed to make a control group, which wants root: {error}") from error
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "fence"], lambda: int((group / files[1]).read_text())
    finally:
        group.rmdir()


def chapters(bench):
    worker = bench.need(bench.target / "release/showrunner-worker", "build it with 'make binaries'")
    bench.say("making the titles, which takes a quarter of an hour the first time")
    folder = make(bench, "titles.py", "titles", "score")
    for minutes in sorted({int(path.stem.split("-")[2]) for path in folder.glob("score-title-*.json")}):
        hits = found = planted = 0
        for path in sorted(folder.glob(f"score-title-{minutes}-*.json")):
            starts, told = json.loads(path.read_text())["starts"][1:], begins(bench, worker, path.with_suffix(".mkv"))
            hits += sum(any(abs(start - at) <= 0.5 for at in told) for start in starts)
            found, planted = found + len(told), planted + len(starts)
        for what, of, least in (("precision", found, 0.95), ("recall", planted, 0.8)):
            bench.row(f"titles of {minutes} min: planted starts within 0.5 s, {what}", "", [hits / max(1, of)], "", [],
                      Goal(least, at_least=True), f"{hits} of {of}", interval=score.wilson(hits, of), n=of)


def begins(bench, worker, file):
    """Where the worker's chapters begin but the first, seconds."""
    with tempfile.TemporaryDirectory() as out:
        bench.run([worker, "enrich", file, "--out", out, "--only", "shots,chapters", "--threads", THREADS], f"ours {file.name}")
        told = json.loads((Path(out) / "chapters.json").read_text())
    base = told["timeBase"]
    return [chapter["span"]["start"] * base["num"] / base["den"] for chapter in told["chapters"][1:]]


# The film's second half as it is, and between black bars: what nobody tuned on.
LATER = 5844 / 24
LEAST_CANDIDATES, PICKS, SHOTS_WANTED, APART = 100, 8, 6, 64


def thumbnails(bench):
    verdicts(bench)
    picks(bench)


def verdicts(bench):
    """How the score falls as severity rises, ours and the peers', on pictures that nothing was tuned on."""
    measure = bench.need(bench.target / "release/examples/measure", "build it with 'cargo build --release --workspace --examples'")
    films, _ = corpus(bench)
    sources = films.parent / "sources"
    bench.say("spoiling pictures and judging them, which takes ten minutes")
    one = judged(bench, sources, [measure], 1)
    theirs = judged(bench, sources, [bench.python("quality"), ROOT / "bench/peers/quality.py"], 1)
    version = theirs.pop(0)
    both = judged(bench, sources, [measure], 2)

    def rows(told, name, keep=lambda about: True, severity=max):
        """(content, score, severity) of each picture; what was cropped from one photograph is one content."""
        return [(each["about"]["content"], each[name], severity(each["about"]["severities"] or [0])) for each in told
                if keep(each["about"])]

    def row(what, pool, told, keep=lambda about: True, goal=None, severity=max, note=""):
        found, interval, units = pool(rows(told, "score", keep, severity))
        best, peer = max((pool(rows(theirs, name, keep, severity))[0], name) for name in ("BRISQUE", "Laplacian")) \
            if told is one else (None, "")
        named = {"BRISQUE": f"BRISQUE ({version['brisque']})" if version else "", "Laplacian": "variance of the Laplacian"}.get(peer, "")
        pictures = sum(keep(each["about"]) for each in told)
        bench.row(f"score and severity, {what}: SRCC", "", [found], named, [] if best is None else [best], goal,
                  f"{pictures} pictures of {units} contents" + (f"; {note}" if note else ""), interval=interval, n=units)

    goal = Goal(0.95, at_least=True, better_than_peer=True)
    row("all contents and faults pooled", rank.pooled, one, goal=goal)
    row("photographs alone, pooled", rank.pooled, one, lambda about: ":" not in about["content"])
    row("frames of films alone, pooled", rank.pooled, one, lambda about: ":" in about["content"])
    row("within one content, all faults, median", rank.within, one)
    for kind in sorted({kind for each in one for kind in each["about"]["kinds"]}):
        row(f"{kind} and sound, pooled", rank.pooled, one, lambda about, kind=kind: about["kinds"] in ([], [kind]))
    row("two faults at once, by the worse", rank.pooled, both)
    lost = [each for each in one if not each["about"]["kinds"] and each["rejected"]]
    sound = sum(not each["about"]["kinds"] for each in one)
    bench.row("sound pictures refused", "", [len(lost)], "", [], Goal(0.0), f"of {sound}")


def judged(bench, sources, command, faults):
    """What a judge says of each spoilt picture of the split `score`: its lines of JSON."""
    ffmpeg = bench.need(bench.artefacts / "bin/ffmpeg", "fetch it with 'make artefacts'")
    make_them = [bench.python("shots"), MEDIA / "distortions.py", sources, ffmpeg, "score", faults]
    with subprocess.Popen(list(map(str, make_them)), stdout=subprocess.PIPE) as maker:
        done = subprocess.run(list(map(str, command)), stdin=maker.stdout, capture_output=True, text=True)
    if maker.returncode or done.returncode:
        raise CannotRun(f"failed to judge pictures:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def picks(bench):
    """What is picked from titles that nothing was tuned on, and whether it may be shown."""
    worker = bench.need(bench.target / "release/showrunner-worker", "build it with 'make binaries'")
    measure = bench.need(bench.target / "release/examples/measure", "build it with 'cargo build --release --workspace --examples'")
    films, reels = corpus(bench)
    titles = [(path.stem, path.with_suffix(".mkv"), json.loads(path.read_text())) for path in sorted(reels.glob("score-*-10[1-3].json"))]
    titles += [(name, later(bench, films, filters, name), None) for name, filters in
               (("film, later half", None), ("film, later half, between bars", "crop=1280:536,pad=1280:720:0:92"))]
    given = [picked(bench, worker, measure, *title) for title in titles]
    for what, key, goal in (("candidates", "candidates", Goal(LEAST_CANDIDATES, at_least=True)), ("picks", "picks", Goal(PICKS, at_least=True)),
                            ("shots that picks are of", "shots", Goal(SHOTS_WANTED, at_least=True)),
                            ("least PDQ distance of two picks", "distance", Goal(APART, at_least=True)),
                            ("black, flat, blurred, lost, or in or next to a change of shot", "bad", Goal(0)),
                            ("picks that follow a worse one", "disorder", Goal(0)), ("picks with a black bar", "bars", Goal(0))):
        worst = min if goal.at_least else max
        least = worst(given, key=lambda told: told[key])
        bench.row(f"thumbnails: {what}, worst title", "", [least[key]], "", [], goal,
                  ", ".join(f"{told['name']} {told[key]}" for told in given) + (
                      f"; gave way: {least['relaxed']}" if least["relaxed"] else ""))


def later(bench, films, filters, name):
    file = films / f"{name.replace(', ', '-').replace(' ', '-')}.mkv"
    if not file.exists():
        ffmpeg, scratch = bench.need(bench.artefacts / "bin/ffmpeg", "fetch it with 'make artefacts'"), file.with_suffix(".part.mkv")
        bench.run([ffmpeg, "-v", "error", "-y", "-ss", LATER, "-i", films / "bunny.mkv", *(["-vf", filters] if filters else []), "-c:v",
                   "libx264", "-preset", "ultrafast", "-qp", "10", "-threads", "2", scratch], name)
        scratch.replace(file)
    return file


def picked(bench, worker, measure, name, file, truth):
    with tempfile.TemporaryDirectory() as folder:
        bench.run([worker, "enrich", file, "--out", folder, "--only", "shots,thumbnails", "--threads", THREADS], f"ours {name}")
        out = Path(folder)
        told = json.loads((out / "thumbnails.json").read_text())
        summaries = [step["summary"]["thumbnails"] for step in json.loads((out / "manifest.json").read_text())["steps"]
                     if step["step"] == "thumbnails"]
        ffmpeg = bench.artefacts / "bin/ffmpeg"
        seen = b"".join(subprocess.run([str(ffmpeg), "-v", "error", "-i", str(out / pick["name"]), "-f", "image2pipe", "-c:v", "ppm",
                                        "-"], check=True, capture_output=True).stdout for pick in told["picks"])
        judged = [json.loads(line) for line in subprocess.run([str(measure)], input=seen, capture_output=True,
                                                              check=True).stdout.splitlines()]
    second, picks = told["timeBase"]["den"] / told["timeBase"]["num"], told["picks"]
    bad = sum(each["rejected"] for each in judged)
    if truth:
        frames = [round(pick["at"] / second * truth["rate"]) for pick in picks]
        bad += sum(any(change["from"] - 1 <= at <= change["to"] for change in truth["changes"]) for at in frames)
    hashes = [int(pick["pdq"], 16) for pick in picks]
    apart = [bin(a ^ b).count("1") for n, a in enumerate(hashes) for b in hashes[:n]]
    scores = [pick["score"] for pick in picks]
    return {"name": name, "candidates": summaries[0]["candidates"], "picks": len(picks), "shots": len({pick["shot"] for pick in picks}),
            "distance": min(apart, default=256), "bad": bad, "disorder": sum(a < b for a, b in zip(scores, scores[1:])),
            "bars": sum(each["bars"] for each in judged), "relaxed": told["relaxed"]}



def fingerprints(bench):
    """Recall by kind of copy, beside plain vPDQ and plain Chromaprint over the same prints; and what is found that is no copy."""
    prints = example(bench, "prints")
    bench.say("making copies, which takes half an hour the first time")
    folder = make(bench, "copies.py", "copies", "score", prints) / "score"
    truths = json.loads((folder / "truth.json").read_text())
    answers = []
    for begin in range(0, len(truths), BATCH):
        queries = [folder / f"queries/{truth['query']}.print" for truth in truths[begin:begin + BATCH]]
        answers += bench.run([prints, "compare", folder / "catalogue", *queries], "ours and the peers").output.splitlines()
    found = score_copies.read(truths, answers)
    for (domain, kind), count in sorted(found.kinds.items()):
        copies_row(bench, f"{domain}: {'copies of all kinds' if kind == 'all' else kind.replace('_', ' ')}", count, kind == "all" and count["n"] >= ENOUGH)
    places = [right for (_, kind), count in found.kinds.items() if kind == "all" for right in count["placed"]]
    bench.row("offset within 1.5 s and speed within 1 %, of what is found", "%", [100 * sum(places) / len(places)], "", [], None,
              interval=percent(score.wilson(sum(places), len(places))), n=len(places))
    for name, peer in (("ours", ""), ("vpdq", "plain vPDQ"), ("chromaprint", "plain Chromaprint")):
        wrong = len(found.false[name])
        bench.row(f"queries that match what is none of theirs{', ' + peer if peer else ''}", "%", [100 * wrong / found.queries], "", [],
                  None if peer else Goal(0.1), f"{wrong} of {found.queries}, each against the whole catalogue",
                  interval=percent(score.wilson(wrong, found.queries)), n=found.queries)


def example(bench, name):
    return bench.need(bench.target / f"release/examples/{name}", "build it with 'cargo build --release --examples -p showrunner-fingerprint'")


# Queries that one run compares with the whole catalogue.
BATCH = 100
# Titles of two hours in the index, and queries of each kind.
TITLES, EACH = 10_000, 2


def percent(interval):
    return tuple(100 * end for end in interval)


def copies_row(bench, what, count, judged):
    n = count["n"]
    share = {name: 100 * count[name] / n for name in ("ours", "vpdq", "chromaprint", "called", "seen", "heard")}
    peer, best = max((("plain vPDQ", share["vpdq"]), ("plain Chromaprint", share["chromaprint"])), key=lambda one: one[1])
    note = (f"vPDQ {share['vpdq']:.1f}, Chromaprint {share['chromaprint']:.1f}; by picture {share['seen']:.1f}, by sound {share['heard']:.1f}; "
            f"class right {share['called']:.1f}")
    # No worse than either, and better where the better one leaves something.
    goal = Goal(99.0 if judged else 0.0, at_least=True, as_good_as_peer=best >= 99, better_than_peer=best < 99)
    bench.row(f"{what}, recall", "%", [share["ours"]], peer, [best], goal, note + ("" if judged else f"; too few for a bound of 99 ({n})"),
              interval=percent(score.wilson(count["ours"], n)), n=n)


def lookups(bench):
    """Lookups of whole titles in an index of many: time, memory, and what the index loses of what comparing finds."""
    catalogue = example(bench, "catalogue")
    pool = make(bench, "copies.py", "copies", "tune", example(bench, "prints")) / "tune/catalogue"
    index = bench.cache / "bench/media/copies/index"
    bench.say(f"building an index of {TITLES} titles of two hours, and looking copies up in it")
    built = json.loads(bench.run([catalogue, "build", pool, index, TITLES], "building").output)
    told = [json.loads(line) for line in bench.run([catalogue, "search", pool, index, TITLES, EACH], "looking up", timeout=3600).output.splitlines()
            if line.startswith("{")]
    bench.row(f"index of {TITLES} titles of two hours", "GB", [built["bytes"] / 1e9], "", [], Goal(3.0))
    bench.row("whole-title lookup, two cores: slowest", "s", [max(one["mostSeconds"] for one in told)], "", [], Goal(30.0),
              "; ".join(f"{one['kind']} {one['seconds']:.1f} s, {one['processor']:.1f} s of processor" for one in told))
    bench.row("resident at its peak, query and candidates included", "MiB", [max(one["residentMiB"] for one in told)], "", [], Goal(512.0))
    both, oracle = sum(one["both"] for one in told), sum(one["oracle"] for one in told)
    bench.row("found by index, of what comparing with the title itself finds", "%", [100 * both / oracle], "", [],
              Goal(99.5, at_least=True), f"{both} of {oracle}", interval=percent(score.wilson(both, oracle)), n=oracle)


PARTS = {"shots": shots, "long": long, "chapters": chapters, "thumbnails": thumbnails, "fingerprints": fingerprints, "lookups": lookups}
