"""Time steps of the small base model's training, and its captions."""

import numpy as np
from scipy.stats import kstest

from train.scene_base.denoiser import _timesteps, _tokens
from train.scene_base.networks import TOKENS, build_parts


def test_time_steps_are_logit_normal() -> None:
    drawn = _timesteps(np.random.default_rng(0), 20_000, 1000)
    assert drawn.min() >= 0
    assert drawn.max() <= 999
    share = (drawn + 0.5) / 1000
    assert kstest(np.log(share / (1 - share)), "norm").pvalue > 1e-3


def test_an_english_caption_of_a_scene_fits_and_the_empty_one_is_as_long() -> None:
    parts = build_parts(0)
    caption = "a flat illustration of two orange triangles and a purple crescent in front of the open sea"
    (tokens, none) = _tokens(parts, [caption, ""])
    assert tokens.shape == none.shape == (TOKENS,)
    assert parts.tokenizer.decode(tokens, skip_special_tokens=True).strip() == caption
