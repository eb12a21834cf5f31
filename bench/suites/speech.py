"""Speech to subtitles: words, time and processor time, beside faster-whisper on the same recording in the same run.

I/O: runs the worker and the peer; makes the peer's environment once, below $SHOWRUNNER_CACHE/bench (from the package
index, pinned by peers/faster-whisper.txt), and the demo title.
"""

import collections
import hashlib
import importlib.machinery
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

from harness import ROOT, CannotRun, Goal, figure

MEDIA = ROOT / "bench/media"
sys.path.insert(0, str(MEDIA))
import words as told  # noqa: E402

PEERS = Path(__file__).resolve().parent.parent / "peers"
THREADS = 2
MODEL = "whisper-base"
MIXES = 40
# Not to be subtitled at all: ten minutes of each, by FFmpeg's sources or (music) by the mixes' recipe.
NOTHING = {"silence": "anullsrc=r=16000:cl=mono", "noise": "anoisesrc=r=16000:c=pink:a=0.3:seed=7", "music": None}
NOTHING_SECONDS = 600
# The default of review.maxWordErrorPercent.
LIMIT = 0.08


def script(name):
    """The functions of one of the demo title's scripts: its truth, and how words are compared."""
    path = ROOT / "examples/demo-title" / name
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def recording(bench):
    worker = bench.need(bench.target / "release/showrunner-worker", "build it with 'make binaries'")
    recording = bench.need(bench.artefacts / "media/two_cities.wav", "fetch it with 'make artefacts'")
    model = bench.need(bench.artefacts / "models" / MODEL, "fetch it with 'make artefacts'")
    python, score, title = bench.python("faster-whisper"), script("score"), script("make-title")
    with wave.open(str(recording)) as sound:
        seconds = sound.getnframes() / sound.getframerate()
    truth = score.words(" ".join(text for _, _, text in title.TWO_CITIES))

    def errors(text):
        return 100 * score.edits(truth, score.words(text)) / len(truth)

    def ours():
        """The whole pipeline in its sandbox, from the file to subtitles, as a process: nothing of it is left out."""
        with tempfile.TemporaryDirectory() as out:
            run = bench.run([worker, "enrich", recording, "--out", out, "--speech-model", MODEL, "--threads", THREADS], "ours")
            cues = json.loads((Path(out) / "subtitles.json").read_text())["cues"]
        return {"loaded": run.loaded, "wall": run.wall, "cpu": run.cpu, "memory": run.memory,
                "errors": errors(" ".join(line for cue in cues for line in cue["lines"]))}

    def peer(beam):
        def once():
            run = bench.run([python, PEERS / "faster_whisper.py", model, recording, beam, THREADS], f"faster-whisper beam {beam}")
            told = json.loads(run.output.splitlines()[-1])
            return told | {"loaded": run.loaded, "memory": run.memory, "errors": errors(told["text"])}
        return once

    given = bench.alternate(ours=ours, beam5=peer(5), beam1=peer(1))
    name = f"faster-whisper {given['beam5'][0]['version']} (CTranslate2 {given['beam5'][0]['engine']})"

    def row(what, unit, key, beam, goal=None, note="", scale=1.0):
        mine, theirs = given["ours"], given[beam]
        bench.row(what, unit, [run[key] * scale for run in mine], f"{name} {beam[:4]} {beam[4:]}",
                  [run[key] * scale for run in theirs], goal, note, loaded=any(run["loaded"] for run in mine + theirs))

    row("words wrong", "%", "errors", "beam5", Goal(2.0),
        "of the whole pipeline, from the cues; the peer's from the words of its segments, by the same comparison")
    row("real-time factor", "", "wall", "beam5", Goal(0.15), scale=1 / seconds, note=(
        f"seconds for each second of a {figure(seconds)} s recording, {THREADS} cores. Ours is the whole process: digests of the "
        "models, sandbox, probe, decode, recognition, times of words, cues, files. The peer's counts from after Python's "
        "imports: model, decode, recognition, times of words; int8 of the same model, voice detector on"))
    row("real-time factor", "", "wall", "beam1", scale=1 / seconds)
    row("processor seconds", "s", "cpu", "beam5", note=(
        "ours computes with CTranslate2 on ruy, which packs the decoder's weights anew for every token (a fifth of the time, by "
        "perf); the peer's oneDNN does not. Building oneDNN would be some 460 C++ files more, so it was left alone"))
    row("processor seconds", "s", "cpu", "beam1")
    row("memory at its peak", "MiB", "memory", "beam5")
    contended(bench, worker)


