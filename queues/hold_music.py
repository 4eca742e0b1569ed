"""The hold music: a soft sequence of chords, computed here, so it is nobody else's.

`python -m queues.hold_music` writes the file that the project ships.
"""

import math
import struct
import wave
from pathlib import Path

PATH = Path(__file__).resolve().parent.parent / "static" / "audio" / "hold.wav"
RATE = 8000  # a telephone's
CHORD_SECONDS = 3.5
CHORDS = [(220.0, 261.63, 329.63), (174.61, 220.0, 261.63), (196.0, 246.94, 293.66),
          (164.81, 196.0, 246.94)]  # fmt: skip
MELODY = [440.0, 523.25, 493.88, 392.0, 440.0, 349.23, 392.0, 329.63]


def write(path: Path = PATH) -> None:
    """Write 14 s of music, 8 kHz mono, that can be looped without a click."""
    total = int(RATE * CHORD_SECONDS * len(CHORDS))
    samples = [_sample(n / RATE, total / RATE) for n in range(total)]
    loudest = max(abs(value) for value in samples)
    frames = b"".join(struct.pack("<h", int(value / loudest * 14000)) for value in samples)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(frames)


def _sample(t: float, length: float) -> float:
    """Return the loudness at `t` seconds; the end runs into the beginning without a click."""
    value = 0.0
    for index, chord in enumerate(CHORDS):
        for shift in (-length, 0.0, length):  # a chord fades across the loop's seam
            within = (t - index * CHORD_SECONDS - shift) / CHORD_SECONDS
            if -0.25 <= within <= 1.25:
                fade = math.sin(math.pi * (within + 0.25) / 1.5) ** 2
                value += 0.2 * fade * sum(math.sin(2 * math.pi * f * t) for f in chord)
    step = length / len(MELODY)
    index = int(t / step)
    within = t - index * step
    bell = math.exp(-2.2 * within) * min(1.0, within / 0.02)
    return value + 0.35 * bell * math.sin(2 * math.pi * MELODY[index] * t)


if __name__ == "__main__":
    write()
