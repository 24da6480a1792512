"""A repository of a Hugging Face hub to upload into, and what the hub says when it refuses, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from stages.errors import ConfigError
from stages.weights.hub import hub_failures

if TYPE_CHECKING:
    from huggingface_hub import HfApi

GO_ON = "push again: what is there already is not sent twice"
ADVICE = {
    401: "log in with `hf auth login`, or set HF_TOKEN to a token that may write",
    403: "use a token that may write there, or another repository",
    404: "check the name, and that the token may see the repository",
}
"""What to do about an HTTP status of the hub."""


def make_repository(api: "HfApi", repository: str, private: bool, kind: Literal["dataset", "model"]) -> str:
    """Make a repository unless it is there; returns its name. ConfigError if it has to be private and is public."""
    made = api.create_repo(repository, private=private or None, repo_type=kind, exist_ok=True)
    if private and not api.repo_info(made.repo_id, repo_type=kind).private:
        raise ConfigError(
            f"repository {made.repo_id} must be private, got a public one that is there already; "
            "make it private on the hub, or leave out --private"
        )
    return made.repo_id


@contextmanager
def hub_errors(repository: str, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a ConfigError that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"repository must be <user>/<name>, got {repository!r} ({error})") from None
    except HfHubHTTPError as error:
        what = f"HTTP {error.response.status_code}"
        if error.server_message:
            what += f" ({' '.join(error.server_message.split())})"
        advice = ADVICE.get(error.response.status_code, GO_ON)
        raise ConfigError(f"push to {repository} must be accepted by {endpoint}, got {what}; {advice}") from None
    except hub_failures() as error:  # no connection, a timeout
        what = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"push to {repository} must reach {endpoint}, got {what}; fix that and {GO_ON}") from None
