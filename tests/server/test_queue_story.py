"""tools/queue_story.py against a real server, as a module and as a command."""

import asyncio
import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import queue_story
from aiohttp import ClientSession, WSMsgType, web
from PIL import Image
from queue_story import ComfyClient, Failed, HostError, Refused, change, find, only, read_workflow, saved_files, set_seed
from server import failure

ROOT = Path(__file__).resolve().parents[2]
SCRIPT, WORKFLOW = ROOT / "tools" / "queue_story.py", ROOT / "workflows" / "api" / "demo_story.json"
PANELS = "[Mia] waving in the forest # One.\n[Mia] running on the beach # Two."
LONG = 5000  # steps that no test waits for


@pytest.fixture()
def workflow():
    """The shipped workflow, for two panels and in few steps."""
    nodes = read_workflow(WORKFLOW)
    change(nodes, "Story", panels=PANELS)
    for key in find(nodes, "KSampler"):
        nodes[key]["inputs"]["steps"] = 3
    return nodes


def run(server, workflow, tell=lambda now: None, url=None):
    """The history's entry, and the saved files by the title of their node."""

    async def draw():
        async with ComfyClient(url or server.url) as client:
            entry = await client.run(workflow, tell)
            made = {}
            for file in saved_files(entry, workflow):
                made.setdefault(queue_story.title(workflow, file.node_id), []).append(await client.fetch(file))
            return entry, made

    return asyncio.run(asyncio.wait_for(draw(), 240))  # far more than it takes: a run that would never end fails


def pixels(files):
    return [Image.open(io.BytesIO(data)).convert("RGB").tobytes() for data in files]


def waits_or_runs(server):
    queue = server.get_json("/queue")
    return [item[1] for kind in ("queue_running", "queue_pending") for item in queue[kind]]


def command(server, *options, folder):
    told = [sys.executable, str(SCRIPT), "--server", server.url, "--output", str(folder), *map(str, options)]
    return subprocess.run(told, capture_output=True, text=True, encoding="utf-8", timeout=300)


@pytest.fixture()
def short(workflow, tmp_path):
    path = tmp_path / "short.json"
    path.write_text(json.dumps(workflow), encoding="utf-8")
    return path


# What is changed arrives


def test_script_style_and_seed_arrive(server, workflow):
    _, first = run(server, workflow)
    assert {name: len(files) for name, files in first.items()} == {"Panels, without": 2, "Panels, with": 2, "Page": 1}
    set_seed(workflow, 4711)
    _, other_seed = run(server, workflow)
    assert all(a != b for a, b in zip(pixels(first["Panels, with"]), pixels(other_seed["Panels, with"])))
    change(workflow, "Fabula_Story", panels=PANELS + "\n[Mia] sitting in the city # Three.", style="Line art", characters="[Mia] an old man")
    _, other_story = run(server, workflow)
    assert len(other_story["Panels, with"]) == 3
    assert pixels(other_story["Panels, with"])[0] != pixels(other_seed["Panels, with"])[0]
    ran = json.loads(Image.open(io.BytesIO(other_story["Page"][0])).text["prompt"])
    assert ran["2"]["inputs"]["style"] == "Line art" and ran["5"]["inputs"]["seed"] == ran["6"]["inputs"]["seed"] == 4711


def test_only_what_a_node_needs_is_drawn(server, workflow):
    _, made = run(server, only(workflow, "Page"))
    assert list(made) == ["Page"] and len(made["Page"]) == 1


