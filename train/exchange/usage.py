"""How to use an exported adapter, in its model card: a program that runs as it stands, or where a file goes.

It needs nothing of condset. A test runs the program.
"""

from train.exchange.architecture import AdapterKind
from train.exchange.t2i_layout import Layout

PIPELINES = {"full_xl": "StableDiffusionXLAdapterPipeline"}
"""diffusers' class for a kind, if it is not StableDiffusionAdapterPipeline."""

PROGRAM = """\
import torch
from diffusers import {pipeline}, T2IAdapter
from PIL import Image

device = "cuda" if torch.cuda.is_available() else "cpu"
adapter = T2IAdapter.from_pretrained(".")  # this directory, or its repository on the hub
pipeline = {pipeline}.from_pretrained("{base}", adapter=adapter)
pipeline.to(device)
condition = Image.open("condition.png").convert("{mode}"){threshold}
picture = pipeline("a caption", image=condition, adapter_conditioning_scale=1.0).images[0]
picture.save("picture.png")
"""

FOLDERS = """\
- ComfyUI: put `{name}` into `ComfyUI/models/controlnet/` and load it with the node Load ControlNet Model.
- The webui's extension sd-webui-controlnet: put it into `models/ControlNet/` of the webui.

Neither prepares the condition as condset does: give the finished picture, with the preprocessor none.
"""

TINY = """\
The file has the names of the released light adapters, but half their hidden channels. ComfyUI and the webui's extension
expect a quarter of a scale's channels there, and refuse it; condset loads it.
"""

FINE_TUNING = """\
To train it further, give condset `adapter.init = "{name}"` and `adapter.kind = "{kind}"`.
"""


def usage(layout: Layout, kind: AdapterKind, name: str, base: str, in_channels: int, threshold: float | None) -> str:
    """Say how to use an adapter that was exported as `name`; a threshold of [0, 1] if pictures must be binarised."""
    fine_tuning = FINE_TUNING.format(name=name, kind=kind)
    if layout == "t2i":
        return f"{TINY if kind == 'tiny' else FOLDERS.format(name=name)}\n{fine_tuning}"
    program = PROGRAM.format(
        pipeline=PIPELINES.get(kind, "StableDiffusionAdapterPipeline"),
        base=base,
        mode="L" if in_channels == 1 else "RGB",
        threshold="" if threshold is None else f".point(lambda value: 255 * (value > {255 * threshold:g}))",
    )
    return f"In the adapter's directory:\n\n```python\n{program}```\n\n{fine_tuning}"
