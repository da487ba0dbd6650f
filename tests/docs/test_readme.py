# SPDX-License-Identifier: MIT
"""The README's Python runs as it stands there, in an empty directory, and its links lead somewhere."""

import re
from pathlib import Path

import openmm
import pytest

ROOT = Path(__file__).parents[2]


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", readme(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def one_thread():
    platform = openmm.Platform.getPlatformByName("CPU")
    before = platform.getPropertyDefaultValue("Threads")
    platform.setPropertyDefaultValue("Threads", "1")
    yield
    platform.setPropertyDefaultValue("Threads", before)


@pytest.mark.parametrize("index", range(max(len(blocks()), 1)))
def test_python_blocks_run(index, tmp_path, monkeypatch, one_thread):
    assert blocks(), "README.md has no ```python block"
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks()[index], f"README.md, python block {index}", "exec"), {"__name__": "__main__"})


def test_relative_links_lead_to_files():
    links = [link for link in re.findall(r"\]\(([^)#]+)", readme()) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_it_can_be_read_in_five_minutes():
    assert len(readme().splitlines()) <= 150
