"""What the rule against the internals of libraries finds, and what it lets pass."""

import pytest

from tests.foreign_internals import mentioned, own_private_names, private_names_of_libraries, words_of_errors

OWN = """
def _helper(): ...
class _Thing: ...
_LIMIT = 1
class Adapter(Module):
    def __init__(self, network):
        self._dtype = 1
        network._modules = {}
"""


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("torch.cpu._is_avx2_supported()", "torch.cpu._is_avx2_supported"),
        ("layer._forward_hooks.clear()", "layer._forward_hooks"),
        ("self._buffers", "self._buffers"),
        ("network._modules", "network._modules"),
        ("from numpy._core.multiarray import scalar", "numpy._core.multiarray.scalar"),
        ("from torchvision.models import _utils", "torchvision.models._utils"),
        ("import torch._dynamo", "torch._dynamo"),
        ("getattr(layer, '_forward_hooks')", "_forward_hooks"),
        ("monkeypatch.setattr(request, '_opener', None)", "_opener"),
        ("monkeypatch.setattr('urllib.request._opener', None)", "urllib.request._opener"),
        ("torch._helper()", "torch._helper"),  # a name of ours does not make it ours
    ],
)
def test_a_private_name_of_a_library_is_found(line: str, name: str) -> None:
    source = f"import torch\nfrom urllib import request\n{line}\n"
    assert private_names_of_libraries(source, own_private_names([OWN])) == [name]


@pytest.mark.parametrize(
    "line",
    [
        "annotator._dtype",
        "self._dtype",
        "from stages.fetch import _helper",
        "module._helper()",
        "os._exit(1)",
        "value.__reduce__()",
        "for _ in torch.arange(3): pass",
        "setattr(layer, '_dtype', 1)",
    ],
)
def test_our_own_names_and_documented_ones_pass(line: str) -> None:
    source = f"import os\nimport torch\nfrom stages import fetch as module\n{line}\n"
    assert private_names_of_libraries(source, own_private_names([OWN])) == []


@pytest.mark.parametrize(
    "line",
    [
        "'truncated' in str(broken)",
        "str(broken) == 'Field required'",
        "str(broken).startswith('CUDA')",
        "str(broken).splitlines()",
        "str(broken).partition('. ')",
        "str(error).lower()",
        "broken.args[0].endswith('!')",
    ],
)
def test_a_look_at_the_words_of_an_error_is_found(line: str) -> None:
    assert words_of_errors(f"try: run()\nexcept OSError as broken:\n    {line}\n") == [line]


@pytest.mark.parametrize(
    "line",
    [
        "f'got {broken}'",
        "' '.join(str(broken).split())[:200]",
        "str(broken).strip().partition('\\n')[0]",
        "str(key) == 'a'",
    ],
)
def test_words_that_are_handed_on_pass(line: str) -> None:
    assert words_of_errors(f"try: run()\nexcept OSError as broken:\n    {line}\n") == []


def test_names_are_mentioned_by_use_by_import_and_as_text() -> None:
    source = "from timm.layers import Attention\npath / '.mim'\nImage.OPEN['PNG'][1]\n"
    assert mentioned(source) >= {"timm.layers.Attention", ".mim", "Image.OPEN"}
