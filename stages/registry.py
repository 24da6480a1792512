"""What `kind` may say in a configuration: two literal tables, name to class. Nothing registers itself on import."""

from typing import TYPE_CHECKING, Annotated, TypeAlias, Union

from pydantic import Field

from stages.annotators.canny import CannyConfig
from stages.annotators.color import ColorConfig
from stages.annotators.depth.annotator import DepthConfig
from stages.annotators.keypose.annotator import KeyposeConfig
from stages.annotators.latents import LatentsConfig
from stages.annotators.protocol import AnnotatorConfig
from stages.annotators.segmentation.annotator import SegmentationConfig
from stages.annotators.sketch.annotator import SketchConfig
from stages.sources.coco.source import CocoSource
from stages.sources.coco.stuff import CocoStuffSource
from stages.sources.folder.source import FolderSource
from stages.sources.huggingface import HuggingFaceSource
from stages.sources.laion.source import LaionSource
from stages.sources.protocol import Source
from stages.sources.synthetic.source import SyntheticSource
from stages.sources.webdataset.source import WebDatasetSource

SOURCES = {
    "coco": CocoSource,
    "coco_stuff": CocoStuffSource,
    "laion": LaionSource,
    "webdataset": WebDatasetSource,
    "huggingface": HuggingFaceSource,
    "folder": FolderSource,
    "synthetic": SyntheticSource,
}

ANNOTATORS = {
    "sketch": SketchConfig,
    "depth": DepthConfig,
    "keypose": KeyposeConfig,
    "color": ColorConfig,
    "segmentation": SegmentationConfig,
    "canny": CannyConfig,
    "latents": LatentsConfig,
}

if TYPE_CHECKING:
    AnySource: TypeAlias = Source
    AnyAnnotator: TypeAlias = AnnotatorConfig
else:
    AnySource = Annotated[Union[tuple(SOURCES.values())], Field(discriminator="kind")]
    AnyAnnotator = Annotated[Union[tuple(ANNOTATORS.values())], Field(discriminator="kind")]
