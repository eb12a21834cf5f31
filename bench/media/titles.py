#!/usr/bin/env python3
"""Makes long titles with planted scenes: shots that go to and fro between a scene's settings, over the sound of that scene.

usage: titles.py SOURCES FFMPEG OUT SPLIT   (as reels.py, which says what the splits are)
Writes OUT/<split>-title-<minutes>-<seed>.mkv and a .json of the same name: where each scene starts, in seconds.

What makes it hard: a scene may share its photographs with the one before and be told from it by its sound alone, or its sound
and be told by its pictures alone; settings come back in later scenes; lights differ from scene to scene; a shot that belongs
nowhere may open a scene; rests (black, silence) are at a part of the joins only, and within scenes, too.
"""

import json
import subprocess
import sys
import wave
from pathlib import Path

import cv2
import numpy

from pictures import COMPUTED, HEIGHT, WIDTH, photo_take

RATE = 12
SOUND_RATE = 16000
# Minutes, and seeds.
TITLES = {"tune": [(12, range(1, 7)), (45, range(7, 11)), (120, range(11, 13))],
          "score": [(12, range(101, 113)), (45, range(113, 119)), (120, range(119, 122))]}
SAME_PICTURES, SAME_SOUND, REST, STRAY = 0.2, 0.2, 0.5, 0.15  # shares of the joins


def main():
    sources, ffmpeg, out = (Path(argument).resolve() for argument in sys.argv[1:4])
    split = sys.argv[4]
    truth = json.loads((Path(__file__).parent / "clips.json").read_text())
    out.mkdir(parents=True, exist_ok=True)
    photos = [small(cv2.imread(str(sources / f"photos/{name}.jpg"))) for name in truth["photos"][split]]
    for minutes, seeds in TITLES[split]:
        for seed in seeds:
            path = out / f"{split}-title-{minutes}-{seed}"
            if not path.with_suffix(".json").exists():
                Title(photos, minutes, numpy.random.default_rng([seed, minutes])).write(path, ffmpeg)


