"""Speech whose words are known, clean and spoilt, from a seed: what recognition is measured on and its estimate fitted to.

usage: python speech_mixes.py OUT tune|score [COUNT] [SEED]    (in the environment of ../peers/quality.txt)
       python speech_mixes.py OUT music [SECONDS] [SEED]
I/O: reads speech/lines.json, runs espeak-ng and flite; writes OUT/<split>-NNN.wav (16 kHz mono) and OUT/<split>.json, or OUT/music.wav.

A mix is one voice reading sentences (each with slots, so that no model has read them before) with pauses between them, in one
condition. Voices, sentences, words for the slots and seeds of the two splits have nothing in common. The voices are synthetic.
"""

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy
import scipy.signal

RATE = 16_000
LINES = Path(__file__).with_name("speech") / "lines.json"
# Program, voice, and how fast: words a minute for espeak-ng, stretch for flite.
VOICES = {
    "tune": [("flite", "slt", 1.0), ("flite", "kal16", 1.0), ("espeak-ng", "en-us", 150), ("espeak-ng", "en-gb-x-rp+f2", 155),
             ("flite", "slt", 1.2), ("espeak-ng", "en-us+m3", 165)],
    "score": [("flite", "rms", 1.0), ("flite", "awb", 1.0), ("espeak-ng", "en-gb", 150), ("espeak-ng", "en-us+f3", 155),
              ("flite", "rms", 0.9), ("espeak-ng", "en-gb-scotland+m2", 150)],
}
# Condition: how often, and what its strength is drawn from (dB of speech over what is added; seconds of echo; ...).
CONDITIONS = [
    ("clean", 2, None),
    ("noise", 5, (-4, 20)),
    ("music", 4, (-6, 12)),
    ("babble", 3, (-2, 15)),
    ("reverb", 3, (0.2, 1.6)),
    ("telephone", 2, (0, 15)),
    ("clipped", 1, (10, 30)),
]


def say(voice, text):
    """One sentence as samples, silence at both ends cut off."""
    program, name, pace = voice
    with tempfile.NamedTemporaryFile(suffix=".wav") as out:
        command = ([program, "-voice", name, "--setf", f"duration_stretch={pace}", "-t", text, "-o", out.name]
                   if program == "flite" else [program, "-v", name, "-s", str(pace), "-w", out.name, text])
        subprocess.run(command, check=True, capture_output=True)
        with wave.open(out.name) as sound:
            rate = sound.getframerate()
            samples = numpy.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(float) / 32768
    if rate != RATE:
        samples = scipy.signal.resample_poly(samples, RATE, rate)
    loud = numpy.flatnonzero(numpy.abs(samples) > 0.01)
    return samples[loud[0]:loud[-1] + 1] if len(loud) else samples


def sentence(rng, split):
    """A line with its slots filled."""
    text = split["lines"][rng.integers(len(split["lines"]))]
    for slot in ("name", "thing", "place", "adjective", "when"):
        while "{" + slot + "}" in text:
            text = text.replace("{" + slot + "}", str(rng.choice(split[slot])), 1)
    return text


def reading(rng, split, voice, seconds):
    """So much speech: samples, the sentences, and the sample at which each begins."""
    parts, told, clock = [], [], 0
    while clock < seconds * RATE:
        pause = numpy.zeros(int(rng.uniform(0.25, 1.6) * RATE))
        text = sentence(rng, split)
        spoken = say(voice, text)
        told.append({"text": text, "start": clock + len(pause), "end": clock + len(pause) + len(spoken)})
        parts += [pause, spoken]
        clock += len(pause) + len(spoken)
    return numpy.concatenate(parts), told


