"""The nodes' words in locales/: English as the schemas have it, all of it in Chinese, and the host gives both to the frontend.

tests/host/test_help_pages.py says that each node of the Chinese file has the schema's inputs, outputs and options.
"""

import json
import re

import pytest
import write_locales

CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Frontends read what they show with a grammar of messages (vue-i18n), some of them tooltips too; escapes, in turn, others show as they are.
MESSAGE_SYNTAX = re.compile(r"[{}|@]")
PROSE = re.compile(r"/(display_name|description|tooltip)$")
LANGUAGES = ("en", "zh")


def locale(language: str, name: str = "nodeDefs") -> dict:
    return json.loads((write_locales.LOCALES / language / f"{name}.json").read_text(encoding="utf-8"))


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


def test_the_pack_s_nodes_are_found(nodes):
    assert len(nodes) >= 28 and all(name.startswith("Fabula_") for name in nodes)


def test_english_says_what_the_schemas_say(object_info):
    wanted = write_locales.english(object_info)
    assert locale("en") == wanted, f"The nodes' words have changed: run {write_locales.COMMAND}, and see to locales/zh."


def test_the_host_serves_both(server):
    assert server.get_json("/i18n") == {"en": {"nodeDefs": locale("en")}, "zh": {"nodeDefs": locale("zh"), **locale("zh", "main")}}


def test_chinese_has_every_node_and_no_other(nodes):
    assert set(locale("zh")) == {write_locales.locale_key(name) for name in nodes}


def test_chinese_has_every_category_and_no_other(nodes):
    categories = {part for info in nodes.values() for part in info["category"].split("/")}
    assert set(locale("zh", "main")["nodeCategories"]) == categories - {"Fabula"}


def test_nothing_is_left_in_english():
    """The name of an input or output may be what Chinese users, too, write in Latin letters, such as VAE; not its id, in small letters."""
    said = [(where, text) for where, text in texts(locale("zh")) if "/options/" not in where and not CHINESE.search(text)]
    left = [(where, text) for where, text in said if PROSE.search(where) or not text[:1].isupper()]
    assert not left, "\n".join(map(str, left))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_read_as_message_syntax(language):
    """Of a text with a bar only the part ahead of it is shown, braces vanish with what is in them, and an @ is an error."""
    found = [where for where, text in texts(locale(language)) if MESSAGE_SYNTAX.search(text)]
    assert not found, "Say it without { } | @."
