"""Publishing a data set on a Hugging Face hub: the part of `condset push` that knows data sets."""

from pipeline.commands.interruption import resumable
from pipeline.commands.say import say


def push_dataset(dataset: str, repository: str, private: bool) -> str:
    """Upload a data set, or go on with it; returns its address."""
    from huggingface_hub import HfApi

    from pipeline.dataset.storage import Directory
    from pipeline.publish.push import push

    with resumable("what is uploaded stays"):
        return push(Directory(dataset), repository, private, HfApi(library_name="condset"), say)
