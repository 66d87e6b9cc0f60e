"""The story director with a real language model: a tiny one, made here, that knows one answer by heart."""

import gc
import json
import random
import shutil

import comfy.model_management
import comfy.utils
import folder_paths
import pytest
import torch
import transformers
from fabula.host import language_model, story_director
from fabula.host.language_model import LanguageModel
from fabula.nodes.director import StoryDirector
from fabula.story.director import ask
from fabula.story.script import parse_story
from host_differences import PROGRESS_IS_THROTTLED, here
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT, PANELS = "A girl finds a map.", 2
ANSWER = json.dumps({
    "characters": [{"name": "Mia", "look": "a girl, ginger hair, red coat"}],
    "panels": [
        {"characters": ["Mia"], "place": "a forest", "picture": "Mia finds a map", "caption": "A map!", "speech": []},
        {"characters": ["Mia"], "place": "a city", "picture": "Mia runs", "caption": "", "speech": [{"who": "Mia", "text": "On!"}]},
    ],
})
CHARACTERS = "[Mia] a girl, ginger hair, red coat"
SCRIPT = '## a forest\n[Mia] finds a map # A map!\n## a city\n[Mia] runs # [Mia]: "On!"'
TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}<end>{% endfor %}<assistant>"


def make_tokenizer() -> transformers.PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<end>", "<user>", "<assistant>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([ask(TEXT, PANELS), ANSWER], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.chat_template = TEMPLATE
    return fast


def make_model(vocabulary: int) -> transformers.LlamaForCausalLM:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=4096, eos_token_id=0, bos_token_id=None, tie_word_embeddings=False,
    ))


def teach(model: transformers.LlamaForCausalLM, tokenizer: transformers.PreTrainedTokenizerFast) -> None:
    """Until it knows the answer by heart; what comes behind it, the model does not learn."""
    prompt = tokenizer(f"<user>{ask(TEXT, PANELS)}<end><assistant>", return_tensors="pt")["input_ids"]
    answer = tokenizer(ANSWER, return_tensors="pt")["input_ids"]
    tokens = torch.cat([prompt, answer], dim=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(400):
        logits = model(tokens[:, :-1]).logits[0, prompt.shape[1] - 1:]
        loss = torch.nn.functional.cross_entropy(logits, answer[0])
        if torch.softmax(logits, -1).gather(1, answer[0, :, None]).min() > 0.98:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError(f"the model has not learnt its answer, loss {loss.item():.3f}")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A models/LLM folder: `well` taught, `blank` not, and some that cannot be used."""
    folder = tmp_path_factory.mktemp("LLM")
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    (folder / "some").mkdir()
    for name in ("some/blank", "well"):
        tokenizer.save_pretrained(folder / name)
        if name == "well":
            teach(model, tokenizer)
        model.save_pretrained(folder / name)
    for name in ("pickled", "coded", "coded_tokenizer", "quantised", "torn", "partial", "short", "broken", "plain"):
        shutil.copytree(folder / "well", folder / name)
    (folder / "pickled" / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pickled" / "pytorch_model.bin")
    weights = (folder / "well" / "model.safetensors").read_bytes()
    (folder / "torn" / "model.safetensors").write_bytes(weights[:len(weights) // 2])
    (folder / "broken" / "config.json").write_text("{")
    change(folder / "coded" / "config.json", auto_map={"AutoModelForCausalLM": "own.Model"}, model_type="own")
    (folder / "coded" / "own.py").write_text("raise SystemExit('code of a folder was run')")
    change(folder / "coded_tokenizer" / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]})
    change(folder / "quantised" / "config.json", quantization_config={"quant_method": "awq"})
    change(folder / "partial" / "config.json", num_hidden_layers=3)
    change(folder / "short" / "config.json", max_position_embeddings=300)
    tokenizer.chat_template = None
    shutil.rmtree(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    model.save_pretrained(folder / "plain")
    return folder


def change(path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture(autouse=True)
def llm_folder(saved, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "LLM", ([str(saved)], set()))


@pytest.fixture()
def progress(monkeypatch):
    if here(PROGRESS_IS_THROTTLED):
        for name in ("PROGRESS_THROTTLE_MIN_INTERVAL", "PROGRESS_THROTTLE_MIN_PERCENT"):
            monkeypatch.setattr(comfy.utils, name, 0)
    hook, progress = comfy.utils.PROGRESS_BAR_HOOK, Progress()
    comfy.utils.set_progress_bar_global_hook(progress)
    yield progress
    comfy.utils.set_progress_bar_global_hook(hook)


class Progress:
    """What the host's progress bar is told, as (done, of how many); `at` is called each time."""

    def __init__(self) -> None:
        self.told, self.at = [], lambda done: None

    def __call__(self, done: int, total: int, preview: object, **_: object) -> None:
        self.told.append((done, total))
        self.at(done)


def run(model_name: str = "well", text: str = TEXT, max_new_tokens: int = 400, temperature: float = 0.7, **options) -> tuple[str, str]:
    with torch.inference_mode():  # as the host runs nodes
        return StoryDirector.execute(model_name, text, PANELS, 3, max_new_tokens, temperature, **options).args


def weights_left() -> int:
    gc.collect()
    loaded = [each for each in gc.get_objects() if isinstance(each, transformers.PreTrainedModel)]
    return sum(any(not weight.is_meta for weight in model.parameters()) for model in loaded)


@pytest.mark.parametrize("temperature", [0, 0.7])
def test_a_model_writes_a_story_that_parses(temperature, progress):
    left = weights_left()
    characters, panels = run(temperature=temperature)
    assert (characters, panels) == (CHARACTERS, SCRIPT)
    assert len(parse_story(characters, panels, "", "").panels) == 2
    counts = [done for done, _ in progress.told]
    assert counts == list(range(1, len(counts) + 1)) and {total for _, total in progress.told} == {400}
    assert counts[-1] < 300, "the answer is finished: what comes behind it is not waited for"
    assert weights_left() == left, "the model is not kept"


def test_no_other_random_numbers_are_touched():
    torch.manual_seed(11)
    random.seed(11)
    before = torch.get_rng_state(), random.getstate()
    run()
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]


