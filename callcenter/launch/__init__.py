"""How the whole thing starts and stops: what `python3 up.py` does.

Standard library only, and nothing here imports Django: most of it runs before anything is
installed.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var"
VENV = ROOT / ".venv"
