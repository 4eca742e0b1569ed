"""The catalogues are whole: every string of the pages is marked, translated and compiled."""

from __future__ import annotations

import gettext
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[1]
SWAHILI = ROOT / "locale/sw/LC_MESSAGES/django.po"
BLANK = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w+\}|</?\w+[^>]*>")
NOT_OURS = {"admin", "outbox"}  # templates of the admin, which is in English where Django is
PROPER = {  # the same in every language
    "_keys.html": {"Esc", "Ctrl", "Enter"}, "_now.html": {"Enter"},
    "_plan.html": {"Erlang", "WAPE"}, "_take.html": {"CSV"}, "files.html": {"CSV"},
}  # fmt: skip


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    with SWAHILI.open("rb") as file:
        return read_po(file, locale="sw")


def messages(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def forms(text: str | tuple[str, ...] | list[str] | None) -> list[str]:
    return [text] if isinstance(text, str) else list(text or [""])


def test_every_string_has_a_translation_that_somebody_has_looked_at(catalogue: Catalog) -> None:
    assert len(messages(catalogue)) > 900
    assert [message.id for message in messages(catalogue) if not all(forms(message.string))] == []
    assert [message.id for message in messages(catalogue) if message.fuzzy] == []


def test_a_translation_has_the_blanks_of_its_source(catalogue: Catalog) -> None:
    for message in messages(catalogue):
        *_one, source = forms(message.id)
        *_one, translated = forms(message.string)
        assert sorted(BLANK.findall(source)) == sorted(BLANK.findall(translated)), source
        if '"' not in source:  # it may stand in an attribute
            assert '"' not in translated


def test_what_is_compiled_is_what_is_written(catalogue: Catalog) -> None:
    with SWAHILI.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in messages(catalogue):
        if isinstance(message.id, str):
            assert compiled.gettext(message.id) == message.string
        else:
            one, many = message.id
            for count, expected in enumerate(forms(message.string), start=1):
                assert compiled.ngettext(one, many, count) == expected
    assert len(compiled._catalog) == 1 + sum(  # type: ignore[attr-defined]  # nothing else in it
        len(forms(message.id)) if not isinstance(message.id, str) else 1
        for message in messages(catalogue)
    )


@pytest.mark.skipif(not shutil.which("xgettext"), reason="needs gettext")
def test_the_catalogue_has_every_string_of_the_pages(catalogue: Catalog, tmp_path: Path) -> None:
    for name in ("agents", "callcenter", "queues", "reporting", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "locale").mkdir()
    shutil.copy(ROOT / "manage.py", tmp_path)
    subprocess.run(
        [sys.executable, "-m", "django", "makemessages", "--locale", "sw", "--verbosity", "0"],
        cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    with (tmp_path / "locale/sw/LC_MESSAGES/django.po").open("rb") as file:
        found = read_po(file, locale="sw")
    assert {str(m.id) for m in messages(found)} == {str(m.id) for m in messages(catalogue)}


@pytest.mark.parametrize(
    "template",
    sorted(
        path for path in (ROOT / "templates").rglob("*.html")
        if path.relative_to(ROOT / "templates").parts[0] not in NOT_OURS
    ),
    ids=lambda path: path.name,
)  # fmt: skip
def test_no_template_has_words_that_are_not_marked(template: Path) -> None:
    text = template.read_text()
    text = re.sub(r"\{% (blocktranslate|comment)\b.*?\{% end\1 %\}", "", text, flags=re.S)
    text = re.sub(r"\{% block body_class %\}.*?\{% endblock %\}", "", text)
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.S)
    told = re.findall(r'(?:aria-label|placeholder|title|alt)="([^"]*)"', text)
    told.append(re.sub(r'<(?:"[^"]*"|[^">])*>', " ", text))
    text = re.sub(r"&\w+;|/calls/", " ", " ".join(told))
    assert set(re.findall(r"[A-Za-z]{2,}", text)) - PROPER.get(template.name, set()) == set()
