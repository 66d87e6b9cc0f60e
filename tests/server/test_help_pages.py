"""The help pages of both languages are whole, and come where the frontend asks for them; what they say is in tests/host/test_help_pages.py."""

import re
import urllib.error
import urllib.request

import pytest
import write_locales

DOCS = write_locales.ROOT / "web" / "docs"
SECTIONS = {  # what stands under them: inputs, outputs, an example, and errors with what to do
    "en": ("Inputs", "Outputs", "Example", "What can go wrong"),
    "zh": ("输入", "输出", "示例", "常见错误"),
}
PATHS = {"en": "{}.md", "zh": "{}/zh.md"}


@pytest.fixture(scope="module")
def nodes(server):
    return write_locales.nodes_of_the_pack(server.get_json("/object_info"))


@pytest.fixture(params=SECTIONS)
def language(request):
    return request.param


def page(node: str, language: str) -> str:
    return (DOCS / PATHS[language].format(node)).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second order; a scene in an example is none."""
    text = re.sub(r"^```.*?^```", lambda fence: fence[0].replace("\n#", "\n "), text, flags=re.DOTALL | re.MULTILINE)
    parts = re.split(r"^## +(.+?) *$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tell(wrong: dict) -> str:
    return "\n".join(f"{node}: {what}" for node, what in wrong.items())


def inputs_of(info: dict) -> set[str]:
    return {name for kind in ("required", "optional") for name in info["input"].get(kind, {})}


def test_every_node_has_its_page_and_every_page_its_node(nodes, language):
    pattern = PATHS[language].format("*")
    found = {path.parent.name if "/" in pattern else path.stem for path in DOCS.glob(pattern)}
    assert found == set(nodes)


def test_every_page_has_its_sections(nodes, language):
    wrong = {}
    for node, info in nodes.items():
        inputs, outputs, *rest = SECTIONS[language]
        wanted = [inputs] * bool(inputs_of(info)) + [outputs] * bool(info["output"]) + rest
        text = page(node, language)
        found = [name for name, content in sections(text).items() if name in wanted and content.strip()]
        if found != wanted or not text.startswith("# "):
            wrong[node] = found
    assert not wrong, tell(wrong)


def test_a_chinese_page_is_chinese(nodes):
    """What it quotes aside, it has more Chinese characters than English words."""
    wrong = {}
    for node in nodes:
        prose = re.sub(r"```.*?```|`[^`\n]*`|\*[^*\n]+\*", "", page(node, "zh"), flags=re.DOTALL)
        words, characters = (len(re.findall(pattern, prose)) for pattern in ("[A-Za-z]+", "[\u4e00-\u9fff]"))
        if characters < 100 or characters < words:
            wrong[node] = (characters, words)
    assert not wrong, tell(wrong)


def test_the_host_serves_the_pages_where_the_frontend_asks(server, nodes, language):
    """First /extensions/FOLDER/docs/NODE/LANGUAGE.md, then /extensions/FOLDER/docs/NODE.md."""
    for node, info in nodes.items():
        folder = info["python_module"].removeprefix("custom_nodes.")
        with urllib.request.urlopen(f"{server.url}/extensions/{folder}/docs/{PATHS[language].format(node)}", timeout=30) as answer:
            assert "html" not in answer.headers["Content-Type"], node
            assert answer.read().decode() == page(node, language)


def test_a_language_that_is_not_there_is_told_so_that_the_frontend_falls_back(server, nodes):
    for node in nodes:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server.url}/extensions/fabula/docs/{node}/de.md", timeout=30)
        assert refused.value.code == 404