def music(rng, count):
    """Chords of a scale over a beat, with voices that decay."""
    out = numpy.zeros(count)
    beat, scale = 60 / rng.uniform(70, 140), rng.choice([[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10]])
    root, bright = rng.integers(45, 60), rng.uniform(0.3, 0.7)
    for start in numpy.arange(0, count / RATE - 1, beat):
        for _ in range(rng.integers(2, 5)):
            pitch = 440 * 2 ** ((root + scale[rng.integers(7)] + 12 * rng.integers(0, 3) - 69) / 12)
            begin, length = int(start * RATE), min(count - int(start * RATE), int(rng.uniform(0.4, 2) * RATE))
            time = numpy.arange(length) / RATE
            out[begin:begin + length] += sum(bright ** k * numpy.sin(2 * numpy.pi * pitch * (k + 1) * time)
                                             for k in range(5)) * numpy.exp(-time * rng.uniform(1, 5))
        begin = int(start * RATE)
        drum = rng.normal(0, 1, min(count - begin, RATE // 10))
        out[begin:begin + len(drum)] += drum * numpy.exp(-numpy.arange(len(drum)) / 300) * rng.uniform(0, 2)
    return out


def noise(rng, count):
    """Noise of a colour between white and brown, its loudness wandering."""
    spectrum = numpy.fft.rfft(rng.normal(0, 1, count))
    shape = numpy.maximum(numpy.fft.rfftfreq(count, 1 / RATE), 40) ** -rng.uniform(0, 1)
    wander = numpy.interp(numpy.arange(count), numpy.arange(0, count + RATE, RATE),
                          rng.uniform(0.6, 1.4, len(numpy.arange(0, count + RATE, RATE))))
    return numpy.fft.irfft(spectrum * shape, count) * wander


def over(speech, other, decibel):
    """The two together, the speech (where there is some) so much louder."""
    active = speech[numpy.abs(speech) > 0.005]
    power = numpy.mean(active ** 2)
    return speech + other * numpy.sqrt(power / numpy.mean(other ** 2) / 10 ** (decibel / 10))


def spoil(rng, split, name, strength, speech):
    """The speech in one condition."""
    count = len(speech)
    if name == "noise":
        return over(speech, noise(rng, count), strength)
    if name == "music":
        return over(speech, music(rng, count), strength)
    if name == "babble":
        others = numpy.zeros(count)
        for voice in VOICES[split[0]]:
            other, _ = reading(rng, split[1], voice, 25)
            others += numpy.roll(numpy.resize(other, count), rng.integers(count))
        return over(speech, others, strength)
    if name == "reverb":
        length = int(strength * RATE)
        tail = rng.normal(0, 1, length) * numpy.exp(-6.9 * numpy.arange(length) / length)
        tail[0] = 12
        return scipy.signal.fftconvolve(speech, tail)[:count]
    if name == "telephone":
        band = scipy.signal.butter(4, [300, 3400], "band", fs=RATE, output="sos")
        return over(scipy.signal.sosfilt(band, speech), noise(rng, count), strength)
    if name == "clipped":
        limit = numpy.quantile(numpy.abs(speech[numpy.abs(speech) > 0.005]), 1 - strength / 40)
        return over(numpy.clip(speech, -limit, limit), noise(rng, count), 20)
    return speech


def write(path, samples):
    samples = samples / max(1e-9, numpy.max(numpy.abs(samples))) * 0.7
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes((samples * 32767).astype("<i2").tobytes())


def main():
    out, name, count, seed = Path(sys.argv[1]), sys.argv[2], int((sys.argv[3:] or [40])[0]), int((sys.argv[4:] or [1])[0])
    out.mkdir(parents=True, exist_ok=True)
    if name == "music":
        write(out / "music.wav", music(numpy.random.default_rng(seed), count * RATE))
        return
    split = json.loads(LINES.read_text())[name]
    kinds = [kind for kind in CONDITIONS for _ in range(kind[1])]
    mixes = []
    for nth in range(count):
        rng = numpy.random.default_rng([seed, {"tune": 1, "score": 2}[name], nth])
        voice = VOICES[name][nth % len(VOICES[name])]
        condition, _, reach = kinds[rng.integers(len(kinds))]
        strength = None if reach is None else round(float(rng.uniform(*reach)), 2)
        speech, told = reading(rng, split, voice, float(rng.uniform(70, 110)))
        samples = spoil(rng, (name, split), condition, strength, speech)
        file = f"{name}-{nth:03}.wav"
        write(out / file, samples)
        mixes.append({"file": file, "voice": " ".join(map(str, voice)), "condition": condition, "strength": strength, "told": told})
        print(file, condition, strength, voice, flush=True)
    (out / f"{name}.json").write_text(json.dumps(mixes))


if __name__ == "__main__":
    main()
