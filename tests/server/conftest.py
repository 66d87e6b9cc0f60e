import environment
import pytest
from server import Server

environment.stop_like_ctrl_c()  # a cancelled run shall not leave its server behind


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def pictures_are_taken_back(request):
    """What a server says of a picture that it has not is tested, too: no test finds those that one before it has given to the server."""
    if "server" not in request.fixturenames:
        yield
        return
    folder = request.getfixturevalue("server").folder / "input"
    before = set(folder.rglob("*"))
    yield
    for file in set(folder.rglob("*")) - before:
        if file.is_file():  # the host makes folders there as well
            file.unlink()
