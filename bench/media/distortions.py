#!/usr/bin/env python3
"""Makes pictures with a fault of known severity: photographs and frames of films, sound and spoilt, from a seed.

usage: distortions.py SOURCES FFMPEG SPLIT [FAULTS]   (SOURCES as scripts/fetch-artefacts filled it from sources.lock.json;
FAULTS is how many faults each spoilt picture has, 1 or 2)
Writes the pictures to standard output, one PPM (P6) after the other. Before each stands what is true of it, as a comment of its
header: a line of JSON with `content`, `seed`, `kinds` and `severities`. Wants the packages of peers/shots.txt.

Splits: `tune` to choose thresholds by; `score` to be measured with. They share no photograph, clip, shot or seed. A severity goes
from 0 (sound) to 1 (of no use); what it means for each kind is written down in KINDS, in even steps of what is seen as far as one
can tell: in the logarithm of a size or a level, and in stops. It is nobody's opinion.
"""

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy

WIDE, HIGH = 1280, 720
# Sources are made smaller by half, because few are sharp in every pixel, and what is called sound has to be; but not below this.
LEAST_WIDE = 640
SEEDS = {"tune": (1, 2, 3), "score": (101, 102)}
# Frames of each clip at most, one a shot, spread over it.
SHOTS = {"tune": 99, "score": 24}
# Each kind is shown this often for each content and seed, at severities of its own, each in another part of the range.
TIMES = 2
LEAST = 0.05
WHITE = (0.02, 0.7)
# Stated once, before anything was measured with them.
KINDS = {
    "blur": "Gaussian, standard deviation 0.6 to 7.2 pixels",
    "noise": "Gaussian, each colour by itself, standard deviation 2 to 40 levels",
    "jpeg": "JPEG of quality 75 to 3, its blocks anywhere",
    "under": "0.5 to 4 stops too little light",
    "over": "light until 2 to 70 in a hundred pixels are white: what stops do to a picture depends on how bright it was",
    "contrast": "0.85 to 0.15 of the contrast, about the mean",
    "downscale": "made smaller 1.5 to 16 times and brought back: about as much detail is lost as by a blur of the same severity",
    "banding": "48 to 4 levels of each colour",
}


def between(first, last, share):
    return first * (last / first) ** share


def spoil(rng, picture, kind, severity):
    """The picture, in fractions of levels, with one fault of one severity."""
    high, wide = picture.shape[:2]
    if kind == "blur":
        return cv2.GaussianBlur(picture, (0, 0), between(0.6, 7.2, severity), borderType=cv2.BORDER_REFLECT_101)
    if kind == "noise":
        return clipped(picture + rng.normal(0, between(2, 40, severity), picture.shape))
    if kind == "jpeg":
        quality = round(between(75, 3, severity))
        down, right = (int(n) for n in rng.integers(0, 8, 2))
        larger = cv2.copyMakeBorder(clipped(picture).round().astype(numpy.uint8), down, 0, right, 0, cv2.BORDER_REFLECT_101)
        file = cv2.imencode(".jpg", larger, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(file, cv2.IMREAD_COLOR)[down:, right:].astype(numpy.float32)
    if kind == "under":
        return encoded(linear(picture) * 2.0 ** -(0.5 + 3.5 * severity))
    if kind == "over":
        return encoded(linear(picture) * 2.0 ** stops(picture, severity))
    if kind == "contrast":
        mean = picture.mean()
        return clipped(mean + (picture - mean) * between(0.85, 0.15, severity))
    if kind == "downscale":
        factor = between(1.5, 16, severity)
        small = cv2.resize(picture, (max(2, round(wide / factor)), max(2, round(high / factor))), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (wide, high), interpolation=cv2.INTER_CUBIC)
    levels = between(48, 4, severity) - 1
    return clipped(numpy.round(picture / 255.0 * levels) / levels * 255)


def stops(picture, severity):
    """How much more light makes so much of the picture white, in stops; at least a fifth of one."""
    least = linear(picture.min(axis=2))
    level = numpy.quantile(least, 1 - between(*WHITE, severity))
    return max(0.2, float(-numpy.log2(max(level, 1e-4))))


def whitened(picture):
    """The severity of too much light that a picture shows."""
    share = (picture.min(axis=2) >= 254.5).mean()
    return float(numpy.log(share / WHITE[0]) / numpy.log(WHITE[1] / WHITE[0]))


def clipped(picture):
    return numpy.clip(picture, 0, 255).astype(numpy.float32)


def linear(picture):
    """sRGB to light."""
    share = picture / 255
    return numpy.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = numpy.clip(light, 0, 1)
    return clipped(255 * numpy.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055))


