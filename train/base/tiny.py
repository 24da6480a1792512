"""A Stable Diffusion in small: the same diffusers classes, seeded random weights, 16 MB. For tests and the quickstart.

    64 x 64 pixels ──VAE, stride 8──> 4 x 8 x 8 latents ──UNet, four scales──> prediction

It draws nothing recognisable. It predicts velocity by default: at high noise that is the image itself, so an adapter
on it has something to learn although the UNet knows nothing; of noise alone a random UNet can tell nothing.
"""

import re
from typing import TYPE_CHECKING

import torch

from train.base.config import TinyDiffusionConfig
from train.base.protocol import Prediction
from train.base.stable_diffusion import Parts

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDPMScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

VOCABULARY_SCENES = 300
"""Scenes whose captions give the tokenizer its words: nearly all that any scene has."""
TOKENS = 77
UNET_CHANNELS = (32, 64, 96, 96)
VAE_CHANNELS = (8, 16, 16, 16)
CONTEXT_CHANNELS = 64
STANDARD_SCENES = 32
"""Scenes over which the VAE's latents are given mean 0 and variance 1."""
LOG_VARIANCE = -12.0
"""Of its posterior, about what Stable Diffusion's VAE has; random weights would drown the mean in noise."""


def tiny_parts(config: TinyDiffusionConfig) -> Parts:
    """Build the networks; equal settings give equal weights."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    tokenizer = word_tokenizer(scene_words())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=tuple(channels * config.width for channels in UNET_CHANNELS),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=1,  # the number of heads, in these classes; a CPU takes its time for each
            cross_attention_dim=CONTEXT_CHANNELS,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        )
        vae = AutoencoderKL(
            block_out_channels=VAE_CHANNELS,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=64,
            scaling_factor=1.0,
        )
        _standardise(vae)
        text_encoder = small_text_encoder(tokenizer, CONTEXT_CHANNELS, heads=4)
    return Parts(unet, vae, text_encoder, tokenizer, noise_schedule(config.prediction))


def small_text_encoder(tokenizer: "CLIPTokenizer", channels: int, heads: int) -> "CLIPTextModel":
    """Build two layers of a CLIP text encoder with random weights, for the words and the length of a tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=channels,
            intermediate_size=2 * channels,
            num_hidden_layers=2,
            num_attention_heads=heads,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


@torch.no_grad()
def _standardise(vae: "AutoencoderKL") -> None:
    """Give each latent channel mean 0 and variance 1 over drawn scenes, and a posterior as narrow as a trained one.

    The statistics are rounded: their last bits depend on the number of threads, the weights must not.
    """
    from stages.sources.synthetic.scenes import draw_scene

    scenes = [draw_scene(0, index, 64, 64).image_hwc for index in range(STANDARD_SCENES)]
    images = torch.stack([torch.from_numpy(scene) for scene in scenes]).permute(0, 3, 1, 2) / 127.5 - 1
    channels = vae.config.latent_channels
    means = vae.encode(images).latent_dist.mean.transpose(0, 1).flatten(1)
    shift, scale = means.mean(1).double().round(decimals=2), means.std(1).double().round(decimals=2)
    weight, bias = vae.quant_conv.weight, vae.quant_conv.bias
    weight[:channels] /= scale[:, None, None, None]
    bias[:channels] = (bias[:channels] - shift) / scale
    bias[channels:] = LOG_VARIANCE


def noise_schedule(prediction: Prediction) -> "DDPMScheduler":
    """Stable Diffusion's schedule: betas from 0.00085 to 0.012, scaled-linear, 1000 time steps."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        prediction_type=prediction,
        clip_sample=False,
    )


def scene_words() -> list[str]:
    """The words of the captions that drawn scenes have, sorted."""
    from stages.sources.synthetic.scenes import describe_scene

    captions = (caption for index in range(VOCABULARY_SCENES) for caption in describe_scene(0, index, 64, 64).captions)
    return sorted({word for caption in captions for word in re.findall(r"[a-z]+", caption.lower())})


def word_tokenizer(words: list[str], tokens: int = TOKENS) -> "CLIPTokenizer":
    """Build a CLIP tokenizer that knows these words, and spells out every other text byte by byte.

    Its merges grow each word letter by letter from its end, where no merge of another word's can come between, so a
    known word is one token.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    pieces = dict.fromkeys([*alphabet, *(f"{letter}</w>" for letter in alphabet)])
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        grown = f"{word[-1]}</w>"
        for letter in reversed(word[:-1]):
            merges[letter, grown] = None
            grown = letter + grown
            pieces[grown] = None
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), model_max_length=tokens)
