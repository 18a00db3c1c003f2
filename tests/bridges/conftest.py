"""Tiny random pipelines, built from configurations: nothing is downloaded."""

import json

import pytest

TOKENS = [
    "<|startoftext|>",
    "<|endoftext|>",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz"),
]


@pytest.fixture(scope="session")
def torch():
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchax")
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="session")
def build_ddpm(torch):
    """build(path, **scheduler settings): a DDPMPipeline of 8×8 RGB images."""
    import diffusers

    def build(path, scheduler="DDPMScheduler", **settings):
        torch.manual_seed(0)
        unet = diffusers.UNet2DModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
        )
        pipeline = diffusers.DDPMPipeline(unet, getattr(diffusers, scheduler)(**settings))
        pipeline.save_pretrained(path)
        return path

    return build


@pytest.fixture(scope="session")
def build_stable_diffusion(torch):
    """build(path, prediction_type): a StableDiffusionPipeline of 8×8 latents and 16×16 pictures."""
    import diffusers
    import transformers

    def build(path, prediction_type="epsilon"):
        torch.manual_seed(1)
        unet = diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=12,
            attention_head_dim=4,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=16,
        )
        encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=len(TOKENS), hidden_size=12, intermediate_size=16, num_hidden_layers=2,
                num_attention_heads=2, max_position_embeddings=16,
                bos_token_id=0, eos_token_id=1, pad_token_id=1,
            )
        )  # fmt: skip
        words = path.parent / f"{path.name}-words"
        words.mkdir(parents=True)
        (words / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(TOKENS)}))
        (words / "merges.txt").write_text("#version: 0.2\n")
        tokenizer = transformers.CLIPTokenizer(
            str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=16
        )
        scheduler = diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type=prediction_type,
        )
        pipeline = diffusers.StableDiffusionPipeline(
            vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
        pipeline.save_pretrained(path)
        return path

    return build
