"""What `kind` may say in a configuration: two literal tables, name to class. Nothing registers itself on import."""

from typing import TYPE_CHECKING, Annotated, TypeAlias, Union

from pydantic import Field

from stages.annotators.color import ColorConfig
from stages.annotators.segmentation import SegmentationConfig
from stages.annotators.protocol import AnnotatorConfig
#from stages.annotators.sketch import SketchConfig
from stages.sources.coco import CocoSource
from stages.sources.coco_stuff import CocoStuffSource
from stages.sources.protocol import Source
from stages.sources.synthetic import SyntheticSource

SOURCES = {
    "coco": CocoSource,
    "coco_stuff": CocoStuffSource,
    "synthetic": SyntheticSource,
}

ANNOTATORS = {
    #    "sketch": SketchConfig,
    "color": ColorConfig,
    "segmentation": SegmentationConfig,
}

if TYPE_CHECKING:
    AnySource: TypeAlias = Source
    AnyAnnotator: TypeAlias = AnnotatorConfig
else:
    AnySource = Annotated[Union[tuple(SOURCES.values())], Field(discriminator="kind")]
    AnyAnnotator = Annotated[Union[tuple(ANNOTATORS.values())], Field(discriminator="kind")]
