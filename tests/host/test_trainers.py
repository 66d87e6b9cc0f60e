"""The demo's trainers: a few steps each on a few pictures, stopped and resumed."""

import json

import pytest
import torch
from fabula.demo import dataset, models, stages, train, train_identity, train_reader, train_vae, vocabulary, weights
from fabula.host import demo_models, id_encoder
from fabula.identity.checkpoint import read_checkpoint


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """Where nothing of the repository's own weights is written."""
    for name, path in weights.BASE.items():
        monkeypatch.setitem(weights.BASE, name, tmp_path / path.name)
    monkeypatch.setattr(weights, "READER", tmp_path / weights.READER.name)
    return tmp_path


def test_vae_then_decoder_then_shards_then_unet(folder, monkeypatch, capsys):
    pool = train_vae.draw_pool(4, 0)
    monkeypatch.setattr(train_vae, "draw_pool", lambda count, seed: pool)
    monkeypatch.setattr(dataset, "SHARD", {"square": 16, "strip": 16})
    monkeypatch.setattr(train, "BATCH", {"square": 2, "strip": 2})
    monkeypatch.setattr(stages, "save_samples", lambda path: path.touch())

    stages.train_vae(folder, steps=2)
    encoder = weights.load(weights.BASE["vae"])["encoder.conv_in.weight"]
    decoder = weights.load(weights.BASE["vae"])["decoder.conv_out.weight"]
    stages.train_decoder(folder, steps=2)
    assert torch.equal(weights.load(weights.BASE["vae"])["encoder.conv_in.weight"], encoder)
    assert not torch.equal(weights.load(weights.BASE["vae"])["decoder.conv_out.weight"], decoder)

    stages.make_shards(folder, range(1))
    for steps in (2, 3):
        stages.train_unet(folder, steps=steps)
        details = weights.metadata(weights.BASE["unet"])
        assert details["steps"] == str(steps) and details["seed"] == "1" and details["minutes"].isdigit() and details["machine"]
    assert "going on from" in capsys.readouterr().out
    assert (folder / "samples_000003.png").exists()
    assert torch.load(folder / "train.pt", weights_only=True)["step"] == 3
    assert json.loads(weights.metadata(weights.BASE["text"])["kept_tokens"]) == vocabulary.kept_tokens(demo_models.tokenizer().clip_l)

    (folder / "train.pt").unlink()  # another machine, which has the shipped weights alone
    for steps in (1, 2):
        stages.train_unet(folder, steps=steps, from_shipped=True)
        assert weights.metadata(weights.BASE["unet"])["steps"] == str(3 + steps)


def test_the_reader_resumes(folder, monkeypatch, capsys):
    examples = train_reader.draw_examples(4, 0)
    monkeypatch.setattr(train_reader, "draw_examples", lambda *a, **k: examples)
    for steps in (1, 2):
        stages.train_reader(folder, steps=steps)
    assert "step 1" in capsys.readouterr().out
    assert weights.metadata(weights.READER)["steps"] == "2"


def test_the_identity_encoder_resumes_and_its_file_is_a_photomaker(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "PHOTOMAKER", tmp_path / weights.PHOTOMAKER.name)
    for name, value in (("SEEING_STEPS", 2), ("SEEING_BATCH", 4), ("BATCH", 2)):
        monkeypatch.setattr(train_identity, name, value)
    for steps in (2, 3):
        stages.train_identity(tmp_path, steps=steps, characters=3)
    assert "going on from" in capsys.readouterr().out and weights.metadata(weights.PHOTOMAKER)["steps"] == "3"
    checkpoint = read_checkpoint(weights.load(weights.PHOTOMAKER))
    model = models.load_model()
    assert id_encoder.make_encoder(checkpoint).version == "v1" and len(id_encoder.apply_lora(model, checkpoint, 1.0).patches) == 64


def test_photos_are_never_the_picture_that_is_drawn():
    """Else the encoder would learn to copy the background."""
    generator = torch.Generator().manual_seed(0)
    for target in range(train_identity.PHOTOS + 1):
        for n in (1, 2, 3):
            assert target not in train_identity._others(target, n, generator).tolist()