def test_a_book_and_an_uploaded_picture(server, tmp_path):
    Image.new("RGB", (96, 64), "teal").save(tmp_path / "photo.png")

    async def draw():
        async with ComfyClient(server.url) as client:
            nodes = {
                "1": {"class_type": "LoadImage", "inputs": {"image": await client.upload(tmp_path / "photo.png")}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "photos/mine"}},
                "3": {"class_type": "Fabula_SaveComic", "inputs": {"pages": ["1", 0], "filename_prefix": "books: mine/mia", "format": "pdf"}},
                "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
            }
            entry = await client.run(nodes)
            files = saved_files(entry, nodes)
            return {file.node_id: (file, await client.fetch(file)) for file in files}

    made = asyncio.run(draw())
    assert set(made) == {"2", "3"}  # a preview is none
    assert made["2"][0].subfolder == "photos" and Image.open(io.BytesIO(made["2"][1])).getpixel((5, 5)) == (0, 128, 128)
    assert made["3"][0].subfolder == "books: mine" and made["3"][0].filename.endswith(".pdf") and made["3"][1].startswith(b"%PDF")


# Progress


def test_progress_rises_to_its_end_and_names_the_nodes(server, workflow):
    set_seed(workflow, 12)
    told = []
    run(server, workflow, told.append)
    percents = [now.percent for now in told]
    assert percents == sorted(percents) and percents[0] < 30 and percents[-1] == 100
    assert len(set(percents)) > 8
    assert {"With consistent attention", "Decode, with", "Comic Page", "Page"} <= {now.node for now in told}
    assert {(now.step, now.steps) for now in told if now.node == "Without"} >= {(1, 3), (2, 3), (3, 3)}
    halfway = next(now for now in told if (now.node, now.step) == ("With consistent attention", 1))
    assert 20 < halfway.percent < 80


def test_a_node_that_runs_once_a_transition_does_not_fall_back(server):
    nodes = read_workflow(WORKFLOW.with_name("demo_film.json"))
    for node in nodes.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 2
    told = []
    _, made = run(server, nodes, told.append)
    steps = [now.step for now in told if now.node == "Draw the transitions" and now.step]
    assert steps != sorted(steps)  # it did run more than once
    percents = [now.percent for now in told]
    assert percents == sorted(percents) and percents[-1] == 100
    assert [len(films) for films in made.values()] == [1] and b"ftyp" in made["Save Video"][0][:16]


def test_what_the_server_remembers_is_done(server, workflow):
    set_seed(workflow, 13)
    _, first = run(server, workflow)
    told = []
    _, second = run(server, workflow, told.append)
    assert first == second and told[0].percent > 90


# Other people's prompts


@pytest.fixture()
def others(server, workflow):
    """The id of somebody else's prompt, which takes long. It goes when the test ends."""
    nodes = json.loads(json.dumps(only(workflow, "Page")))
    change(nodes, "KSampler", steps=LONG, seed=time.time_ns() % 2**40)
    prompt_id = server.queue(nodes)
    yield prompt_id
    server.post_json("/queue", {"delete": [prompt_id]})
    while prompt_id in waits_or_runs(server):
        server.post_json("/interrupt", {"prompt_id": prompt_id})
        time.sleep(0.1)


def test_a_prompt_waits_for_those_ahead(server, others, workflow):
    told = []

    def tell(now):
        told.append(now)
        if now.ahead and others:
            server.post_json("/interrupt", {"prompt_id": others})  # the other one's end, as a user ends his own

    set_seed(workflow, 14)
    run(server, workflow, tell)
    assert told[0].ahead == 1 and told[0].percent == 0
    after = [now for now in told if not now.ahead]
    assert after[0].percent < 30 and after[-1].percent == 100 and all(now.steps in (0, 3) for now in told)  # none of the other's steps


async def until(true):
    for _ in range(1200):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come")


def test_cancelling_a_waiting_run_leaves_the_others_alone(server, others, workflow):
    async def draw():
        told = []
        async with ComfyClient(server.url) as client:
            task = asyncio.create_task(client.run(workflow, told.append))
            await until(lambda: told)
            assert len(waits_or_runs(server)) == 2
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(draw())
    assert waits_or_runs(server) == [others]


