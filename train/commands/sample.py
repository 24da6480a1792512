"""`condset sample PROMPT --adapter RUN --condition FILE --out DIR`: pictures from a trained adapter, or from several.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import DeviceName
from pipeline.commands.progress import passing_bar
from pipeline.commands.say import say
from stages.hardware.precision import Dtype
from train.commands.local import local
from train.commands.sampler_options import DEFAULT, ActiveShare, Base, BaseConfig, Guidance, Seed, Steps, Variant
from train.sampling.settings import SamplerSettings


def sample(
    prompt: Annotated[str, typer.Argument(help="What the pictures should show.", show_default=False)],
    out: Annotated[
        Path, typer.Option(callback=local, help="Directory for the pictures, which are named by their seeds.")
    ],
    adapter: Annotated[
        list[Path] | None,
        typer.Option(
            callback=local,
            help="Directory of a run or a diffusers adapter, or a .pth or .safetensors file; may be repeated.",
        ),
    ] = None,
    condition: Annotated[
        list[Path] | None,
        typer.Option(callback=local, help="Picture that an adapter follows; one for each adapter, all of one size."),
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(help="Weight of each adapter, in the order of the adapters.", show_default="1")
    ] = None,
    condition_kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="sketch|depth|...",
            help="Kind of each condition, needed if an adapter's file does not say what it was trained on.",
        ),
    ] = None,
    base: Base = None,
    variant: Variant = None,
    base_config: BaseConfig = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Size of the pictures, if there is no adapter; with one it is the size of its condition.",
        ),
    ] = None,
    negative: Annotated[str, typer.Option(help="What the pictures should not show.")] = "",
    count: Annotated[int, typer.Option(min=1, help="Number of pictures to draw.")] = 1,
    seed: Seed = DEFAULT.seed,
    steps: Steps = DEFAULT.steps,
    guidance: Guidance = DEFAULT.guidance,
    active_share: ActiveShare = DEFAULT.active_share,
    device: Annotated[DeviceName, typer.Option(help="Device that the networks run on.")] = DeviceName.AUTO,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the networks.")] = "auto",
) -> None:
    """Draw pictures that follow a prompt and the conditions that adapters are shown."""
    from train.sampling.controls import pair_controls
    from train.sampling.pictures import SampleJob, parse_size
    from train.sampling.pictures import sample as draw

    job = SampleJob(
        prompt=prompt,
        out=out,
        controls=pair_controls(adapter or [], condition or [], weight or [], condition_kind or []),
        base=base,
        variant=variant,
        base_config=base_config,
        size_pixels=None if size is None else parse_size(size),
        negative=negative,
        sampler=SamplerSettings(steps, guidance, active_share, seed),
        count=count,
        device=device.value,
        dtype=dtype,
    )
    with passing_bar() as bar:
        task = bar.add_task("drawing", total=count * steps)
        drawn = draw(job, say, lambda: bar.advance(task))
    first, last = drawn.pictures[0], drawn.pictures[-1]
    pictures = f"{first} is drawn" if first == last else f"{first} to {last.name} are drawn"
    print(f"{pictures}; {drawn.sheet} shows them side by side")
