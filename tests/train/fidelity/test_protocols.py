"""Figures by named protocol, on random networks."""

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.errors import ConfigError, WeightsError
from stages.file_hash import file_sha256
from stages.weights.catalogue import MODELS
from stages.weights.store import WeightsStore
from tests.train.fidelity.disturbances import scene
from tests.train.fidelity.tiny_networks import CAPTIONS, TinyFeatures, save_random_inception, tiny_clip
from train.fidelity.bootstrap import bootstrap
from train.fidelity.networks.distribution import FrechetDistance, InceptionFeatures
from train.fidelity.protocols import (
    PROTOCOLS,
    EvalProtocol,
    FigureName,
    Judged,
    Networks,
    ProtocolFigure,
    figures,
    open_networks,
    protocol_of,
)

PICTURES = 8
T2I_ADAPTER = replace(PROTOCOLS["t2i-adapter"], size_pixels=(32, 32))
IP_ADAPTER = PROTOCOLS["ip-adapter"]


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks("cpu", TinyFeatures(), tiny_clip())


def judged(number: int) -> Judged:
    """The pictures of a caption differ: four of them share one and a real picture."""
    caption = number // 4
    return Judged(scene(number, 32), scene(100 + caption, 32), CAPTIONS[caption % len(CAPTIONS)])


def pictures(number: int = PICTURES) -> Iterator[Judged]:
    return (judged(each) for each in range(number))


def test_each_protocol_gives_its_figures(networks: Networks) -> None:
    assert list(figures(T2I_ADAPTER, networks, pictures())) == ["FID", "CLIP-T"]
    assert list(figures(IP_ADAPTER, replace(networks, features=None), pictures())) == ["CLIP-T", "CLIP-I"]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_network_of_a_protocol_is_in_the_model_table(protocol: EvalProtocol) -> None:
    assert set(protocol.models) <= MODELS.keys()
    assert protocol_of(protocol.name) is protocol


def test_the_distance_is_that_of_all_pictures_and_has_no_interval(networks: Networks) -> None:
    frechet = FrechetDistance(TinyFeatures(), "cpu")
    frechet.add([each.drawn_hwc for each in pictures()], [each.real_hwc for each in pictures()])
    assert figures(T2I_ADAPTER, networks, pictures())["FID"] == ProtocolFigure(
        FigureName.FID, PICTURES, frechet.value()
    )


def test_the_interval_is_that_of_captions_since_the_pictures_of_one_are_not_independent(networks: Networks) -> None:
    assert networks.clip is not None
    found = figures(IP_ADAPTER, networks, pictures(12), seed=3)
    all_of_them = list(pictures(12))
    cosines = networks.clip.similarities(
        [each.drawn_hwc for each in all_of_them],
        [each.real_hwc for each in all_of_them],
        [each.caption for each in all_of_them],
    )
    for name, values in zip(("CLIP-T", "CLIP-I"), cosines, strict=True):
        expected = bootstrap(np.reshape(values, (3, 4)).mean(axis=1).tolist(), 3, name)
        figure = found[name]
        assert figure.pictures == 12
        assert (figure.value, figure.low, figure.high) == pytest.approx((expected.mean, expected.low, expected.high))
        assert figure.value == pytest.approx(np.mean(values))


def numbers(figure: ProtocolFigure) -> list[float]:
    return [number for number in (figure.value, figure.low, figure.high) if number is not None]


@pytest.mark.parametrize("batch_pictures", [1, 3, 5])
def test_batches_of_any_size_give_the_same(networks: Networks, batch_pictures: int) -> None:
    protocol = replace(T2I_ADAPTER, figures=tuple(FigureName))
    whole = figures(protocol, networks, pictures(), batch_pictures=PICTURES)
    for name, figure in figures(protocol, networks, pictures(), batch_pictures=batch_pictures).items():
        assert numbers(figure) == pytest.approx(numbers(whole[name]), rel=1e-4)


def test_no_more_pictures_are_held_than_two_batches_have(networks: Networks) -> None:
    alive: set[int] = set()
    most = 0

    def counted() -> Iterator[Judged]:
        nonlocal most
        for number in range(PICTURES):
            each = judged(number)
            alive.add(number)
            weakref.finalize(each.drawn_hwc, alive.discard, number)
            most = max(most, len(alive))
            yield each

    figures(T2I_ADAPTER, networks, counted(), batch_pictures=2)
    assert most <= 4


def test_pictures_of_another_size_are_refused(networks: Networks) -> None:
    with pytest.raises(ConfigError) as refused:
        figures(PROTOCOLS["t2i-adapter"], networks, pictures())
    assert str(refused.value) == (
        "--protocol t2i-adapter must have pictures of 512x512, got 32x32; take a data set of that size"
    )
    PROTOCOLS["t2i-adapter"].check((512, 512))


@pytest.mark.parametrize("number", [0, 6])
def test_pictures_of_a_caption_that_are_missing_are_refused(networks: Networks, number: int) -> None:
    with pytest.raises(ConfigError) as refused:
        figures(IP_ADAPTER, networks, pictures(number))
    assert str(refused.value) == (
        f"--protocol ip-adapter must have 4 pictures of each caption, got {number} in all; draw the others"
    )


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        protocol_of("t2i")
    assert str(refused.value) == "--protocol must be one of t2i-adapter, ip-adapter, got 't2i'"


def test_networks_are_opened_from_the_files_of_the_registry(tmp_path: Path) -> None:
    tiny = tiny_clip()
    inception = tmp_path / MODELS["inception_v3_fid"].file
    inception.parent.mkdir()
    save_random_inception(inception)
    tiny.network.save_pretrained(tmp_path / "clip-vit-large-patch14")
    tiny.tokenizer.save_pretrained(tmp_path / "clip-vit-large-patch14")
    models = {
        name: replace(MODELS[name], sha256=file_sha256(tmp_path / MODELS[name].file), size_bytes=None)
        for name in PROTOCOLS["t2i-adapter"].models
    }
    store = WeightsStore(tmp_path, allow_network=False, models=models)
    of_both = open_networks(PROTOCOLS["t2i-adapter"], store, "cpu", tiny.network.config)
    assert isinstance(of_both.features, InceptionFeatures)
    assert of_both.clip is not None
    inception.unlink()
    of_captions = open_networks(IP_ADAPTER, store, "cpu", tiny.network.config)
    assert of_captions.features is None
    assert list(figures(IP_ADAPTER, of_captions, pictures())) == ["CLIP-T", "CLIP-I"]


@pytest.mark.parametrize(
    ("protocol", "model"), [("t2i-adapter", "inception_v3_fid"), ("ip-adapter", "clip_vit_l14")], ids=lambda name: name
)
def test_missing_weights_are_an_error_that_says_what_to_fetch(
    protocol: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    with pytest.raises(WeightsError) as refused:
        open_networks(PROTOCOLS[protocol], WeightsStore(tmp_path, allow_network=False), "cpu")
    assert str(refused.value) == (
        f"weights of {model} must be in a file {MODELS[model].file}, got none in {tmp_path} or the cache; run `condset "
        f"weights fetch {model} --weights-dir {tmp_path}` where there is a network, or put {MODELS[model].url} at "
        f"{tmp_path / MODELS[model].file}"
    )


def test_a_device_that_is_not_there_is_refused_before_any_weights_are_sought(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        open_networks(IP_ADAPTER, WeightsStore(tmp_path, allow_network=False), "tpu")
    assert str(refused.value) == "device must be auto, cpu or cuda, got 'tpu'"