def contended(bench, worker):
    """Picture and sound of the demo title at once on the same cores, as a job does them."""
    folder = bench.cache / "demo"
    made = subprocess.run([ROOT / "examples/demo-title/make-title"], capture_output=True, text=True)
    if made.returncode != 0:
        raise CannotRun(f"failed to make the demo title: {made.stderr[-1000:]}")
    walls, picture, cpus, loaded = [], [], [], False
    for nth in range(bench.runs):
        bench.say(f"demo title, run {nth + 1} of {bench.runs}")
        with tempfile.TemporaryDirectory() as out:
            run = bench.run([worker, "enrich", folder / "title.mp4", "--out", out, "--threads", THREADS], "demo title")
            unit = json.loads((Path(out) / "unit-result.json").read_text())
            speech = json.loads((Path(out) / "manifest.json").read_text())
        steps = {step["step"]: step["wallMs"] / 1000 for step in unit["steps"]}
        heard = next(step["summary"] for step in speech["steps"] if step["step"] == "subtitles")
        spoken = heard["subtitles"]["speechMs"] / 1000
        walls.append(steps["subtitles"] / spoken)
        picture.append(run.wall)
        cpus.append(run.cpu)
        loaded |= run.loaded
    bench.row("contended: for each second of speech", "", walls, loaded=loaded,
              note="the subtitles step's time on the demo title while shots and thumbnails are looked for on the same cores")
    bench.row("contended: the whole title", "s", picture, loaded=loaded)
    bench.row("contended: processor seconds", "s", cpus, loaded=loaded)


def mixes(bench):
    """Forty mixes of known words that nothing was tuned on: words wrong beside the peer, the estimate and its gate, times of cues."""
    worker = bench.need(bench.target / "release/showrunner-worker", "build it with 'make binaries'")
    model = bench.need(bench.artefacts / "models" / MODEL, "fetch it with 'make artefacts'")
    python = bench.python("faster-whisper")
    folder = corpus(bench)
    rows = []
    for nth, mix in enumerate(json.loads((folder / "score.json").read_text())):
        bench.say(f"mix {nth + 1} of {MIXES}: {mix['condition']}")
        cues, manifest, _ = subtitled(bench, worker, folder / mix["file"], "en")
        peer = bench.run([python, PEERS / "faster_whisper.py", model, folder / mix["file"], 5, THREADS, "en"], "faster-whisper")
        theirs = json.loads(peer.output.splitlines()[-1])
        said = told.normalised(" ".join(line["text"] for line in mix["told"]))
        ours = told.normalised(" ".join(line for cue in cues for line in cue["lines"]))
        rows.append({"condition": mix["condition"], "said": len(said), "ours": told.errors(said, ours),
                     "theirs": told.errors(said, told.normalised(theirs["text"])), "estimate": estimate(manifest),
                     "late": late(mix, cues)})
    name = f"faster-whisper {theirs['version']} (CTranslate2 {theirs['engine']})"
    wrong(bench, rows, name)
    gated(bench, rows)
    errors = sorted(abs(each) for row in rows if row["condition"] == "clean" for each in row["late"])
    for share, goal in ((0.5, 120), (0.95, 300)):
        bench.row(f"start of cues that begin a sentence, clean: p{round(100 * share)}", "ms",
                  [errors[int(share * (len(errors) - 1))]] if errors else [], "", [], Goal(goal), n=len(errors))
    nothing(bench, worker)


def corpus(bench):
    """The mixes for scoring, made when they are not there."""
    for program in ("espeak-ng", "flite"):
        if not shutil.which(program):
            raise CannotRun(f"failed to find {program}: install it (apt-get install espeak-ng flite)")
    recipe = MEDIA / "speech_mixes.py"
    digest = hashlib.sha256(recipe.read_bytes() + (MEDIA / "speech/lines.json").read_bytes()).hexdigest()[:12]
    folder = bench.cache / "bench" / f"speech-{digest}"
    if not (folder / "score.json").exists():
        bench.say("making the mixes, once")
        made = subprocess.run([bench.python("quality"), recipe, folder, "score", str(MIXES)], capture_output=True, text=True)
        if made.returncode:
            raise CannotRun(f"failed to make the mixes:\n{made.stderr[-2000:]}")
    return folder