def test_an_interrupt_ends_it_and_leaves_nothing_behind(progress):
    left = weights_left()
    progress.at = lambda done: comfy.model_management.interrupt_current_processing(done == 20)
    with pytest.raises(comfy.model_management.InterruptProcessingException) as caught:
        run()
    assert progress.told[-1][0] == 20
    assert weights_left() == left and caught.traceback, "the weights are gone while the traceback still holds the model"
    progress.at = lambda done: None
    assert run() == (CHARACTERS, SCRIPT)


def test_an_answer_that_is_cut_off_keeps_its_finished_panels(progress, caplog):
    run()
    whole = len(progress.told)
    characters, panels = run(max_new_tokens=whole - 5)
    assert (characters, panels) == (CHARACTERS, "\n".join(SCRIPT.split("\n")[:2]))
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING" and "Fabula" in record.getMessage()]
    assert "Fabula_StoryDirector" in warning and f"'max_new_tokens' ({whole - 5})" in warning


def test_a_model_that_cannot_write_a_script_is_refused_with_its_answer(progress):
    left = weights_left()
    with pytest.raises(ValueError) as caught:
        run("some/blank", max_new_tokens=40)
    message = str(caught.value)
    assert "Fabula_StoryDirector: input 'model_name': some/blank" in message and "larger instruct model" in message
    assert "What is wrong with its last answer:\n- " in message and len(message.partition("The answer begins: ")[2]) > 10
    assert len(message) < 1500
    assert [done for done, _ in progress.told].count(1) == story_director.TRIES
    assert weights_left() == left


def test_a_refused_answer_is_asked_for_again_with_what_is_wrong(monkeypatch):
    asked, answers = [], ["No.", ANSWER.replace("Mia runs", ""), ANSWER]

    def encode(self, messages):
        asked.append(messages)
        return torch.zeros(1, 1, dtype=torch.int64)

    monkeypatch.setattr(LanguageModel, "encode", encode)
    monkeypatch.setattr(LanguageModel, "answer", lambda *_: answers[len(asked) - 1])
    assert run() == (CHARACTERS, SCRIPT)
    again = ["user", "assistant", "user"]
    assert [[each["role"] for each in messages] for messages in asked] == [["user"], again, again]
    assert asked[2][1]["content"] == answers[1] and '- panel 2: "picture" is missing' in asked[2][2]["content"]
    assert asked[1][0] == asked[0][0] and TEXT in asked[0][0]["content"]


def test_characters_and_language_reach_the_model(monkeypatch):
    asked = []

    def encode(self, messages):
        asked.append(messages[0]["content"])
        return torch.zeros(1, 1, dtype=torch.int64)

    monkeypatch.setattr(LanguageModel, "encode", encode)
    monkeypatch.setattr(LanguageModel, "answer", lambda *_: ANSWER)
    assert run(characters="[Mia] a girl, blue hat", language=" German ")[0] == "[Mia] a girl, blue hat"
    assert "- Mia: a girl, blue hat" in asked[0] and "are in German" in asked[0]
    with pytest.raises(ValueError, match='"Bob" is a given character'):
        run(characters="[Bob] a man")
    with pytest.raises(ValueError, match="Fabula_StoryDirector cannot read the characters.\ncharacters, line 2, .*begins with its name"):
        run(characters="[Bob] a man\nMia")


