import environment
import pytest
from server import Server

environment.stop_like_ctrl_c()  # a cancelled run shall not leave its server behind


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running
