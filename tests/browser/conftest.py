"""The pack in the real frontend, in a browser."""

from contextlib import contextmanager

import environment
import pytest
from chromium import Chromium, find_chromium
from frontend import FrontendPage
from server import Server

environment.stop_like_ctrl_c()  # a cancelled run shall not leave its server or its browser behind
PICTURES = environment.ROOT / "output" / "browser"


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def open_frontend(request, tmp_path_factory):
    """`with open_frontend() as page:` is the page of the frontend in a browser of its own, ready to be used."""
    program = find_chromium()
    if not program:
        pytest.skip("there is no Chromium on this machine")
    server = request.getfixturevalue("server")  # not started in vain

    @contextmanager
    def opened():
        with Chromium(program, tmp_path_factory.mktemp("profile")) as browser:
            yield FrontendPage.open(browser, server).page

    return opened


@pytest.fixture(scope="session")
def frontend(open_frontend):
    """The page that most tests share."""
    with open_frontend() as page:
        yield page


@pytest.fixture()
def picture(frontend, request):
    """Keeps a picture of the page under a test's name, to be looked at."""

    def take(name: str = "") -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{request.node.name}{name}.png").write_bytes(frontend.picture())

    return take