def small(photo):
    size = (1100, photo.shape[0] * 1100 // photo.shape[1])
    return cv2.resize(photo[:, :, ::-1], size, interpolation=cv2.INTER_AREA)


class Title:
    def __init__(self, photos, minutes, rng):
        self.photos, self.rng, self.seconds = photos, rng, minutes * 60
        self.settings = []
        # As many scenes as a title of this length is to have chapters.
        fewest, most = max(2, minutes // 8), max(2, min(-(-minutes // 6), 20))
        count = int(rng.integers(fewest, most + 1)) if minutes >= 40 else int(rng.integers(2, 5))
        least = 1.15 * min(150, max(10, self.seconds / 16))
        self.lengths = least + rng.dirichlet(numpy.full(count, 1.5)) * (self.seconds - count * least)
        self.scenes = []
        for nth in range(count):
            last = self.scenes[-1] if self.scenes else None
            kind = rng.random() if last else 1
            pictures = last["pictures"] if kind < SAME_PICTURES else self.cast()
            same = SAME_PICTURES <= kind < SAME_PICTURES + SAME_SOUND
            sound = last["sound"] if same else self.bed(last and last["sound"])
            self.scenes.append({"pictures": pictures, "sound": sound, "rest": bool(last and rng.random() < REST),
                                "stray": bool(last and rng.random() < STRAY),
                                "told_by": "sound" if kind < SAME_PICTURES else "pictures" if same else "both"})

    def cast(self):
        """Two to four settings, each a photograph; at times one that was there before."""
        new = [int(self.rng.integers(len(self.photos))) for _ in range(int(self.rng.integers(2, 5)))]
        if len(self.settings) > 6 and self.rng.random() < 0.25:
            new[0] = self.settings[self.rng.integers(len(self.settings))]
        self.settings += new
        return new

    def bed(self, other):
        """How a scene sounds: noise of a colour, a hum, and how often something is struck."""
        while True:
            bed = {"slope": float(self.rng.choice([-2, -1, -0.5, 0, 0.5])), "loud": float(self.rng.uniform(0.02, 0.12)),
                   "hum": float(self.rng.choice([0, 60, 180, 420, 900])), "events": float(self.rng.uniform(0.1, 0.9)),
                   "pitch": float(self.rng.uniform(150, 900))}
            if not other or (bed["slope"] != other["slope"] and bed["hum"] != other["hum"]):
                return bed

    def write(self, path, ffmpeg):
        sound_path, part = path.with_suffix(".wav"), path.with_suffix(".part.mkv")
        starts, at = [], 0
        encode = [ffmpeg, "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", RATE,
                  "-i", "-", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "48", "-threads", "1", "-pix_fmt", "yuv420p",
                  part]
        with subprocess.Popen([str(word) for word in encode], stdin=subprocess.PIPE) as child, \
                wave.open(str(sound_path), "wb") as sound:
            sound.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
            for scene, length in zip(self.scenes, self.lengths):
                frames = round(length * RATE)
                starts.append(at / RATE)
                for frame in self.shown(scene, frames):
                    child.stdin.write(frame.tobytes())
                sound.writeframes(self.heard(scene, frames).tobytes())
                at += frames
        if child.returncode:
            sys.exit(f"failed to write {path.name}: ffmpeg ended with {child.returncode}")
        join = [ffmpeg, "-v", "error", "-nostdin", "-y", "-i", part, "-i", sound_path, "-c:v", "copy", "-c:a", "flac",
                path.with_suffix(".mkv")]
        subprocess.run([str(word) for word in join], check=True)
        part.unlink()
        sound_path.unlink()
        joins = [{key: scene[key] for key in ("rest", "stray", "told_by")} for scene in self.scenes]
        # Last: it says that the title is whole.
        path.with_suffix(".json").write_text(json.dumps({"seconds": at / RATE, "starts": starts, "joins": joins}, indent=1) + "\n")
        print(f"{path.name}: {len(starts)} scenes in {at / RATE / 60:.0f} min", flush=True)

    def shown(self, scene, frames):
        left, last, first = frames, None, True
        light = self.rng.uniform(0.85, 1.1)
        while left > 0:
            count = min(left, int(self.rng.uniform(1.5, 9) * RATE))
            if left - count < RATE:
                count = left
            choices = [n for n in range(len(scene["pictures"])) if n != last] or [0]
            last = int(self.rng.choice(choices))
            if first and scene["stray"]:
                # A sign, a sky: it belongs to the scene that it opens.
                show = COMPUTED[list(COMPUTED)[self.rng.integers(len(COMPUTED))]](self.rng, count)
            else:
                photo, other = self.photos[scene["pictures"][last]], self.photos[self.rng.integers(len(self.photos))]
                show = photo_take(self.rng, photo, other, count, None)
            fade = RATE // 2 if first and scene["rest"] and self.rng.random() < 0.6 else 0
            for n in range(count):
                yield cv2.convertScaleAbs(numpy.ascontiguousarray(show(n)), alpha=light * min(1.0, n / fade) if fade else light)
            left, first = left - count, False

    def heard(self, scene, frames):
        count = frames * SOUND_RATE // RATE
        bed, rng = scene["sound"], self.rng
        seconds = -(-count // SOUND_RATE)
        out = numpy.empty(seconds * SOUND_RATE, numpy.float32)
        shape = numpy.maximum(numpy.fft.rfftfreq(SOUND_RATE, 1 / SOUND_RATE), 20) ** (bed["slope"] / 2)
        time = numpy.arange(SOUND_RATE) / SOUND_RATE
        for second in range(seconds):
            noise = numpy.fft.irfft(numpy.fft.rfft(rng.normal(0, 1, SOUND_RATE)) * shape)
            piece = noise / noise.std() * bed["loud"]
            if bed["hum"]:
                piece = piece + bed["loud"] * numpy.sin(2 * numpy.pi * bed["hum"] * time)
            if rng.random() < bed["events"]:
                begin = int(rng.integers(0, SOUND_RATE // 2))
                after = time[:SOUND_RATE - begin]
                ring = numpy.exp(-after * rng.uniform(3, 12)) * rng.uniform(0.05, 0.4)
                piece[begin:] += ring * numpy.sin(2 * numpy.pi * bed["pitch"] * rng.uniform(0.8, 1.25) * after)
            out[second * SOUND_RATE:(second + 1) * SOUND_RATE] = piece
        out = out[:count]
        # Rests within scenes tell nothing; those at their starts do.
        for begin in rng.integers(0, max(1, seconds - 2), max(1, seconds // 120)):
            out[begin * SOUND_RATE:(begin + 1) * SOUND_RATE] *= 0.03
        if scene["rest"]:
            out[:int(rng.uniform(0.4, 1.2) * SOUND_RATE)] *= 0.02
        return (numpy.clip(out, -1, 1) * 32767).astype("<i2")


if __name__ == "__main__":
    main()
