"""What huggingface_hub does not document is still there, and its offline switch is obeyed."""

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from stages.weights.hub import hub_failures, is_hub_id, why_hub_unreachable
from tests.stages.library_changes import taken_from


def test_the_errors_of_the_hubs_http_client_are_among_its_failures() -> None:
    with taken_from("huggingface-hub", by="stages/weights/hub.py"):
        of_client, *_ = hub_failures()
        assert HfHubHTTPError.__bases__[0] is of_client


@pytest.mark.parametrize(("text", "is_one"), [("owner/name", True), ("name", True), ("a/b/c", False), ("-x/y", False)])
def test_an_id_on_the_hub_is_told_from_other_text(text: str, is_one: bool) -> None:
    with taken_from("huggingface-hub", by="stages/weights/hub.py"):
        assert is_hub_id(text) is is_one


def test_the_offline_switch_of_the_hub_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert why_hub_unreachable("owner/name", "file") == "HF_HUB_OFFLINE is set"