def test_the_seed_is_what_the_drawing_depends_on():
    def drawn(seed: int, temperature: float = 1.5) -> str:
        with LanguageModel("node", "some/blank", seed) as model:
            return model.answer(model.encode([{"role": "user", "content": TEXT}]), 20, temperature, lambda _: False)

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1, 0) == drawn(2, 0)
    assert drawn(1, 1e-3) == drawn(1, 0), "a low temperature takes the likeliest"


def test_draws_have_the_model_s_distribution():
    draw = language_model._Draw(0.5, torch.Generator().manual_seed(0))
    scores = torch.tensor([[0.0, 1.0, -9.0, 0.5, -torch.inf]])
    counts = torch.bincount(torch.stack([draw(None, scores).argmax() for _ in range(2000)]), minlength=5) / 2000
    wanted = torch.softmax(scores[0] / 0.5, 0)
    assert torch.allclose(counts, wanted, atol=0.03) and counts[2] == counts[4] == 0


def test_a_model_without_a_chat_template_gets_a_plain_prompt():
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "Go"}]
    with LanguageModel("node", "plain", 0) as model:
        assert model._decode(model.encode(messages)[0]) == "Task:\nHello\n\nAnswer:\nYes\n\nTask:\nGo\n\nAnswer:\n"
    with LanguageModel("node", "well", 0) as model:
        assert model._tokenizer.decode(model.encode(messages)[0]) == "<user>Hello<end><assistant>Yes<end><user>Go<end><assistant>"


def test_a_text_longer_than_the_model_reads():
    with pytest.raises(ValueError, match="Fabula_StoryDirector: input 'text': the request has [0-9]+ tokens, and short reads at most 300,"):
        run("short")


def test_only_as_many_tokens_are_asked_for_as_the_model_reads(monkeypatch, progress):
    monkeypatch.setattr(LanguageModel, "room", lambda self, prompt: 70)
    assert run() == (CHARACTERS, "\n".join(SCRIPT.split("\n")[:2])), "the first panel is finished within 70 tokens, the second is not"
    assert {total for _, total in progress.told} == {70}


def test_the_models_there_are(saved, tmp_path, monkeypatch):
    assert language_model.names() == sorted(set(each.name for each in saved.iterdir()) - {"some", "pickled"} | {"some/blank"})
    assert "well" in StoryDirector.define_schema().inputs[0].options
    for file in ("other/theirs/config.json", "other/theirs/model-00001-of-00002.safetensors", "other/config.json", "other/x.safetensors"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "LLM", ([str(tmp_path / "other")], {".gguf"}))
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    shutil.copytree(saved / "well", tmp_path / "models" / "LLM" / "ours")
    language_model.register()
    assert language_model.names() == ["ours", "theirs"], "what others have registered stays, and hides nothing of ours"
    assert folder_paths.folder_names_and_paths["LLM"][1] == {".gguf"}


@pytest.mark.parametrize(("name", "words"), [
    ("none", "'none', which is no model in models/LLM. There are: .*well"),
    ("../LLM/well", "no model in models/LLM"),
    ("pickled", "pickled has no .*safetensors"),
    ("coded", r"coded asks to run code of its own \(auto_map in config.json\)"),
    ("coded_tokenizer", r"code of its own \(auto_map in tokenizer_config.json\)"),
    ("quantised", "quantised is quantised"),
    ("broken", "config.json of broken cannot be read"),
    ("torn", "cannot read torn as a language model"),
    ("partial", "the files of partial lack weights"),
])
def test_folders_that_are_refused(name, words):
    left = weights_left()
    with pytest.raises(ValueError, match="Fabula_StoryDirector: input 'model_name'.*" + words):
        run(name)
    assert weights_left() == left


def test_an_empty_text():
    with pytest.raises(ValueError, match="Fabula_StoryDirector: input 'text' is empty"):
        run(text=" \n")


def test_a_model_that_does_not_fit_on_the_device_runs_on_the_cpu(monkeypatch):
    freed = []
    monkeypatch.setattr(comfy.model_management, "free_memory", lambda size, device: freed.append((size, device)))
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda device: 10**9)
    device, model = torch.device("cuda", 0), torch.nn.Linear(1000, 1000)
    assert language_model._make_room("x", model, device) == torch.device("cpu")
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda device: 10**12)
    assert language_model._make_room("x", model, device) == device
    assert freed == [(4 * 1001 * 1000 + comfy.model_management.minimum_inference_memory(), device)] * 2