def photograph(path, rng):
    """A part of a photograph in the shape of a picture: three fifths to all of what fits, and turned round at times."""
    photo = cv2.imread(str(path))
    high, wide = photo.shape[:2]
    most = min(wide, high * WIDE // HIGH)
    # Never enlarged.
    width = max(min(WIDE, most), round(most * rng.uniform(0.6, 1.0)))
    height = width * HIGH // WIDE
    x, y = int(rng.integers(0, wide - width + 1)), int(rng.integers(0, high - height + 1))
    part = photo[y:y + height, x:x + width].astype(numpy.float32)
    wide = min(WIDE, max(LEAST_WIDE, width // 2))
    size = (wide, wide * HIGH // WIDE)
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA)[:, :: 1 if rng.random() < 0.5 else -1]


def frames(ffmpeg, sources, clip, span, wanted, folder):
    """[(name of the shot, its middle frame)] of a clip, of shots spread over the span."""
    slow = [tuple(span) for kind in ("fades", "dissolves") for span in clip[kind]]
    ends = sorted({span[0], span[1], *(at for at in clip["cuts"] if span[0] < at < span[1])})
    middles = [(a + b) // 2 for a, b in itertools.pairwise(ends) if b - a >= 12]
    middles = [at for at in middles if not any(a - 6 <= at <= b + 6 for a, b in slow)]
    chosen = middles if len(middles) <= wanted else [middles[n * len(middles) // wanted] for n in range(wanted)]
    out = Path(folder) / Path(clip["file"]).stem
    out.mkdir()
    pick = "+".join(f"eq(n,{at})" for at in chosen)
    subprocess.run([ffmpeg, "-v", "error", "-nostdin", "-i", sources / clip["file"], "-vf",
                    f"select='{pick}'", "-fps_mode", "passthrough", out / "%d.png"], check=True)
    pictures = [halved(cv2.imread(str(out / f"{n + 1}.png"))) for n in range(len(chosen))]
    return [(f"{Path(clip['file']).stem}:{at}", picture) for at, picture in zip(chosen, pictures)]


def halved(picture):
    high, wide = picture.shape[:2]
    return cv2.resize(picture.astype(numpy.float32), (wide // 2, high // 2), interpolation=cv2.INTER_AREA)


def contents(sources, ffmpeg, split, seed, truth, films):
    """(name, sound picture) of each content; photographs are cropped from the seed."""
    for nth, name in enumerate(truth["photos"][split] + truth["stills"][split]):
        yield name, photograph(sources / f"photos/{name}.jpg", numpy.random.default_rng([seed, nth, 1]))
    yield from films


def spoilt(seed, nth, picture, faults):
    """(kinds, severities, picture): the sound one, then each kind, in each part of the range."""
    yield [], [], picture
    rng = numpy.random.default_rng([seed, nth, faults])
    for kind, part in itertools.product(KINDS, range(TIMES)):
        severity = LEAST + (1 - LEAST) * (part + rng.random()) / TIMES
        kinds, severities = [kind], [severity]
        if faults > 1:
            # In the order in which they come about: light, then the lens, then the sensor, then coding.
            order = ["under", "over", "contrast", "blur", "downscale", "noise", "banding", "jpeg"]
            other = str(rng.choice([k for k in KINDS if k != kind]))
            pairs = sorted([(kind, severity), (other, LEAST + (1 - LEAST) * rng.random())], key=lambda p: order.index(p[0]))
            kinds, severities = [k for k, _ in pairs], [s for _, s in pairs]
        done = picture
        for one, much in zip(kinds, severities):
            done = spoil(rng, done, one, much)
        if kinds == ["over"]:
            # A picture with much white has more of it than was asked for.
            severities = [max(severity, whitened(done))]
        yield kinds, severities, done


def main():
    sources, ffmpeg = (Path(argument).resolve() for argument in sys.argv[1:3])
    split, faults = sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 1
    truth = json.loads((Path(__file__).parent / "clips.json").read_text())
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        films = [shot for name, clip in truth["clips"].items() if split in clip
                 for shot in frames(ffmpeg, sources, clip, clip[split], SHOTS[split], folder)]
    for seed in SEEDS[split]:
        for nth, (name, picture) in enumerate(contents(sources, ffmpeg, split, seed, truth, films)):
            for kinds, severities, shown in spoilt(seed, nth, picture, faults):
                about = {"content": name, "seed": seed, "kinds": kinds, "severities": [round(s, 4) for s in severities]}
                high, wide = shown.shape[:2]
                header = f"P6\n# {json.dumps(about)}\n{wide} {high}\n255\n".encode()
                sys.stdout.buffer.write(header + clipped(shown[:, :, ::-1]).round().astype(numpy.uint8).tobytes())


if __name__ == "__main__":
    main()
