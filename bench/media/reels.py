#!/usr/bin/env python3
"""Makes reels with a known edit list: takes joined by cuts, dissolves and fades, with flashes and whip pans in them.

usage: reels.py SOURCES FFMPEG OUT   (SOURCES as scripts/fetch-artefacts filled it from sources.lock.json)
Writes OUT/<split>-<domain>-<seed>.mkv, lossless, and a .json of the same name: what is true of it. A reel that is there already
is left as it is. Wants the packages of peers/shots.txt.

Splits: `tune` to choose thresholds by, ours and the peers'; `score` to be measured with. They share no clip, no photograph, no
seed and few of the parameters. Domains: `real` clips; `synthetic` pictures, that is photographs moved by a camera, and computed
ones. A clip's own cuts, from clips.json, are part of the truth where a take spans them.

The truth, in frames from 0: a cut is its first frame; a span goes from the last frame of the old picture alone to the first of the
new one alone. An event is no change of shot: `from` and `to` are the last and first frames without it. `unit` is the source that
the change leads to, for intervals over independent units.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy

from pictures import COMPUTED, HEIGHT, WIDTH, clip_frames, clip_take, photo_take

RATE = 24
GUARD = 10  # frames that nothing else happens in, before and after a cut or an event
PARAMETERS = {
    "tune": {"seeds": range(1, 5), "cuts": 29, "dissolves": 12, "fades": 9, "flashes": 12, "pans": 12,
             "flash": [[1.0], [0.8, 0.5], [1.0, 0.7, 0.4, 0.2]], "whip": [6, 10], "ramp": [8, 16], "hold": [0, 4, 12],
             "grain": [0, 2, 4]},
    "score": {"seeds": range(101, 112), "cuts": 37, "dissolves": 16, "fades": 11, "flashes": 16, "pans": 16,
              "flash": [[0.9], [0.6], [1.0, 0.5], [1.0, 0.8, 0.6, 0.3], [0.8, 0.0, 0.9]], "whip": [5, 8, 12],
              "ramp": [6, 12, 20], "hold": [0, 2, 8, 24], "grain": [0, 1.5, 3, 5]},
}
DISSOLVES = (12, 24)
EASED = 0.2  # share of the dissolves that are no even ramp
WHITE = 0.2  # share of the fades that go through white


def main():
    sources, ffmpeg, out = (Path(argument).resolve() for argument in sys.argv[1:4])
    truth = json.loads((Path(__file__).parent / "clips.json").read_text())
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    for split, parameters in PARAMETERS.items():
        wanted = {domain: [out / f"{split}-{domain}-{seed}" for seed in parameters["seeds"]] for domain in ("real", "synthetic")}
        wanted = {domain: [path for path in paths if not path.with_suffix(".json").exists()] for domain, paths in wanted.items()}
        if not any(wanted.values()):
            continue
        with tempfile.TemporaryDirectory(dir=out) as folder:
            stock = Stock(split, truth, sources, ffmpeg, Path(folder), clips=bool(wanted["real"]))
            for domain, paths in wanted.items():
                for path in paths:
                    seed = int(path.name.rsplit("-", 1)[1])
                    write(path, ffmpeg, *Reel(stock, domain, parameters, seed).cut(), {"split": split, "domain": domain, "seed": seed})


class Stock:
    """What takes are made of."""

    def __init__(self, split, truth, sources, ffmpeg, folder, clips):
        self.clips = []
        for name, clip in truth["clips"].items() if clips else ():
            if span := clip.get(split):
                frames = clip_frames(ffmpeg, sources / clip["file"], clip["rate"], span, folder)
                own = [at - span[0] for at in clip["cuts"] if span[0] < at < span[1]]
                busy = [(a - span[0], b - span[0]) for a, b in clip["fades"] + clip["dissolves"]]
                self.clips.append((name, frames, own, busy))
        self.photos = {}
        for name in truth["photos"][split]:
            photo = cv2.imread(str(sources / f"photos/{name}.jpg"))[:, :, ::-1]
            scale = min(1.0, 1600 / photo.shape[1])
            self.photos[name] = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


class Reel:
    def __init__(self, stock, domain, parameters, seed):
        self.stock, self.domain, self.parameters = stock, domain, parameters
        self.rng = numpy.random.default_rng([seed, len(domain)])
        self.grains = self.rng.normal(0, 1, (8, HEIGHT, WIDTH, 1)).astype(numpy.float32)
        self.last_shown = None

    def plan(self):
        """Joins, and the event of each take, in a random order."""
        given = self.parameters
        joins = ["cut"] * given["cuts"] + ["dissolve"] * given["dissolves"] + ["fade"] * given["fades"]
        takes = len(joins) + 1
        events = ["flash"] * given["flashes"] + ["pan"] * given["pans"]
        events += [None] * (takes - len(events))
        self.rng.shuffle(joins)
        self.rng.shuffle(events)
        dissolved = 0
        planned = []
        for kind in joins:
            if kind == "dissolve":
                length, dissolved = DISSOLVES[dissolved % 2], dissolved + 1
                planned.append((kind, length, length, 0))
            elif kind == "fade":
                planned.append((kind, *(int(n) for n in self.rng.choice(given["ramp"], 2)), int(self.rng.choice(given["hold"]))))
            else:
                planned.append((kind, 0, 0, 0))
        return planned, events

    def cut(self):
        """(frames, changes, events)."""
        joins, events = self.plan()
        frames, changes, happened = [], [], []
        for nth, event in enumerate(events):
            before = joins[nth - 1] if nth else ("cut", 0, 0, 0)
            after = joins[nth] if nth < len(joins) else ("cut", 0, 0, 0)
            lead, tail = before[2], after[1]
            take, own, found, unit = self.take(lead, tail, event)
            start = len(frames) - (lead if before[0] == "dissolve" else 0)
            if before[0] == "cut" and nth:
                changes.append({"kind": "cut", "from": start, "to": start, "unit": unit})
            elif before[0] == "dissolve":
                share = self.ramp(lead)
                for n in range(lead):
                    frames[start + n] = mix(frames[start + n], take[n], share[n])
                changes.append({"kind": f"dissolve{lead}", "from": start - 1, "to": start + lead, "unit": unit})
                take = take[lead:]
            elif before[0] == "fade":
                colour = numpy.full_like(take[0], 255 if self.rng.random() < WHITE else 0)
                out, hold = before[1], before[3]
                for n in range(out):
                    frames[start - out + n] = mix(frames[start - out + n], colour, (n + 1) / out)
                frames += [colour] * hold
                for n in range(lead):
                    take[n] = mix(colour, take[n], (n + 1) / lead)
                changes.append({"kind": "fade", "from": start - out - 1, "to": start + hold + lead - 1, "unit": unit})
                start += hold
            frames += take
            changes += [{"kind": "cut", "from": start + at, "to": start + at, "unit": unit, "own": True} for at in own]
            happened += [{"kind": kind, "from": start + a, "to": start + b, "unit": unit} for kind, a, b in found]
        return frames, changes, happened

    def ramp(self, length):
        shares = [(n + 1) / (length + 1) for n in range(length)]
        return [s * s * (3 - 2 * s) for s in shares] if self.rng.random() < EASED else shares

    def take(self, lead, tail, event):
        """(frames, the source's own cuts in them, events in them, its unit)."""
        body = int(self.rng.integers(40, 66) if event else self.rng.integers(24, 56))
        count = lead + body + tail
        whip, found = None, []
        if event:
            length = int(self.rng.choice(self.parameters["whip"])) if event == "pan" else 0
            lights = self.parameters["flash"][self.rng.integers(len(self.parameters["flash"]))] if event == "flash" else []
            busy = length or len(lights)
            first = int(self.rng.integers(lead + GUARD, count - tail - GUARD - busy))
            found.append((event, first - 1, first + busy))
            whip = (first, length, self.rng.uniform(0.9, 1.8)) if event == "pan" else None
        show, own, unit = self.clip(count, lead, tail, found, whip) if self.domain == "real" else (*self.made(count, whip), None)
        if self.domain == "synthetic":
            unit, own = own, []
        frames = [show(n) for n in range(count)]
        if event == "flash":
            self.light(frames, first, lights)
        return self.grained(frames), own, found, unit

    def clip(self, count, lead, tail, found, whip):
        """A piece of a real clip with room around its own cuts; of another shot than the take before it."""
        clips = self.stock.clips
        while True:
            name, frames, own, busy = clips[0] if self.rng.random() < 0.8 else clips[self.rng.integers(len(clips))]
            if len(frames) <= count:
                continue
            first = int(self.rng.integers(0, len(frames) - count))
            if any(a < first + count and b > first for a, b in busy):
                continue
            inside = [at - first for at in own if first - 1 <= at <= first + count]
            roomy = all(lead + GUARD <= at <= count - tail - GUARD for at in inside)
            apart = all(at + GUARD <= a or at >= b + GUARD for at in inside for _, a, b in found)
            shown = (name, numpy.searchsorted(own, first, "right"))
            if roomy and apart and shown != self.last_shown and len(inside) <= 1:
                self.last_shown = (name, numpy.searchsorted(own, first + count - 1, "right"))
                return clip_take(self.rng, frames, first, count, whip), inside, f"{name}:{shown[1]}"

    def made(self, count, whip):
        """A photograph, or at times a computed picture, other than that of the take before it."""
        names = list(self.stock.photos) if whip or self.rng.random() < 0.75 else list(COMPUTED)
        while (name := names[self.rng.integers(len(names))]) == self.last_shown:
            pass
        self.last_shown = name
        if name in COMPUTED:
            return COMPUTED[name](self.rng, count), name
        others = [photo for other, photo in self.stock.photos.items() if other != name]
        return photo_take(self.rng, self.stock.photos[name], others[self.rng.integers(len(others))], count, whip), name

    def light(self, frames, first, lights):
        """A flash: towards white, or as a lamp that lights what is near."""
        lamp = self.rng.random() < 0.5
        for n, light in enumerate(lights):
            frame = frames[first + n]
            frames[first + n] = (cv2.convertScaleAbs(frame, alpha=1 + 1.8 * light, beta=12 * light) if lamp
                                 else mix(frame, numpy.full_like(frame, 255), light))

    def grained(self, frames):
        strength = float(self.rng.choice(self.parameters["grain"]))
        if not strength:
            return frames
        kept = []
        for frame in frames:
            grain = numpy.roll(self.grains[self.rng.integers(len(self.grains))], tuple(self.rng.integers(0, 99, 2)), (0, 1))
            kept.append(numpy.clip(frame + grain * strength, 0, 255).astype(numpy.uint8))
        return kept


def mix(old, new, share):
    return cv2.addWeighted(old, 1 - share, new, share, 0)


def write(path, ffmpeg, frames, changes, events, about):
    scratch = path.with_suffix(".part.mkv")
    encode = [ffmpeg, "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", RATE,
              "-i", "-", "-c:v", "libx264", "-preset", "superfast", "-qp", "0", "-threads", "2", "-pix_fmt", "yuv420p", "-bitexact",
              "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
              "-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+bitexact", scratch]
    with subprocess.Popen([str(word) for word in encode], stdin=subprocess.PIPE) as child:
        for frame in frames:
            child.stdin.write(numpy.ascontiguousarray(frame).tobytes())
    if child.returncode:
        sys.exit(f"failed to write {path.name}: ffmpeg ended with {child.returncode}")
    scratch.replace(path.with_suffix(".mkv"))
    changes.sort(key=lambda change: change["to"])
    # Last: it says that the reel is whole.
    truth = about | {"rate": RATE, "frames": len(frames), "changes": changes, "events": events}
    path.with_suffix(".json").write_text(json.dumps(truth, indent=1) + "\n")
    print(f"{path.name}: {len(frames)} frames, {len(changes)} changes, {len(events)} events", flush=True)


if __name__ == "__main__":
    main()
