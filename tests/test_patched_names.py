"""What the rule against patching our own modules finds, and what it lets pass."""

import pytest

from tests.patched_names import patched_names


@pytest.mark.parametrize(
    "patch",
    [
        "monkeypatch.setattr('stages.fetch.ATTEMPTS', 0)",
        "monkeypatch.setattr(f'{module}.ATTEMPTS', 0)",
        "monkeypatch.setattr(fetching, 'ATTEMPTS', 0)",
        "monkeypatch.setattr(pipeline.run, 'prepare', None)",
        "monkeypatch.setattr(Directory, 'open', None)",
        "context.delattr(Directory.open, '__doc__')",
        "monkeypatch.setitem(MODELS, 'small', None)",
        "setattr(fetching, 'ATTEMPTS', 0)",
        "fetching.ATTEMPTS = 0",
        "fetching.ATTEMPTS += 1",
        "MODELS['small'] = None",
        "del MODELS['small']",
    ],
)
def test_a_patch_of_ours_is_found_in_code_and_in_programs_within_it(patch: str) -> None:
    imports = "import pipeline.run\nfrom pipeline.dataset.storage import Directory\n"
    imports += "from stages import fetch as fetching\nfrom stages.weights.catalogue import MODELS\n"
    assert patched_names(imports + patch.replace('"', "'")) == [patch]
    assert patched_names(f'PROGRAM = """\n{imports}{patch}\nprint({{}})\n"""') == [patch]


def test_libraries_and_what_a_test_has_made_may_be_patched() -> None:
    source = """
import torch
from stages.records import Reason
from tests.clock import Clock
monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
monkeypatch.setattr("torch.cuda.utilization", lambda: 75)
monkeypatch.setitem(sys.modules, "pynvml", None)
clock = Clock()
clock.seconds = 3
reason = Reason.DNS
"""
    assert patched_names(source) == []
