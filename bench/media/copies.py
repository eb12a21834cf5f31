#!/usr/bin/env python3
"""Makes titles, copies of them with parameters drawn at random, and titles that are copies of nothing; keeps their prints.

usage: copies.py SOURCES FFMPEG OUT SPLIT PRINTS   (as reels.py, which says what the splits are; PRINTS is the engine's example)
Writes OUT/<split>/catalogue/*.print, OUT/<split>/queries/*.print and .query, and OUT/<split>/truth.json: for each query its kind,
the title that it was made of (none for strangers), and with what parameters. Wants the packages of peers/shots.txt.

Titles are `real`, pieces of the film between two of its cuts, with the film's sound; or `synthetic`: scenes that are collages of
parts of photographs under a moving camera, with music or noise of their own. Copies are coded by x264 and AAC and decoded again.
Distractors and strangers are made in the same way as synthetic titles, and not coded.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import wave
from pathlib import Path

import cv2
import numpy

from pictures import HEIGHT, WIDTH
from recipes import KINDS, LINKS, SOUND_RATE, Recipe, seconds

RATE = 12
SEEN = (160, 90)  # what prints are made of
# Synthetic titles, others to take foreign parts from, distractors in the catalogue, strangers that are looked up; draws of each
# kind for a synthetic title and for a piece of the film. Seeds.
SIZES = {"tune": {"titles": 8, "others": 6, "distractors": 200, "strangers": 200, "draws": (1, 2), "seed": 1},
         "score": {"titles": 20, "others": 10, "distractors": 500, "strangers": 800, "draws": (1, 2), "seed": 1001}}
PIECE = 40  # seconds of the film, at least
FILM = {"tune": (60, 5844), "score": (5844, 11727)}


# --- what titles are made of -------------------------------------------------------------------------------------------

def scene(rng, photos, frames):
    """A function from a frame's number to a picture: parts of photographs side by side, seen by a camera that may move."""
    canvas = part(rng, photos, 480, 270)
    for _ in range(int(rng.integers(1, 5))):
        wide, high = (int(rng.uniform(0.15, 0.6) * side) for side in (480, 270))
        x, y = int(rng.integers(0, 480 - wide)), int(rng.integers(0, 270 - high))
        canvas[y:y + high, x:x + wide] = part(rng, photos, wide, high)
    canvas = cv2.convertScaleAbs(canvas, alpha=rng.uniform(0.5, 1.2))
    still = rng.random() < 0.3
    ends = [(rng.uniform(0.62, 0.95), rng.uniform(0, 1), rng.uniform(0, 1)) for _ in range(2)]
    if still:
        ends[1] = ends[0]
    thing = part(rng, photos, 60, 60) if rng.random() < 0.5 else None
    path = rng.uniform(0, 1, (2, 2))

    def show(at):
        share = at / max(1, frames)
        zoom, x, y = (a + (b - a) * share for a, b in zip(*ends))
        wide, high = 480 * zoom, 270 * zoom
        left, top = (480 - wide) * x, (270 - high) * y
        matrix = numpy.float32([[wide / WIDTH, 0, left], [0, high / HEIGHT, top]])
        frame = cv2.warpAffine(canvas, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                               borderMode=cv2.BORDER_REFLECT_101)
        if thing is not None:
            spot = path[0] + (path[1] - path[0]) * share
            a, b = int(spot[0] * (WIDTH - 60)), int(spot[1] * (HEIGHT - 60))
            frame[b:b + 60, a:a + 60] = thing
        return frame
    return show


