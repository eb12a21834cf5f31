"""Speech to subtitles: words, time and processor time, beside faster-whisper on the same recording in the same run.

I/O: runs the worker and the peer; makes the peer's environment once, below $SHOWRUNNER_CACHE/bench (from the package
index, pinned by peers/faster-whisper.txt), and the demo title.
"""

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

from harness import ROOT, CannotRun, Goal, figure

PEERS = Path(__file__).resolve().parent.parent / "peers"
THREADS = 2
MODEL = "whisper-base"


def script(name):
    """The functions of one of the demo title's scripts: its truth, and how words are compared."""
    path = ROOT / "examples/demo-title" / name
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def measure(bench):
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
