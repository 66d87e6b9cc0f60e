"""The READMEs, in English and Chinese: they name all that there is, and what they link to is there."""

import re
from pathlib import Path

import pytest
from pack import node_ids
from templates import all_workflows

ROOT = Path(__file__).resolve().parents[2]
READMES = ["README.md", "README.zh.md"]


@pytest.fixture(params=READMES)
def readme(request):
    return (ROOT / request.param).read_text(encoding="utf-8")


def test_every_node_is_named(readme):
    assert set(re.findall(r"`(Fabula_\w+)`", readme)) == node_ids()


def test_every_template_and_every_file_that_it_needs_is_named(readme):
    for workflow in all_workflows():
        assert f"`{workflow.name}`" in readme
        for download in {download for node in workflow.nodes for download in node.downloads}:
            row = f"| [{download.name}]({download.page}) | {download.folder} | {download.size} | {download.licence} |"
            assert row in readme


def test_what_it_links_to_is_there(readme):
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", readme) if "://" not in link]
    links += re.findall(r"`((?:tools|bench|workflows|docs|tests)/[\w./]+\.\w+)`", readme) + re.findall(r"python3 (\S+\.py)", readme)
    assert len(links) > 15
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_chinese_one_has_the_figures_of_the_english_one():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in READMES]
    figures = [sorted(re.findall(r"(?<![\w.])\d+\.\d+(?!\w|\.\d)|\[\d[^\]]*\]", text)) for text in texts]
    assert figures[0] == figures[1] and len(figures[0]) > 40
