"""What is wrong with a folder, a scheduler or a file of prompts is said in one sentence, without PyTorch."""

import json
import subprocess
import sys

import numpy as np
import pytest

from memgen_jax import bridges
from memgen_jax.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """The JSON skeleton of a DDPMPipeline, its weights an empty file."""
    (tmp_path / "unet").mkdir()
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "model_index.json").write_text(
        json.dumps({"_class_name": "DDPMPipeline", "scheduler": ["diffusers", "DDPMScheduler"]})
    )
    write_json(tmp_path / "unet/config.json", {"in_channels": 3, "out_channels": 3, "sample_size": 8})
    write_json(tmp_path / "scheduler/scheduler_config.json", {"_class_name": "DDPMScheduler"})
    (tmp_path / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"")
    return tmp_path


def write_json(path, value):
    path.write_text(json.dumps(value))


def test_a_whole_folder_is_read(folder):
    read = bridges.read_folder(folder)
    assert read.kind == "DDPMPipeline" and read.scheduler_name == "DDPMScheduler" and not read.latent


def test_a_folder_without_an_index_is_no_pipeline(tmp_path):
    with pytest.raises(InputError, match=r"no pipeline folder.*model_index\.json"):
        bridges.load(tmp_path)


def test_an_unknown_pipeline_is_named(folder):
    write_json(folder / "model_index.json", {"_class_name": "FluxPipeline"})
    with pytest.raises(InputError, match=r"FluxPipeline.*StableDiffusionPipeline"):
        bridges.load(folder)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatchEulerDiscreteScheduler"),
        ({"_class_name": "DDPMScheduler", "prediction_type": "flow"}, "prediction_type 'flow'"),
        ({"_class_name": "DDPMScheduler", "beta_schedule": "sigmoid"}, "beta_schedule 'sigmoid'"),
        ({"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
        ({"_class_name": "DDIMScheduler", "thresholding": True}, "sets thresholding"),
    ],
)
def test_an_unsupported_scheduler_or_prediction_is_named(folder, settings, sentence):
    write_json(folder / "scheduler/scheduler_config.json", settings)
    with pytest.raises(InputError, match=sentence):
        bridges.load(folder)


def test_missing_parts_and_pickled_weights_are_named(folder):
    (folder / "unet/diffusion_pytorch_model.safetensors").rename(folder / "unet/model.bin")
    with pytest.raises(InputError, match=r"no \.safetensors"):
        bridges.load(folder)
    (folder / "unet/config.json").unlink()
    with pytest.raises(InputError, match=r"unet/config\.json is missing"):
        bridges.load(folder)


def test_a_network_with_a_learned_variance_is_refused(folder):
    write_json(folder / "unet/config.json", {"in_channels": 3, "out_channels": 6, "sample_size": 8})
    with pytest.raises(InputError, match="3 channels to 6"):
        bridges.load(folder)


def test_without_the_extra_the_install_command_is_shown(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r'pip install "\.\[diffusers\]"'):
        bridges.load(folder)


def test_importing_the_room_imports_no_torch():
    code = (
        "import sys, memgen_jax.bridges; print(sorted({'torch', 'diffusers', 'torchax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_default_schedule_is_that_of_ddpm():
    from memgen_jax.diffusion import DDPM

    ours = bridges.process_of("DDPMScheduler", {})
    np.testing.assert_allclose(ours.log_alpha_bar, DDPM().log_alpha_bar, rtol=1e-12)
    assert ours.t_max == 1000 and hash(ours) == hash(bridges.process_of("DDPMScheduler", {}))


def test_prompts_come_with_labels_for_all_or_for_none(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("# famous\nmemorized\tthe mona lisa\n\ngeneralized\ta dog\n")
    assert bridges.read_prompts(file) == (["the mona lisa", "a dog"], ["memorized", "generalized"])
    file.write_text("a dog\na cat\n")
    assert bridges.read_prompts(file) == (["a dog", "a cat"], [None, None])
    for text, sentence in [
        ("memorized\ta\nb\n", "labels 1 of 2 prompts"),
        ("copied\ta\n", "line 1: label 'copied'"),
        ("\n# nothing\n", "holds no prompt"),
    ]:
        file.write_text(text)
        with pytest.raises(InputError, match=sentence):
            bridges.read_prompts(file)
    with pytest.raises(InputError, match="cannot read"):
        bridges.read_prompts(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("torchax", "sentence"),
    [
        (None, "needs the package torchax: install it with pip"),
        (
            "raise AttributeError('module torch has no attribute x\\nsecond line')",
            r"torchax does not import \(AttributeError: module torch has no attribute x\).*come with pip install .* or "
            "where that build is gone a newer one, pip install --upgrade --pre torchax",
        ),
    ],
)
def test_packages_that_are_missing_or_do_not_fit_together_are_named(
    folder, tmp_path, monkeypatch, torchax, sentence
):
    import sys

    from memgen_jax import bridges

    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("diffusers", "torch", "transformers", "torchax"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (packages / f"{name}.py").write_text(torchax or "" if name == "torchax" else "")
    monkeypatch.syspath_prepend(packages)
    if torchax is None:
        monkeypatch.setitem(sys.modules, "torchax", None)
    with pytest.raises(InputError, match=sentence):
        bridges.load(folder)
    for name in ("diffusers", "torch", "transformers"):
        sys.modules.pop(name, None)
