"""The known differences between hosts, each held against the ComfyUI at hand: since the version that tools/host_differences.py says, and not before."""

import asyncio
import inspect
import sys

import comfy.ldm.wan.vae
import comfy.model_management
import comfy.ops
import comfy.sd
import comfy.utils
import environment
import execution
import fabula
import host
import nodes
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import InputImpl, io
from comfy_extras import nodes_freelunch, nodes_model_downscale, nodes_video
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from fabula.host.encode_story import empty_latents, encode_story
from fabula.host.render import sample
from host_differences import ALL, here, numbers, version


class Own:
    """Something of a node's in a model's options."""


@pytest.fixture()
def probe(model, clip, story, tmp_path, monkeypatch):
    """Whether the ComfyUI at hand does what a difference says, by the difference's name."""
    return Probe(model, clip, story, tmp_path, monkeypatch)


class Probe:
    def __init__(self, model, clip, story, folder, monkeypatch):
        self.model, self.clip, self.story, self.folder, self.monkeypatch = model, clip, story, folder, monkeypatch

    def layers_can_be_interrupted(self):
        comfy.model_management.interrupt_current_processing(True)
        try:
            comfy.ops.disable_weight_init.Linear(2, 2)(torch.zeros(1, 2))
        except comfy.model_management.InterruptProcessingException:
            return True
        finally:
            comfy.model_management.interrupt_current_processing(False)
        return False

    def wan_vae_of_any_width(self):
        small = comfy.ldm.wan.vae.WanVAE(dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True])
        try:
            comfy.sd.VAE(sd=small.state_dict())
        except RuntimeError:  # sizes that do not match
            return False
        return True

    def latent_shapes(self):
        return "latent_shapes" in self.outer_sample()[1]

    def mask_is_prepared(self):
        return tuple(self.outer_sample()[0].shape) == (3, 4, 16, 16)  # as the latents; it was (3, 1, 128, 128)

    def outer_sample(self):
        """The noise mask and the keywords that a wrapper of the whole sampling is given."""
        seen = []

        def note(executor, noise, latent_image, sampler, sigmas, denoise_mask, *rest, **kwargs):
            seen.append((denoise_mask, kwargs))
            return executor(noise, latent_image, sampler, sigmas, denoise_mask, *rest, **kwargs)

        model = self.model.clone()
        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "test", note)
        latents = {**empty_latents(range(3), 128, 128), "noise_mask": torch.ones(3, 1, 128, 128)}
        with torch.inference_mode():
            sample(model, *encode_story(self.clip, self.story, 128, 128), latents, 1, 1, 1.0)
        return seen[0]

    def options_are_shared(self):
        model, own = self.model.clone(), Own()
        model.model_options["transformer_options"]["own"] = own
        return model.clone().model_options["transformer_options"]["own"] is own

    def downscale_is_v3(self):
        return hasattr(nodes_model_downscale.PatchModelAddDownscale, "execute")

    def freeu_is_v3(self):
        return hasattr(nodes_freelunch.FreeU, "execute")

    def windows_ask_for_noise(self):
        return "freenoise" in inspect.signature(ContextWindowsManualNode.execute).parameters

    def windows_add_a_frame(self):
        return "causal_window_fix" in inspect.signature(ContextWindowsManualNode.execute).parameters

    def windows_take_one_time(self):
        handler = ContextWindowsManualNode.execute(
            self.model, 16, 4, "standard_static", 1, False, "pyramid", 0, **({"freenoise": False} if self.windows_ask_for_noise() else {}),
        ).args[0].model_options["context_handler"]
        try:
            handler.set_step(torch.full((5,), 2.0), {"transformer_options": {"sample_sigmas": torch.tensor([3.0, 2.0, 0.0])}})
        except RuntimeError:  # three sigmas and five times
            return False
        return handler._step == 1

    def choices_are_checked(self):
        """The queue's own check of a choice that is not there."""
        extension = asyncio.run(fabula.comfy_entrypoint())
        for node in asyncio.run(extension.get_node_list()):
            self.monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, node.GET_SCHEMA().node_id, node)
        prompt = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
            "2": {"class_type": "Fabula_SaveComic", "inputs": {"pages": ["1", 0], "filename_prefix": "x", "format": "jpg"}},
        }
        accepted, _, _, errors = asyncio.run(execution.validate_prompt("test", prompt, None))
        assert accepted or [each["type"] for each in errors["2"]["errors"]] == ["value_not_in_list"]
        return not accepted

    def progress_is_throttled(self):
        told = []
        self.monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda done, *_, **__: told.append(done))
        bar = comfy.utils.ProgressBar(1000)
        for _ in range(100):
            bar.update(1)
        assert told
        return len(told) < 100

    def requests_is_required(self):
        return "requests" in environment.host_requirements(host.find_host() / "requirements.txt")

    def on_load_is_called(self):
        folder = self.folder / "pack"
        folder.mkdir()
        (folder / "__init__.py").write_text(
            "from comfy_api.latest import ComfyExtension\n"
            "called = []\n"
            "class Extension(ComfyExtension):\n"
            "    async def on_load(self): called.append('on_load')\n"
            "    async def get_node_list(self): called.append('nodes'); return []\n"
            "async def comfy_entrypoint(): return Extension()\n"
        )
        known = set(sys.modules)
        assert asyncio.run(nodes.load_custom_node(str(folder)))
        (pack,) = (sys.modules.pop(name) for name in set(sys.modules) - known if hasattr(sys.modules[name], "comfy_entrypoint"))
        assert pack.called[-1] == "nodes"
        return pack.called == ["on_load", "nodes"]

    def missing_nodes_have_a_type(self):
        return self.error({"1": {"class_type": "Nothing", "inputs": {}}}) == "missing_node_type"

    def rings_are_refused_by_name(self):
        """A ring of two, and a node that saves it."""
        ring = {key: {"class_type": "ImageInvert", "inputs": {"image": [other, 0]}} for key, other in (("1", "2"), ("2", "1"))}
        found = self.error(ring | {"3": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}})
        assert found is not None
        return found == "dependency_cycle"

    @staticmethod
    def error(prompt):
        """What the queue's own check calls the first error of a workflow, or of its first node."""
        accepted, error, _, errors = asyncio.run(execution.validate_prompt("test", prompt, None))
        assert not accepted
        return next((each["errors"][0]["type"] for each in errors.values() if each["errors"]), error["type"])

    def prompt_ids_are_uuids(self):
        return "invalid_prompt_id" in (host.find_host() / "server.py").read_text(encoding="utf-8")  # no server runs in this process

    def codec_has_settings(self):
        keywords = inspect.signature(InputImpl.VideoFromComponents.save_to).parameters
        is_text = next(isinstance(each, io.Combo.Input) for each in nodes_video.SaveVideo.GET_SCHEMA().inputs if each.id == "codec")
        assert is_text != ("crf" in keywords)
        return not is_text


@pytest.mark.parametrize("name", ALL)
def test_it_is_there_since_its_version_and_not_before(probe, name):
    found = getattr(probe, name.lower())()
    assert found == here(ALL[name]), (
        f"ComfyUI {'.'.join(map(str, version()))} {'has' if found else 'has not'} {name}, which tools/host_differences.py says is since "
        f"{ALL[name].since}: {ALL[name].what}. Correct it there, and what its reason names: {ALL[name].reason}."
    )


def test_releases_are_compared_as_numbers():
    assert numbers("0.3.75") < numbers("0.4.0") < numbers("0.10.0") < numbers("0.33.0")
