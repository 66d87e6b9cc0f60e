"""The words of the nodes in locales/: English as the schemas have them, Chinese for every one of them, as the frontend asks for them."""

import json
import re

import pytest
import write_locales

CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Frontends read what they show with a grammar of messages (vue-i18n), some of them tooltips too; escapes, in turn, others show as they are.
MESSAGE_SYNTAX = re.compile(r"[{}|@]")
PROSE = re.compile(r"/(display_name|description|tooltip)$")
LANGUAGES = ("en", "zh")


def locale(language: str) -> dict:
    return json.loads((write_locales.LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def object_info(server):
    return server.get_json("/object_info")


@pytest.fixture(scope="module")
def nodes(object_info):
    return write_locales.nodes_of_the_pack(object_info)


def texts(given, path=""):
    """(where, text) of every text in a tree of them."""
    if isinstance(given, str):
        return [(path, given)]
    return [each for key, inner in given.items() for each in texts(inner, f"{path}/{key}")]


def shape(node: dict) -> set[str]:
    """What a node has texts for, but for its options, which need none."""
    return {where for where, _ in texts(node) if "/options/" not in where}


def test_the_pack_s_nodes_are_found(nodes):
    assert len(nodes) >= 28 and all(name.startswith("Fabula_") for name in nodes)


def test_english_says_what_the_schemas_say(object_info):
    wanted = write_locales.english(object_info)
    assert locale("en") == wanted, f"The nodes' words have changed: run {write_locales.COMMAND}, and see to locales/zh."


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_host_serves_it(server, language):
    assert server.get_json("/i18n")[language]["nodeDefs"] == locale(language)


def test_chinese_has_every_node_and_no_other(nodes):
    assert set(locale("zh")) == {write_locales.locale_key(name) for name in nodes}


def test_chinese_has_every_input_and_output_and_no_other(nodes):
    wrong = {}
    for name, info in nodes.items():
        found, wanted = (shape(words) for words in (locale("zh").get(name, {}), write_locales.node_texts(info)))
        if found != wanted:
            wrong[name] = {"missing": wanted - found, "not in the node": found - wanted}
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


def test_nothing_is_left_in_english():
    """The name of an input or output may be what Chinese users, too, write in Latin letters, such as VAE; not its id, in small letters."""
    said = [(where, text) for where, text in texts(locale("zh")) if "/options/" not in where and not CHINESE.search(text)]
    left = [(where, text) for where, text in said if PROSE.search(where) or not text[:1].isupper()]
    assert not left, "\n".join(map(str, left))


def test_options_are_those_that_the_node_has(nodes):
    for name, words in locale("zh").items():
        specs = {**nodes[name]["input"].get("required", {}), **nodes[name]["input"].get("optional", {})}
        for key, given in words["inputs"].items():
            kind, options = next(spec for each, spec in specs.items() if write_locales.locale_key(each) == key)
            choices = options.get("options", []) if kind == "COMBO" else kind if isinstance(kind, list) else []
            assert set(given.get("options", {})) <= {write_locales.locale_key(str(choice)) for choice in choices}, (name, key)
            assert all(given.get("options", {}).values()), (name, key)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_read_as_message_syntax(language):
    """Of a text with a bar only the part ahead of it is shown, braces vanish with what is in them, and an @ is an error."""
    found = [where for where, text in texts(locale(language)) if MESSAGE_SYNTAX.search(text)]
    assert not found, "Say it without { } | @."
