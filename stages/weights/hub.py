"""The Hugging Face hub as huggingface_hub shows it: whether it can be reached, what is an id on it, what goes wrong.

Two of its names are not documented and are used here alone (written against huggingface_hub 2.0 to 2.4): the base class
of its HTTP client's errors, which is that of httpx or of httpx2 by its version, and the check of an id.
"""

from stages.web.download import why_unreachable


def hub_failures() -> tuple[type[Exception], ...]:
    """Return what a download from the hub, or an upload to it, raises besides a refused id."""
    from huggingface_hub.errors import HTTPError, RevisionResolutionError  # type: ignore[attr-defined]

    # hf_xet, the hub's transfer library, raises RuntimeError.
    return HTTPError, OSError, RuntimeError, RevisionResolutionError


def is_hub_id(text: str) -> bool:
    """Say whether a repository on the hub can have this name, such as owner/name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def why_hub_unreachable(repository: str, filename: str, revision: str | None = None) -> str | None:
    """Say why this file cannot be downloaded now, or None; HF_ENDPOINT and HF_HUB_OFFLINE count.

    Asked first because huggingface_hub takes half a minute of retries to find out that there is no network.
    """
    from huggingface_hub import constants, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return why_unreachable(hf_hub_url(repository, filename, revision=revision))
