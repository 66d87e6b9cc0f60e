"""The help pages say what the schemas say, in both languages: every input with its range and default, every output, and errors that can come."""

import ast
import asyncio
import json
import re
from functools import cache
from pathlib import Path

import fabula
import pytest
from comfy_api.latest import io
from fabula.story.moments import estimate_tokens
from fabula.story.prose import split_story
from fabula.story.script import parse_story

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
NODES = sorted(page.stem for page in DOCS.glob("*.md"))  # tests/unit/test_help.py says that these are all
LANGUAGES = {
    "en": {"inputs": "Inputs", "outputs": "Outputs", "errors": "What can go wrong", "to": "to", "default": "default"},
    "zh": {"inputs": "输入", "outputs": "输出", "errors": "常见错误", "to": "到", "default": "默认"},
}
PAGES = [(node, language) for node in NODES for language in LANGUAGES]
CAST = "[Mia] a girl with ginger hair, red coat\n[Bob] a man with a grey beard, blue coat"


@cache
def schemas() -> dict[str, io.Schema]:
    extension = asyncio.run(fabula.comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node.define_schema() for node in asyncio.run(extension.get_node_list())}


def page(node: str, language: str) -> str:
    return (DOCS / f"{node}.md" if language == "en" else DOCS / node / f"{language}.md").read_text(encoding="utf-8")


def section(node: str, language: str, name: str) -> str:
    title = LANGUAGES[language][name]
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page(node, language), re.DOTALL | re.MULTILINE)
    assert found, f"{node} ({language}) has no section {title}"
    return found[1]


def lines_of_inputs(node: str, language: str) -> dict[str, str]:
    """Each input's line, with what goes on in the lines under it."""
    found = {}
    for head, rest in re.findall(r"^- ((?:\*\*\w+\*\*[^*\n]{0,60})+)(.*(?:\n  .*)*)", section(node, language, "inputs"), re.MULTILINE):
        for name in re.findall(r"\*\*(\w+)\*\*", head):
            found[name] = f"- {head}{rest}"
    return found


def number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_every_input_is_told_with_its_range_and_default(node, language):
    told, words = lines_of_inputs(node, language), LANGUAGES[language]
    assert set(told) == {each.id for each in schemas()[node].inputs}
    for each in schemas()[node].inputs:
        # Of two inputs on one line, what stands between a name and the next one is its own, where they differ.
        line = told[each.id].replace("\n", " ")
        if isinstance(each, (io.Int.Input, io.Float.Input)):
            if each.max < 2**53:
                assert f"{number(each.min)} {words['to']} {number(each.max)}" in line, each.id
            assert re.search(rf"{words['default']} {number(each.default)}(?![\d.])", line), each.id
        elif isinstance(each, io.Combo.Input) and each.default:
            assert f"{words['default']} `{each.default}`" in line, each.id
        if isinstance(each, io.Combo.Input) and each.id not in ("style", "font") and not each.id.endswith("_name"):
            everywhere = section(node, language, "inputs")
            assert not [option for option in each.options if f"`{option}`" not in everywhere], each.id


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_every_output_is_told(node, language):
    told = re.findall(r"^- \*\*([\w ]+)\*\*", section(node, language, "outputs"), re.MULTILINE)
    assert told == [each.display_name for each in schemas()[node].outputs]


@cache
def messages() -> tuple[str, ...]:
    """All texts of the code, with ... where values come in; names of constants are put in."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for part in ("nodes", "host", "story", "attention", "identity", "comic", "motion", "demo")
             for path in (ROOT / part).glob("*.py")]
    found = []
    everywhere = {name: value for tree in trees for name, value in _constants(tree)}
    for tree in trees:
        constants = {**everywhere, **dict(_constants(tree))}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else constants.get(ast.unparse(part.value), "...") for part in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%(?:\.\d)?[dsgf]", "...", node.value))
    return tuple(found)


def _constants(tree: ast.Module) -> list[tuple[str, str]]:
    return [
        (target.id, node.value.value) for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    ]


def quotes(node: str, language: str) -> list[str]:
    """The messages that a page quotes, in italics; ... stands for what differs."""
    text = re.sub("```.*?```|`[^`\n]*`", "", section(node, language, "errors"), flags=re.DOTALL)
    return [found.replace("\\*", "*") for found in re.findall(r"(?<!\*)\*((?:\\\*|[^*\n])+)\*(?!\*)", text)]


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_every_error_of_the_help_is_in_the_code(node, language):
    told = quotes(node, language)
    assert told
    for quote in told:
        parts = [part.strip() for part in quote.split("...") if part.strip(" .,:")]
        pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
        assert parts and any(pattern.search(message) for message in messages()), quote


@pytest.mark.parametrize("node", NODES)
def test_the_chinese_page_quotes_the_errors_of_the_english_one(node):
    assert quotes(node, "zh") == quotes(node, "en")


@pytest.mark.parametrize("node", NODES)
def test_every_example_of_a_chinese_page_is_right(node):
    found = re.findall(r"```(characters|panels)\n(.*?)```", page(node, "zh"), re.DOTALL)
    casts = [text for field, text in found if field == "characters"]
    for cast in casts:
        assert parse_story(cast, "[NC] a house", "(No style)", "").characters
    for field, text in found:
        if field == "panels":
            assert parse_story("\n".join(_first_lines([*casts, CAST])), text, "(No style)", "").panels


def test_the_chinese_split_story_is_what_comes():
    (characters,), (text,), (panels,) = (re.findall(f"```{field}\n(.*?)```", page("Fabula_SplitStory", "zh"), re.DOTALL) for field in ("characters", "text", "panels"))
    assert split_story(text, 3, characters, estimate_tokens) == panels.strip()


def _first_lines(casts: list[str]) -> list[str]:
    """The characters of all examples; of those of one name the first."""
    lines = [line for cast in casts for line in cast.splitlines() if line.startswith(("[", "【"))]
    return list({re.split(r"[\]】]", line)[0][1:]: line for line in reversed(lines)}.values())


LOCALE = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("node", LOCALE)
def test_the_chinese_names_are_those_of_the_schema(node):
    told, schema = LOCALE[node], schemas()[node]
    assert told["display_name"] and told["description"]
    assert list(told["inputs"]) == [each.id.replace(".", "_") for each in schema.inputs]
    assert list(told["outputs"]) == [str(at) for at in range(len(schema.outputs))]
    for each in (*told["inputs"].values(), *told["outputs"].values()):
        assert each["name"] and each["tooltip"]
    for each in schema.inputs:
        if options := told["inputs"][each.id].get("options"):
            assert list(options) == each.options
