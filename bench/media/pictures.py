"""What the takes of a reel show: real clips, photographs and computed pictures, through a camera that moves. Reads the fetched
sources through ffmpeg; everything else follows from the random generator that is handed in.

A take is a function from a frame's number to a picture, HEIGHT x WIDTH x 3 bytes, RGB.
"""

import subprocess

import cv2
import numpy

WIDTH, HEIGHT = 320, 180
CLIP_WIDTH, CLIP_HEIGHT = 480, 270
BLUR_STEPS = 6  # pictures that make up one blurred by the camera's turning


class Camera:
    """Looks at a part of a larger picture: pans, zooms, shakes, and may whip round once. Centres and widths are shares."""

    def __init__(self, rng, frames, narrow, wide, whip=None):
        self.frames, self.whip = frames, whip
        if whip:  # (first frame, frames, distance in screens)
            first, length, screens = whip
            self.width = (narrow, narrow)
            half, room = narrow / 2, min(screens * narrow, 0.98 - narrow)
            ends = (half + 0.01, half + 0.01 + room)
            self.sides = ends if rng.random() < 0.5 else ends[::-1]
            drift = rng.uniform(-0.0004, 0.0004)
            self.centre = lambda at: (self.sides[0] + (self.sides[1] - self.sides[0]) * ease((at - first) / length) + drift * at,
                                      0.5)
        else:
            self.width = tuple(rng.uniform(narrow, wide, 2)) if rng.random() < 0.5 else (rng.uniform(narrow, wide),) * 2
            most = max(self.width) / 2
            points = rng.uniform(most, 1 - most, (2, 2)) if most < 0.5 else numpy.full((2, 2), 0.5)
            # Never more than two screens in a hundred frames: what is faster is a whip.
            reach = min(1.0, 2.0 * frames / 100 * min(self.width) / max(1e-6, abs(points[1] - points[0]).max()))
            self.centre = lambda at: points[0] + (points[1] - points[0]) * reach * at / frames
        self.shake = numpy.cumsum(rng.normal(0, rng.choice([0.0, 0.0006, 0.0015]), (frames + 1, 2)), axis=0)
        self.shake -= numpy.linspace(0, 1, frames + 1)[:, None] * self.shake[-1]

    def see(self, picture, at):
        """What it shows of `picture` at frame `at`."""
        whipping = self.whip and self.whip[0] <= at < self.whip[0] + self.whip[1]
        steps = [at + n / BLUR_STEPS for n in range(BLUR_STEPS)] if whipping else [at]
        seen = [self.still(picture, step) for step in steps]
        return seen[0] if len(seen) == 1 else numpy.mean(seen, axis=0).astype(numpy.uint8)

    def still(self, picture, at):
        high, wide = picture.shape[:2]
        share = self.width[0] + (self.width[1] - self.width[0]) * at / self.frames
        centre = numpy.asarray(self.centre(at)) + self.shake[min(int(at), self.frames)]
        scale = share * wide / WIDTH
        x, y = centre[0] * wide - scale * WIDTH / 2, centre[1] * high - scale * HEIGHT / 2
        matrix = numpy.float32([[scale, 0, x], [0, scale, y]])
        return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                              borderMode=cv2.BORDER_REFLECT_101)


def ease(share):
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


def clip_frames(ffmpeg, path, rate, span, folder):
    """The frames [first, last) of a clip, on disk: nothing is seeked, so that a frame's number is its number."""
    out = folder / f"{path.stem}-{span[0]}-{span[1]}.rgb"
    choose = f"select='between(n,{span[0]},{span[1] - 1})',scale={CLIP_WIDTH}:{CLIP_HEIGHT}:flags=area+accurate_rnd+bitexact"
    subprocess.run([ffmpeg, "-v", "error", "-nostdin", "-y", "-i", path, "-vf", choose, "-fps_mode", "passthrough", "-pix_fmt",
                    "rgb24", "-f", "rawvideo", out], check=True)
    frames = numpy.memmap(out, numpy.uint8, "r").reshape(-1, CLIP_HEIGHT, CLIP_WIDTH, 3)
    assert len(frames) == span[1] - span[0], f"{path.name} has other frames than was checked by eye"
    return frames


def clip_take(rng, frames, first, count, whip):
    """`count` frames of a clip from `first` on."""
    camera = Camera(rng, count, 0.45 if whip else 0.7, 1.0, whip)
    flip = rng.random() < 0.5
    return lambda at: camera.see(frames[first + at][:, ::-1] if flip else frames[first + at], at)


