"""What is done to a title to make a copy of it: filters for FFmpeg, with parameters from the random generator that is handed in.
I/O: runs ffmpeg through the maker that it is given, and to ask how long a file is.
"""

import subprocess

from pictures import HEIGHT, WIDTH

SOUND_RATE = 22050
KINDS = ["exact", "scale", "crf", "crop", "letterbox", "flip", "logo", "subtitles", "colour", "speed", "trim", "intro", "dub", "mono",
         "chain", "audio_only", "trailer", "shared"]
# What may follow one another in a chain.
LINKS = ["scale", "crf", "crop", "letterbox", "flip", "logo", "subtitles", "colour", "speed", "dub", "mono", "intro"]


class Recipe:
    """Filters for picture (from [0:v]) and sound (from [0:a]); [1] is another title."""

    def __init__(self, rng, file, other, length):
        self.rng, self.file, self.other, self.length = rng, file, other, length
        self.video, self.audio, self.sound_from, self.picture_from = [], [], 0, 0
        self.quality, self.bitrate, self.tempo, self.drawn, self.plain, self.before, self.cuts = 24, "128k", 1.0, {}, False, None, None

    def exact(self):
        self.plain = True

    def scale(self):
        wide = int(self.rng.uniform(0.4, 1.8) * WIDTH) // 2 * 2
        self.drawn["width"] = wide
        self.video.append(f"scale={wide}:-2")

    def crf(self):
        self.quality = self.drawn["crf"] = int(self.rng.integers(32, 42))

    def crop(self):
        left, top, right, bottom = self.drawn["cut"] = [round(float(v), 3) for v in self.rng.uniform(0.03, 0.12, 4)]
        self.video.append(f"crop=iw*{1 - left - right:.3f}:ih*{1 - top - bottom:.3f}:iw*{left}:ih*{top},scale={WIDTH}:{HEIGHT}")

    def letterbox(self):
        share = self.drawn["bar"] = round(float(self.rng.uniform(0.06, 0.16)), 3)
        axis = self.drawn["bars"] = str(self.rng.choice(["rows", "columns"]))
        pad = f"pad=iw:ih*{1 + 2 * share}:0:ih*{share}" if axis == "rows" else f"pad=iw*{1 + 2 * share}:ih:iw*{share}:0"
        self.video.append(f"{pad},scale={WIDTH}:{HEIGHT}")

    def flip(self):
        self.video.append("hflip")

    def logo(self):
        side = self.drawn["logo"] = round(float(self.rng.uniform(0.08, 0.16)), 3)
        x, y = ("iw*0.03", f"iw*{0.97 - side}")[self.rng.integers(2)], ("ih*0.04", f"ih*{0.96 - side}")[self.rng.integers(2)]
        colour = str(self.rng.choice(["white", "red", "yellow"]))
        self.video.append(f"drawbox={x}:{y}:iw*{side}:ih*{side}:{colour}@{self.rng.uniform(0.6, 1):.2f}:fill")

    def subtitles(self):
        # Two lines of letters' density: blocks of white with gaps, three seconds of four.
        lines = int(self.rng.integers(1, 3))
        boxes = []
        for line in range(lines):
            at, end = 0.2 + self.rng.uniform(0, 0.1), 0.7 + self.rng.uniform(0, 0.1)
            while at < end:
                wide = self.rng.uniform(0.01, 0.05)
                boxes.append(f"drawbox=iw*{at:.3f}:ih*{0.88 - 0.08 * line}:iw*{wide:.3f}:ih*0.05:white:fill:enable='lt(mod(t,4),3)'")
                at += wide + 0.012
        self.video.append(",".join(boxes))

    def colour(self):
        value = {"brightness": self.rng.uniform(-0.1, 0.1), "contrast": self.rng.uniform(0.75, 1.3),
                 "saturation": self.rng.uniform(0, 1.8), "gamma": self.rng.uniform(0.75, 1.3)}
        self.drawn["colour"] = {key: round(float(v), 2) for key, v in value.items()}
        self.video.append("eq=" + ":".join(f"{key}={v:.2f}" for key, v in value.items()) + f",hue=h={self.rng.uniform(-25, 25):.0f}")

    def speed(self):
        # A third of them PAL's, exactly.
        tempo = float(self.rng.choice([25 / 24, 24 / 25])) if self.rng.random() < 0.33 else float(self.rng.uniform(0.95, 1.05))
        self.tempo = self.drawn["speed"] = round(tempo, 4)
        pitch = self.drawn["pitch"] = bool(self.rng.random() < 0.5)
        self.video.append(f"setpts=PTS/{self.tempo},fps=25")
        rate = int(SOUND_RATE * 2 * self.tempo)
        self.audio.append(f"aresample={SOUND_RATE * 2},asetrate={rate},aresample=44100" if pitch else f"atempo={self.tempo}")

    def trim(self):
        length, place = self.length, str(self.rng.choice(["start", "end", "middle"]))
        gone = 0.2 * length
        begin = {"start": 0, "end": length - gone, "middle": float(self.rng.uniform(0.25, 0.55)) * length}[place]
        self.drawn["without"] = [round(begin, 2), round(begin + gone, 2)]
        keep = f"not(between(t,{begin:.3f},{begin + gone:.3f}))"
        self.video.append(f"select='{keep}',setpts=N/FRAME_RATE/TB")
        self.audio.append(f"aselect='{keep}',asetpts=N/SR/TB")

    def intro(self):
        self.before = self.drawn["intro"] = round(float(self.rng.uniform(8, 20)), 2)

    def dub(self):
        self.sound_from = 1

    def mono(self):
        self.audio.append("aformat=channel_layouts=mono")
        self.bitrate = "48k"

    def audio_only(self):
        self.picture_from = 1

    def trailer(self):
        self.sound_from, self.cuts = 1, []
        for _ in range(int(self.rng.integers(6, 10))):
            begin = float(self.rng.uniform(0, self.length - 5))
            self.cuts.append((round(begin, 2), round(begin + float(self.rng.uniform(1.8, 3.5)), 2)))
        self.drawn["pieces"] = self.cuts

    def shared(self):
        self.drawn["shared"] = round(float(self.rng.uniform(15, 22)), 2)

    def write(self, maker, out):
        if self.plain:
            # The same coded stream in another container.
            return maker.run("-i", self.file, "-c", "copy", out)
        same = f"scale={WIDTH}:{HEIGHT},setsar=1,fps=12"
        heard = "aresample=44100,aformat=channel_layouts=stereo"
        video, audio = ",".join(self.video) or "null", ",".join(self.audio) or "anull"
        if self.cuts:
            pieces = "".join(f"[0:v]trim={a}:{b},setpts=PTS-STARTPTS[v{n}];" for n, (a, b) in enumerate(self.cuts))
            graph = pieces + "".join(f"[v{n}]" for n in range(len(self.cuts))) + f"concat=n={len(self.cuts)}[v];[1:a]{audio}[a]"
        elif "shared" in self.drawn:
            span = self.drawn["shared"]
            graph = (f"[0:v]trim=0:{span},{same}[v0];[0:a]atrim=0:{span},{heard}[a0];[1:v]{same}[v1];[1:a]{heard}[a1];"
                     "[v0][a0][v1][a1]concat=n=2:v=1:a=1[v][a]")
        else:
            graph = f"[{self.picture_from}:v]{video}[v];[{self.sound_from}:a]{audio}[a]"
            if self.before:
                graph = (f"[1:v]trim=0:{self.before},{same}[v0];[1:a]atrim=0:{self.before},{heard}[a0];"
                         f"[{self.picture_from}:v]{video},{same}[v1];[{self.sound_from}:a]{audio},{heard}[a1];"
                         "[v0][a0][v1][a1]concat=n=2:v=1:a=1[v][a]")
        return maker.run("-threads", "1", "-i", self.file, "-threads", "1", "-i", self.other, "-filter_complex", graph, "-map", "[v]",
                         "-map", "[a]", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-crf", self.quality, "-pix_fmt", "yuv420p", "-c:a",
                         "aac", "-b:a", self.bitrate, "-shortest", out)


def seconds(ffmpeg, file):
    told = subprocess.run([ffmpeg, "-nostdin", "-i", str(file)], capture_output=True, text=True).stderr
    hours, minutes, rest = told.split("Duration: ")[1].split(",")[0].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)