def subtitled(bench, worker, file, language=None):
    """The step alone on a file: its cues, the manifest, and the run."""
    with tempfile.TemporaryDirectory() as out:
        command = [worker, "enrich", file, "--out", out, "--speech-model", MODEL, "--threads", THREADS, "--only", "subtitles"]
        run = bench.run(command + (["--language", language] if language else []), "ours", timeout=1800)
        document = Path(out) / "subtitles.json"
        cues = json.loads(document.read_text())["cues"] if document.exists() else []
        return cues, json.loads((Path(out) / "manifest.json").read_text()), run


def estimate(manifest):
    """What the step says of its words; None where it made no subtitles, for those are held by nobody."""
    step = next(step for step in manifest["steps"] if step["step"] == "subtitles")
    found = (step.get("summary") or {}).get("subtitles", {}).get("wordErrors")
    return found and {name: found[name] / 1000 for name in ("perMille", "low", "high")}


def late(mix, cues):
    """How many milliseconds after its sentence each cue begins whose first word is a sentence's first."""
    said, starts = [], {}
    for line in mix["told"]:
        starts[len(said)] = line["start"] * 1000 / 16000
        said += told.normalised(line["text"])
    heard, begins = [], {}
    for cue in cues:
        begins[len(heard)] = cue["startMs"]
        heard += told.normalised(" ".join(cue["lines"]))
    return [begins[two] - starts[one] for one, two in told.steps(said, heard)
            if one in starts and two in begins and said[one] == heard[two]]


def wrong(bench, rows, name):
    """Words wrong, by condition and beside the peer."""
    by = collections.defaultdict(list)
    for row in rows:
        by[row["condition"]].append(row)
    for condition, some in sorted(by.items()):
        rate, interval, mixes = told.pooled([(row["ours"], row["said"]) for row in some])
        theirs, _, _ = told.pooled([(row["theirs"], row["said"]) for row in some])
        bench.row(f"words wrong, {condition}, synthetic voices", "%", [rate], name, [theirs], Goal(2.0) if condition == "clean" else None,
                  f"{sum(row['said'] for row in some)} words in {mixes} mixes", interval=interval, n=mixes)
    spoilt = [row for row in rows if row["condition"] != "clean"]
    points, interval, mixes = told.difference([(row["ours"], row["theirs"], row["said"]) for row in spoilt])
    bench.row("words wrong more than the peer's, spoilt mixes, upper end", "points", [interval[1]], "", [], Goal(0.5),
              f"paired: {figure(points)} points", interval=interval, n=mixes)


def gated(bench, rows):
    """The estimate against the truth, and which mixes the default rule holds."""
    rates = [(row["ours"] / row["said"], row["estimate"]) for row in rows if row["estimate"]]
    bench.row("mixes without subtitles", "", [len(rows) - len(rates)], "", [], n=len(rows),
              note="nothing was believed; they count as not held, and for no interval")
    inside = sum(found["low"] <= rate <= found["high"] for rate, found in rates)
    bench.row("estimates whose interval holds the truth", "%", [100 * inside / len(rates)], "", [], Goal(90, at_least=True), n=len(rates),
              note="the interval leaves out one in twenty on each side")
    bench.row("estimate off the truth, median", "points", [100 * statistics.median(abs(rate - found["perMille"]) for rate, found in rates)],
              n=len(rates))
    for name, (held, of, interval) in told.gate(
            [(row["ours"] / row["said"], bool(row["estimate"]) and row["estimate"]["perMille"] > LIMIT) for row in rows]).items():
        what, goal = {"bad": ("over 12 %", Goal(95, at_least=True)), "good": ("under 8 %", Goal(20))}[name]
        bench.row(f"held by default, of mixes with {what} of words wrong", "%", [100 * held / max(1, of)], "", [], goal,
                  f"{held} of {of}", interval=tuple(100 * end for end in interval), n=of)


def nothing(bench, worker):
    """Ten minutes each of what is no speech."""
    ffmpeg = bench.need(bench.artefacts / "bin/ffmpeg", "fetch it with 'make artefacts'")
    for name, source in NOTHING.items():
        bench.say(f"ten minutes of {name}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{name}.wav"
            if source:
                subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-t", str(NOTHING_SECONDS), file], check=True)
            else:
                recipe = [bench.python("quality"), MEDIA / "speech_mixes.py", folder, "music", str(NOTHING_SECONDS)]
                subprocess.run(recipe, check=True)
            cues, _, _ = subtitled(bench, worker, file)
        bench.row(f"cues in ten minutes of {name}", "", [len(cues)], "", [], Goal(0))


PARTS = {"recording": recording, "mixes": mixes}
