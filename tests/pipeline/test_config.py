from pathlib import Path

import pytest

from pipeline.config import PrepareConfig, check_config, load_config, refuse_missing_keypoints
from stages.errors import ConfigError
from stages.registry import ANNOTATORS, SOURCES
from stages.weights.catalogue import MODELS

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = """
name = "small"
[source]
kind = "synthetic"
count = 3
[image]
size_pixels = 128
[[annotators]]
kind = "color"
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize(
    "path", sorted([*CONFIGS.glob("prepare/*.toml"), *CONFIGS.glob("quickstart/data.toml")]), ids=lambda path: path.name
)
def test_every_shipped_configuration_loads(path: Path) -> None:
    assert load_config(path, [], PrepareConfig).annotators


def test_the_registries_say_the_kinds_of_their_classes() -> None:
    for registry in (SOURCES, ANNOTATORS):
        for kind, config in registry.items():
            fields = getattr(config, "model_fields")  # noqa: B009  # pydantic's, which the protocols do not have
            assert fields["kind"].default == kind


@pytest.mark.parametrize("kind", sorted(ANNOTATORS.keys() - {"latents"}))  # whose VAE is the user's own model's
def test_every_network_that_an_annotator_names_is_in_the_table_of_models(kind: str) -> None:
    assert {name for name, _ in ANNOTATORS[kind]().models} <= MODELS.keys()


def test_a_setting_can_be_overridden_with_a_toml_value_or_a_bare_word(small: Path) -> None:
    config = load_config(
        small, ["source.count=7", "image.quality = 80", "name=other", "annotators.0.kind=color"], PrepareConfig
    )
    assert config.name == "other"
    assert config.image.quality == 80
    assert config.source.model_dump()["count"] == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("image.qualty=80", "image.qualty is not a setting"),
        (
            "source.kind='coc'",
            "source: Input tag 'coc' found using 'kind' does not match any of the expected tags: 'coco'",
        ),
        ("source.count=0", "source.synthetic.count: Input should be greater than or equal to 1, got '0'"),
        ("samples_per_shard=many", "samples_per_shard: Input should be a valid integer"),
        ("annotators.3.kind='color'", "must number one of 1 entries from 0, got '3'"),
        ("nothing", "--set must be table.key=value, got 'nothing'"),
        ("name.inner=1", "must name a table, got name which is a value"),
        ("image.size_pixels=100", "size_pixels"),
    ],
)
def test_a_wrong_override_is_one_clear_line(small: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(small, [override], PrepareConfig)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml must be a configuration file, got none; see configs/"):
        load_config(tmp_path / "nowhere.toml", [], PrepareConfig)


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = \n")
    with pytest.raises(ConfigError, match=r"broken\.toml must be TOML, got .*line 1"):
        load_config(path, [], PrepareConfig)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.write_text('name = "x"\n')
    with pytest.raises(ConfigError, match=r"source is missing; annotators is missing"):
        load_config(path, [], PrepareConfig)


def test_a_byte_order_mark_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b'\xef\xbb\xbfname = "x"\nannotators = []\n[source]\nkind = "synthetic"\n')
    assert load_config(tmp_path / "x.toml", (), PrepareConfig).name == "x"


@pytest.mark.parametrize("kind", ["folder", "webdataset", "laion", "coco", "coco_stuff"])
def test_annotated_persons_are_drawn_only_where_a_source_has_them(tmp_path: Path, kind: str) -> None:
    annotators = [{"kind": "keypose", "from": "annotations"}]
    tables = {"name": "x", "source": {"kind": kind, "root": str(tmp_path)}, "annotators": annotators}
    with pytest.raises(
        ConfigError, match='keypose from = "annotations" must have a source with annotated persons, got '
    ):
        refuse_missing_keypoints(check_config(tables, "x", PrepareConfig))
    refuse_missing_keypoints(check_config(tables | {"annotators": []}, "x", PrepareConfig))
    refuse_missing_keypoints(check_config(tables | {"source": {"kind": "synthetic"}}, "x", PrepareConfig))