def photo_take(rng, photo, other, count, whip):
    """A camera over a photograph, at times with something that moves across it; the thing is cut out of `other`."""
    camera = Camera(rng, count, 0.32 if whip else 0.35, 0.75, whip)
    gain, swing = rng.uniform(0.75, 1.1), rng.choice([0.0, 0.0, 0.15])
    # Scaled so that the camera neither enlarges nor shrinks much.
    wide = int(WIDTH * 1.15 / min(camera.width))
    picture = cv2.resize(photo, (wide, max(wide * 9 // 16, wide * photo.shape[0] // photo.shape[1])), interpolation=cv2.INTER_AREA)
    thing = Thing(rng, other) if rng.random() < 0.35 else None

    def show(at):
        frame = camera.see(picture, at)
        if thing:
            frame = thing.over(frame, at / count)
        light = gain * (1 + swing * numpy.sin(at * 0.09))
        return cv2.convertScaleAbs(frame, alpha=light)
    return show


class Thing:
    """An oval part of a picture that crosses the frame."""

    def __init__(self, rng, picture):
        self.size = int(rng.uniform(40, 90))
        top, left = (int(rng.uniform(0, side - self.size * 2)) for side in picture.shape[:2])
        self.look = cv2.resize(picture[top:top + self.size * 2, left:left + self.size * 2], (self.size, self.size),
                               interpolation=cv2.INTER_AREA)
        self.mask = numpy.zeros((self.size, self.size, 1), numpy.uint8)
        cv2.ellipse(self.mask, (self.size // 2,) * 2, (self.size // 2 - 2, self.size // 3), rng.uniform(0, 180), 0, 360, 1, -1)
        self.ends = rng.uniform((-0.1, 0.1), (1.1, 0.8), (2, 2))

    def over(self, frame, share):
        x, y = self.ends[0] + (self.ends[1] - self.ends[0]) * share
        left, top = int(x * WIDTH) - self.size // 2, int(y * HEIGHT) - self.size // 2
        a, b, c, d = max(0, left), max(0, top), min(WIDTH, left + self.size), min(HEIGHT, top + self.size)
        if a < c and b < d:
            frame = frame.copy()
            look, mask = (part[b - top:d - top, a - left:c - left] for part in (self.look, self.mask))
            frame[b:d, a:c] = frame[b:d, a:c] * (1 - mask) + look * mask
        return frame


def turning_slope(rng, _count):
    """Colours that turn round, as a title's background does."""
    colours = rng.integers(0, 256, (rng.integers(2, 5), 3)).astype(numpy.float32)
    speed, steep, phase = rng.uniform(0.005, 0.05), rng.uniform(0.7, 2.0), rng.uniform(0, 6.28)
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(numpy.float32)
    x, y = (x - WIDTH / 2) / WIDTH, (y - HEIGHT / 2) / WIDTH

    def show(at):
        turn = phase + speed * at
        along = numpy.clip(0.5 + steep * (x * numpy.cos(turn) + y * numpy.sin(turn)), 0, 0.9999) * (len(colours) - 1)
        low = along.astype(int)
        part = (along - low)[..., None]
        return (colours[low] * (1 - part) + colours[low + 1] * part).astype(numpy.uint8)
    return show


def drifting_clouds(rng, _count):
    """Soft shapes that drift and change."""
    layers = [cv2.resize(rng.random((cells, cells * 2)).astype(numpy.float32), (WIDTH * 2, HEIGHT * 2),
                         interpolation=cv2.INTER_CUBIC) for cells in (4, 9, 20)]
    moves = rng.uniform(-1.2, 1.2, (3, 2))
    dark, light = rng.integers(0, 120, 3), rng.integers(130, 256, 3)

    def show(at):
        value = sum(weight * numpy.roll(layer, (move * at).astype(int), (1, 0))[:HEIGHT, :WIDTH]
                    for weight, layer, move in zip((0.5, 0.3, 0.2), layers, moves))
        value = numpy.clip(value, 0, 1)[..., None]
        return (dark * (1 - value) + light * value).astype(numpy.uint8)
    return show


def cartoon(rng, count):
    """Flat shapes that move over a flat ground."""
    ground = tuple(int(v) for v in rng.integers(0, 256, 3))
    shapes = [(rng.uniform(0, 1, (2, 2)), int(rng.uniform(12, 60)), tuple(int(v) for v in rng.integers(0, 256, 3)),
               int(rng.integers(3, 7)), rng.uniform(-0.06, 0.06)) for _ in range(rng.integers(4, 9))]

    def show(at):
        frame = numpy.full((HEIGHT, WIDTH, 3), ground, numpy.uint8)
        for ends, size, colour, corners, turn in shapes:
            x, y = ends[0] + (ends[1] - ends[0]) * at / count
            angles = turn * at + numpy.arange(corners) * 2 * numpy.pi / corners
            points = numpy.stack([x * WIDTH + size * numpy.cos(angles), y * HEIGHT + size * numpy.sin(angles)], 1)
            cv2.fillPoly(frame, [points.astype(numpy.int32)], colour, cv2.LINE_AA)
        return frame
    return show


def credits(rng, count):
    """Lines that roll upwards."""
    speed = int(rng.integers(1, 3))
    tall = HEIGHT * 2 + speed * count
    ground = tuple(int(v) for v in rng.integers(0, 60, 3))
    ink = tuple(int(v) for v in rng.integers(170, 256, 3))
    page = numpy.full((tall, WIDTH, 3), ground, numpy.uint8)
    for line in range(16, tall, int(rng.integers(14, 30))):
        text = "".join(chr(c) for c in rng.integers(97, 123, rng.integers(5, 26)))
        cv2.putText(page, text, (int(rng.integers(10, 120)), line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
    return lambda at: page[at * speed:at * speed + HEIGHT]


COMPUTED = {"slope": turning_slope, "clouds": drifting_clouds, "cartoon": cartoon, "credits": credits}