def test_cancelling_a_run_lets_those_behind_it_go_on(server, workflow):
    change(workflow, "With consistent attention", steps=LONG)
    behind = {"1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 7}},
              "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "behind"}}}

    async def draw():
        told = []
        async with ComfyClient(server.url) as client:
            task = asyncio.create_task(client.run(only(workflow, "Page"), told.append))
            await until(lambda: told and told[-1].step)
            (ours,) = waits_or_runs(server)
            others = server.queue(behind)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return ours, others

    ours, others = asyncio.run(draw())
    assert failure(server.wait(others, 60)) is None
    assert "execution_interrupted" in [kind for kind, _ in server.history(ours)["status"]["messages"]]


def test_somebody_takes_the_prompt_away(server, others, workflow):
    def tell(now):
        ours = [each for each in waits_or_runs(server) if each != others]
        server.post_json("/queue", {"delete": ours})

    with pytest.raises(Failed, match="taken out of the queue"):
        run(server, workflow, tell)


def test_somebody_interrupts_the_run(server, workflow):
    change(workflow, "With consistent attention", steps=LONG)
    with pytest.raises(Failed, match='"With consistent attention".*interrupted'):
        run(server, only(workflow, "Page"), lambda now: now.step and server.post_json("/interrupt", {}))


def test_an_error_of_the_caller_s_own_takes_the_run_away(server, workflow):
    change(workflow, "With consistent attention", steps=LONG)

    def tell(now):
        if now.step:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(server, only(workflow, "Page"), tell)
    assert not waits_or_runs(server)


# Errors


def test_a_refused_workflow_is_told_by_node_and_input(server, workflow):
    for key in find(workflow, "KSampler"):
        workflow[key]["inputs"]["steps"] = 0
    with pytest.raises(Refused) as refused:
        run(server, workflow)
    assert set(str(refused.value).splitlines()) == {
        'node 5 "Without" (KSampler), input steps: Value 0 smaller than min of 1',
        'node 6 "With consistent attention" (KSampler), input steps: Value 0 smaller than min of 1',
    }
    assert refused.value.answer["node_errors"]["5"]["errors"][0]["type"] == "value_smaller_than_min"


def test_one_wrong_branch_refuses_all(server, workflow):
    change(workflow, "Without", steps=0)
    before = set(server.get_json("/history"))
    with pytest.raises(Refused, match=r'^node 5 "Without" \(KSampler\), input steps'):
        run(server, workflow)
    assert not waits_or_runs(server)
    assert not [entry for key, entry in server.get_json("/history").items() if key not in before and failure(entry) is None]


@pytest.mark.parametrize("inputs, told", [
    ({"style": "Fresco"}, r'node 2 "Story" \(Fabula_Story\), input style: there is no \'Fresco\'. Choose one of: \(No style\), .*Line art'),
    ({"stile": "Line art"}, r'node 2 "Story" \(Fabula_Story\): no input stile. There are characters, panels, style, negative'),
])
def test_what_fabula_s_nodes_have_not_is_refused_with_what_they_have(server, workflow, inputs, told):
    change(workflow, "Story", **inputs)
    with pytest.raises(Refused, match=told):
        run(server, workflow)


def test_nodes_that_the_server_has_not(server, workflow):
    with pytest.raises(Refused, match="Is Fabula there"):
        run(server, workflow | {"99": {"class_type": "Fabula_Nothing", "inputs": {}}})
    with pytest.raises(Refused, match="Nothing.* (does not exist|not found)"):
        run(server, workflow | {"99": {"class_type": "Nothing", "inputs": {}}})


def test_an_unknown_tag_is_told_with_its_line(server, workflow):
    change(workflow, "Story", panels="[Mia] runs\n[Bo] waves")
    with pytest.raises(Failed) as failed:
        run(server, workflow)
    assert str(failed.value).splitlines() == [
        'node 2 "Story" (Fabula_Story): Fabula_Story cannot read the story.',
        'panels, line 2, "[Bo] waves": no character is called [Bo]. Known: [Mia]; or add "[Bo] what it looks like" to characters.',
    ]


def test_a_server_that_is_not_there_or_is_something_else(server, workflow):
    with pytest.raises(HostError, match="127.0.0.1:1/? cannot be reached"):
        run(server, workflow, url="http://127.0.0.1:1")
    with pytest.raises(HostError, match="no/such/place cannot be reached.*404"):
        run(server, workflow, url=f"{server.url}/no/such/place")
    with pytest.raises(ValueError, match="no address"):
        ComfyClient("127.0.0.1:8188")


# Behind a proxy


@contextlib.asynccontextmanager
async def serving(app):
    """The address of a server of one's own."""
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def proxy(server, drops=0):
    """ComfyUI at /behind/comfy of another server, for those with a key. Cuts the first `drops` websockets when the run tells its first step."""
    left, connections = [drops], []

    async def pass_on(request):
        if request.headers.get("Authorization") != "Bearer key":
            return web.Response(status=401, text="no key")
        address = f"{server.url}/{request.match_info['rest']}"
        async with ClientSession() as session:
            if request.headers.get("Upgrade", "").lower() != "websocket":
                async with session.request(request.method, address, params=request.query, data=await request.read(),
                                           headers={"Content-Type": request.headers.get("Content-Type", "")}) as answer:
                    return web.Response(status=answer.status, body=await answer.read())
            outside = web.WebSocketResponse()
            await outside.prepare(request)
            connections.append(request.query["clientId"])
            async with session.ws_connect(address, params=request.query) as inside:
                async for message in inside:
                    if message.type == WSMsgType.TEXT:
                        await outside.send_str(message.data)
                        if left[0] and '"progress"' in message.data:
                            left[0] -= 1
                            break
            await outside.close()
            return outside

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/behind/comfy/{rest:.*}", pass_on)
    async with serving(app) as url:
        yield f"{url}/behind/comfy", connections


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_address_with_a_path_and_a_header(server, workflow, slash):
    async def draw():
        async with proxy(server) as (url, _):
            async with ComfyClient(url + slash, {"Authorization": "Bearer key"}) as client:
                entry = await client.run(workflow)
                files = [await client.fetch(file) for file in saved_files(entry, workflow)]
            async with ComfyClient(url) as client:
                with pytest.raises(HostError, match="401"):
                    await client.run(workflow)
                with pytest.raises(HostError, match="answers /queue with 401 Unauthorized. no key"):
                    await client.ahead("")
        return files

    assert len(asyncio.run(draw())) == 5


def test_a_connection_that_is_lost_is_made_anew(server, workflow):
    set_seed(workflow, 15)
    told = []

    async def draw():
        async with proxy(server, drops=1) as (url, connections), ComfyClient(url, {"Authorization": "Bearer key"}) as client:
            return await client.run(workflow, told.append), connections

    entry, connections = asyncio.run(draw())
    assert failure(entry) is None and len(connections) == 2 and len(set(connections)) == 1
    percents = [now.percent for now in told]
    assert percents == sorted(percents) and percents[-1] == 100


def test_silence_is_asked_about(server, others, workflow, monkeypatch):
    """A prompt that goes without a message, as when the server was started anew: here the proxy swallows them all."""
    monkeypatch.setattr(queue_story, "IDLE", 0.3)

    async def draw():
        app, seen = web.Application(), []

        async def mute(request):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            return socket

        async def pass_on(request):
            if request.path == "/queue" and request.method == "GET":
                seen.append(1)
                if len(seen) == 3:
                    server.post_json("/queue", {"delete": [each for each in waits_or_runs(server) if each != others]})
            async with ClientSession() as session, session.request(request.method, server.url + request.path, data=await request.read()) as answer:
                return web.Response(status=answer.status, body=await answer.read())

        app.router.add_get("/ws", mute)
        app.router.add_route("*", "/{rest:.*}", pass_on)
        async with serving(app) as url, ComfyClient(url) as client:
            await client.run(workflow)

    with pytest.raises(Failed, match="knows nothing of the prompt"):
        asyncio.run(asyncio.wait_for(draw(), 60))


# The command


def test_the_command_draws_a_story_and_keeps_what_is_there(server, short, tmp_path):
    (tmp_path / "mia.txt").write_text("[Zoë] a girl", encoding="utf-8-sig")  # as Windows' editors write it
    (tmp_path / "story.txt").write_text("[Zoë] waving in the forest # Ça va?\n[Zoë] running on the beach\n[Zoë] sitting in the city", encoding="utf-8")
    options = ("--workflow", short, "--characters", tmp_path / "mia.txt", "--panels", tmp_path / "story.txt", "--style", "Line art", "--seed", 7,
               "--set", "Comic Page.layout=manga", "--set", "12.filename_prefix=fabula/mia", "--only", "Page", "--only", "Panels, with")
    folder = tmp_path / "deep" / "pages"
    first = command(server, *options, folder=folder)
    assert first.returncode == 0, first.stderr
    assert "100 %  done" in first.stdout and " %  With consistent attention, step " in first.stdout and f"4 files in {folder}" in first.stdout
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(written) == 4
    (page,) = [name for name in written if name.startswith("mia_")]
    ran = json.loads(Image.open(folder / page).text["prompt"])
    assert ran["2"]["inputs"] == {
        "characters": "[Zoë] a girl", "panels": (tmp_path / "story.txt").read_text(encoding="utf-8"), "style": "Line art", "negative": ""}
    assert ran["6"]["inputs"]["seed"] == 7 and ran["11"]["inputs"]["layout"] == "manga" and "5" not in ran

    second = command(server, *options, folder=folder)  # the server remembers, and names the same files
    assert second.returncode == 0
    assert {path.name for path in folder.iterdir()} == set(written) | {name.replace("_.png", "_-2.png") for name in written}
    assert all((folder / name).read_bytes() == data for name, data in written.items())


@pytest.mark.parametrize("options, told", [
    (["--style", "Fresco"], "Choose one of: (No style)"),
    (["--set", "Without.steps=0"], 'node 5 "Without" (KSampler), input steps'),
    (["--set", "Story.panels=[Mia] a\n[Bo] b"], 'panels, line 2, "[Bo] b"'),
    (["--set", "KSampler.steps=1"], 'node 5 "Without" (KSampler) or node 6'),
    (["--set", "steps=1"], "NODE.INPUT=VALUE"),
    (["--only", "Pages"], 'no node "Pages"'),
    (["--panels", "nowhere.txt"], "nowhere.txt"),
    (["--only", "Comic Page"], "Prompt has no outputs"),
    (["--header", "Authorization Bearer"], '--header "Authorization Bearer" is not NAME:VALUE'),
    (["--server", "http://127.0.0.1:8188x"], "is no address of a server"),
])
def test_the_command_tells_errors_in_words(server, short, tmp_path, options, told):
    ended = command(server, "--workflow", short, *options, folder=tmp_path / "pages")
    assert ended.returncode == 1 and told in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "pages").exists()


def test_files_that_cannot_be_read_or_written_are_told_before_anything_is_drawn(server, short, tmp_path):
    (tmp_path / "story.txt").write_text("[Mia] waves", encoding="utf-16")
    ended = command(server, "--workflow", short, "--panels", tmp_path / "story.txt", folder=tmp_path / "pages")
    assert ended.returncode == 1 and f"{tmp_path / 'story.txt'} is not in UTF-8" in ended.stderr
    ended = command(server, "--workflow", short, folder=tmp_path / "story.txt" / "pages")
    assert ended.returncode == 1 and f"{tmp_path / 'story.txt'} is no folder that can be written to" in ended.stderr and " %" not in ended.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_run_on_the_server(server, short, tmp_path, stop):
    told = [sys.executable, "-u", str(SCRIPT), "--server", server.url, "--workflow", str(short), "--set", f"With consistent attention.steps={LONG}",
            "--seed", str(stop.value), "--only", "Page", "--output", str(tmp_path / "pages")]
    with subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert any(", step " in line for line in child.stdout)
        (ours,) = waits_or_runs(server)
        child.send_signal(stop)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 130 and "Stopped" in errors and "Traceback" not in errors
    assert not waits_or_runs(server) and failure(server.history(ours))