def part(rng, photos, wide, high):
    photo = photos[rng.integers(len(photos))]
    share = rng.uniform(0.12, 0.4)
    w = int(photo.shape[1] * share)
    h = min(photo.shape[0] - 1, max(8, w * high // wide))
    x, y = int(rng.integers(0, photo.shape[1] - w)), int(rng.integers(0, photo.shape[0] - h))
    piece = cv2.resize(photo[y:y + h, x:x + w], (wide, high), interpolation=cv2.INTER_AREA)
    piece = piece[:, ::-1] if rng.random() < 0.5 else piece
    return piece[::-1] if rng.random() < 0.2 else piece


def shots(rng, photos, seconds):
    """[(first second, seconds, scene)]"""
    at, made = 0.0, []
    while at < seconds:
        length = min(float(rng.uniform(1.5, 8)), seconds - at)
        made.append((at, length, scene(rng, photos, int(length * RATE) + 1)))
        at += length
    return made


def frames(made, seconds, rate):
    place = 0
    for n in range(int(seconds * rate)):
        second = n / rate
        while place + 1 < len(made) and second >= made[place + 1][0]:
            place += 1
        yield made[place][2]((second - made[place][0]) * RATE)


def sound(rng, seconds):
    """Music: notes of a scale that decay, over a beat; or what a place sounds like."""
    total = int(seconds * SOUND_RATE)
    out = rng.normal(0, 0.004, total)
    if rng.random() < 0.2:
        # Noise whose colour and loudness wander.
        for begin in range(0, total, SOUND_RATE):
            count = min(SOUND_RATE, total - begin)
            shape = numpy.maximum(numpy.fft.rfftfreq(count, 1 / SOUND_RATE), 30) ** rng.uniform(-1, -0.2)
            noise = numpy.fft.irfft(numpy.fft.rfft(rng.normal(0, 1, count)) * shape, count)
            out[begin:begin + count] += noise / noise.std() * rng.uniform(0.03, 0.15)
        step, notes = 1.1, 1
    else:
        step, notes = 60 / rng.uniform(70, 150), int(rng.integers(2, 5))
    scale = rng.choice([[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10], [0, 2, 4, 7, 9, 12, 14]])
    root, bright = rng.integers(40, 60), rng.uniform(0.3, 0.7)
    at = 0.0
    while at < seconds - 1:
        begin = int(at * SOUND_RATE)
        for _ in range(notes):
            pitch = 440 * 2 ** ((root + scale[rng.integers(len(scale))] + 12 * rng.integers(0, 3) - 69) / 12)
            count = min(total - begin, int(rng.uniform(0.3, 1.6) * SOUND_RATE))
            time = numpy.arange(count) / SOUND_RATE
            tone = sum(bright ** k * numpy.sin(2 * numpy.pi * pitch * (k + 1) * time) for k in range(4))
            out[begin:begin + count] += tone * numpy.exp(-time * rng.uniform(1, 6)) * rng.uniform(0.04, 0.15)
        at += step * rng.choice([0.5, 1, 1, 2])
    return (numpy.clip(out, -1, 1) * 32000).astype("<i2")


def write_wave(path, samples):
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
        out.writeframes(samples.tobytes())


class Maker:
    def __init__(self, sources, ffmpeg, prints, out, split):
        self.sources, self.ffmpeg, self.prints, self.split, self.out = sources, str(ffmpeg), str(prints), split, out / split
        self.sizes, self.truth = SIZES[split], json.loads((Path(__file__).parent / "clips.json").read_text())
        self.work = self.out / "work"
        for folder in ("catalogue", "queries", "work"):
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        self.photos = [small(cv2.imread(str(sources / f"photos/{name}.jpg"))) for name in self.truth["photos"][split]]

    def rng(self, *seeds):
        return numpy.random.default_rng([self.sizes["seed"], *seeds])

    # --- titles

    def pieces(self):
        """[(name, first second, last)] of the film, from cut to cut."""
        first, last = FILM[self.split]
        cuts = [at for at in self.truth["clips"]["bunny"]["cuts"] if first <= at <= last]
        made, begin = [], cuts[0]
        for cut in cuts:
            if cut - begin >= PIECE * 24:
                made.append((f"real-{len(made)}", begin / 24, cut / 24))
                begin = cut
        return made

    def title(self, name):
        """The file of a title, made if it is not there."""
        path = self.work / f"{name}.mkv"
        if path.exists():
            return path
        part_file, sound_file = path.with_suffix(".part.mkv"), path.with_suffix(".wav")
        if name.startswith("real"):
            _, first, last = next(piece for piece in self.pieces() if piece[0] == name)
            self.run("-ss", f"{first:.4f}", "-to", f"{last:.4f}", "-i", self.sources / "clips/bunny.mp4", "-vf",
                     f"scale={WIDTH}:{HEIGHT}:flags=area", "-ac", "2", *LOSSLESS, part_file)
        else:
            rng = self.rng({"synthetic": 1, "other": 2}[name.split("-")[0]], int(name.split("-")[1]))
            seconds = float(rng.uniform(48, 75))
            write_wave(sound_file, sound(rng, seconds))
            command = [self.ffmpeg, "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}",
                       "-r", str(RATE), "-i", "-", "-i", str(sound_file), *LOSSLESS, str(part_file)]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
                for frame in frames(shots(rng, self.photos, seconds), seconds, RATE):
                    child.stdin.write(frame.tobytes())
            assert child.returncode == 0, f"failed to write {name}"
            sound_file.unlink()
        part_file.replace(path)
        return path

    def run(self, *words):
        subprocess.run([self.ffmpeg, "-v", "error", "-nostdin", "-y", *map(str, words)], check=True)

    def print_of(self, file, out, video=True, audio=True):
        """Decodes a file and makes its print."""
        looked, heard = out.with_suffix(".gray"), out.with_suffix(".pcm")
        wanted = []
        if video:
            wanted += ["-map", "0:v", "-vf", f"fps=1,scale={SEEN[0]}:{SEEN[1]}:flags=area,format=gray", "-f", "rawvideo", looked]
        if audio:
            wanted += ["-map", "0:a", "-ac", "1", "-ar", "11025", "-f", "s16le", heard]
        self.run("-threads", "1", "-i", file, *wanted)
        self.make(looked if video else "-", heard if audio else "-", out)

    def make(self, looked, heard, out, verb="make"):
        subprocess.run([self.prints, verb, str(looked), *map(str, SEEN), str(heard), str(out)], check=True)
        for path in (looked, heard):
            if path != "-":
                Path(path).unlink()

    def stranger(self, what, number, out):
        """A title of its own, not coded: only the frames that are looked at are made."""
        rng = self.rng({"distractor": 3, "stranger": 4}[what], number)
        seconds = float(rng.uniform(40, 70))
        looked, heard = out.with_suffix(".gray"), out.with_suffix(".pcm")
        made = shots(rng, self.photos, seconds)
        with looked.open("wb") as file:
            for frame in frames(made, seconds, 1):
                file.write(cv2.cvtColor(cv2.resize(frame, SEEN, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY).tobytes())
        heard.write_bytes(sound(rng, seconds)[::2].tobytes())
        self.make(looked, heard, out, "make" if what == "stranger" else "print")

    # --- copies

    def copy(self, kind, name, draw):
        """What is true of the copy; made if it is not there."""
        query = f"{kind}-{name}-{draw}"
        out = self.out / f"queries/{query}.print"
        rng = self.rng(5, KINDS.index(kind), int(name.split("-")[1]), draw, int(name.startswith("real")))
        other = f"other-{rng.integers(self.sizes['others'])}"
        recipe = Recipe(rng, self.title(name), self.title(other), seconds(self.ffmpeg, self.title(name)))
        steps = [kind]
        if kind == "chain":
            steps = list(rng.choice(LINKS, int(rng.integers(2, 4)), replace=False))
        for step in steps:
            getattr(recipe, step)()
        if not out.with_suffix(".query").exists():
            coded = out.with_suffix(".mkv")
            recipe.write(self, coded)
            self.print_of(coded, out)
            coded.unlink()
        return {"query": query, "kind": kind, "title": name, "domain": name.split("-")[0], "steps": steps, "drawn": recipe.drawn,
                "speed": recipe.tempo}


LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-threads", "1", "-pix_fmt", "yuv420p", "-c:a", "flac")
def small(photo):
    scale = min(1.0, 2000 / photo.shape[1])
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


MAKER = None


def task(job):
    what, *rest = job
    if what == "copy":
        return MAKER.copy(*rest)
    if what == "title":
        out = MAKER.out / f"catalogue/{rest[0]}.print"
        file = MAKER.title(rest[0])
        if not out.with_suffix(".query").exists() and not rest[0].startswith("other"):
            MAKER.print_of(file, out)
        return None
    number, = rest
    folder = {"distractor": "catalogue", "stranger": "queries"}[what]
    out = MAKER.out / f"{folder}/{what}-{number}.print"
    if not out.with_suffix(".query" if what == "stranger" else ".print").exists():
        MAKER.stranger(what, number, out)
    if what == "distractor":
        return None
    return {"query": f"stranger-{number}", "kind": "stranger", "title": None, "domain": "synthetic", "steps": [], "drawn": {}, "speed": 1.0}


def main():
    global MAKER
    sources, ffmpeg, out = (Path(argument).resolve() for argument in sys.argv[1:4])
    split, prints = sys.argv[4], Path(sys.argv[5]).resolve()
    cv2.setNumThreads(1)
    MAKER = Maker(sources, ffmpeg, prints, out, split)
    if (MAKER.out / "truth.json").exists():
        return
    sizes = MAKER.sizes
    titles = [piece[0] for piece in MAKER.pieces()] + [f"synthetic-{n}" for n in range(sizes["titles"])]
    others = [f"other-{n}" for n in range(sizes["others"])]
    with multiprocessing.get_context("fork").Pool(min(2, os.cpu_count() or 1)) as pool:
        pool.map(task, [("title", name) for name in titles + others], chunksize=1)
        jobs = [("copy", kind, name, draw) for kind in KINDS for name in titles
                for draw in range(sizes["draws"][name.startswith("real")])]
        truth = pool.map(task, jobs, chunksize=4)
        pool.map(task, [("distractor", n) for n in range(sizes["distractors"])], chunksize=8)
        truth += pool.map(task, [("stranger", n) for n in range(sizes["strangers"])], chunksize=8)
    for file in MAKER.work.iterdir():
        file.unlink()
    # Last: it says that everything is whole.
    (MAKER.out / "truth.json").write_text(json.dumps(truth, indent=0) + "\n")
    print(f"{split}: {len(titles)} titles, {sizes['distractors']} distractors, {len(truth)} queries", flush=True)


if __name__ == "__main__":
    main()
