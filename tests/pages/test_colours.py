"""Every pair of colours that carries words keeps WCAG AA, in both schemes."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "static/css/app.css").read_text()
TONES = ["free", "ring", "talk", "wrap", "rest", "off", "bad"]
PAIRS = [
    *((f"--{tone}", f"--{tone}-tint") for tone in TONES),
    *((f"--{tone}", "--card") for tone in TONES),
    *(("--on-solid", f"--{tone}-solid") for tone in TONES),
    *((text, ground) for text in ("--ink", "--soft", "--link") for ground in ("--paper", "--card")),
    *(("--soft", f"--{tone}-tint") for tone in ("talk", "wrap", "rest")),
    ("--bad", "--paper"), ("--talk", "--paper"), ("--ring", "--paper"), ("--free", "--paper"),
    ("--ink", "--off-tint"), ("--on-band", "--band"), ("--soft-on-band", "--band"),
]  # fmt: skip
OUTLINES = [("--edge", "--card"), ("--edge", "--paper"), ("--free-solid", "--card")]


def colours(scheme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\n *\}", CSS, re.DOTALL)
    found: dict[str, str] = {}
    for block in blocks if scheme == "dark" else blocks[:1]:
        found |= dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block))
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " on ".join(pair))
def test_words_can_be_read(scheme: str, pair: tuple[str, str]) -> None:
    found = colours(scheme)
    assert contrast(found[pair[0]], found[pair[1]]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pair", OUTLINES, ids=lambda pair: " on ".join(pair))
def test_controls_can_be_seen(scheme: str, pair: tuple[str, str]) -> None:
    found = colours(scheme)
    assert contrast(found[pair[0]], found[pair[1]]) >= 3
