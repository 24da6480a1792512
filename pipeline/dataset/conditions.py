"""The conditions in dataset.json: each one written out whole, with what made it, and read back without its code.

annotator's settings, weights found ──> ConditionEntry ──> dataset.json ──> ConditionEntry
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from stages.annotators.condition import ConditionSpec, Exact, Within
from stages.annotators.protocol import AnnotatorConfig
from stages.weights.catalogue import MODELS
from stages.weights.store import WeightsFile


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A network whose output is in the data set."""

    name: str
    file: str
    sha256: str
    license: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Whose code it was; another version of it goes on with a warning."""

    distribution: str
    """The installed package that the annotator came from."""
    version: str


@dataclass(frozen=True, slots=True)
class ConditionEntry:
    """One condition of the data set, and what made it."""

    spec: ConditionSpec
    annotator: str
    """The `kind` of its `[[annotators]]` table."""
    algorithm_version: int
    models: tuple[ModelUse, ...]
    provenance: Provenance

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def extensions(self) -> tuple[str, ...]:
        return self.spec.extensions

    def to_fields(self) -> dict[str, Any]:
        """Return the entry as plain values: the fields of its spec beside those of its making."""
        fields = asdict(self)
        spec: dict[str, Any] = fields.pop("spec")
        match self.spec.tolerance:
            case Exact():
                spec["tolerance"] = {"kind": "exact"}
            case Within(levels, fraction):
                spec["tolerance"] = {"kind": "within", "levels": levels, "fraction": fraction}
        return spec | fields

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "ConditionEntry":
        """Read an entry back; KeyError, TypeError or ValueError if it is none."""
        own = {name: value for name, value in fields.items() if name in _OWN}
        spec = {name: value for name, value in fields.items() if name not in _OWN}
        tolerance = dict(spec.pop("tolerance"))
        of_kind = {"exact": Exact, "within": Within}[tolerance.pop("kind")](**tolerance)
        read = _SPEC.validate_python(spec | {"tolerance": of_kind})
        models = tuple(ModelUse(**model) for model in own.pop("models"))
        entry = cls(spec=read, models=models, provenance=Provenance(**own.pop("provenance")), **own)
        there, again = (json.loads(json.dumps(each)) for each in (dict(fields), entry.to_fields()))
        if there != again:  # pydantic leaves out what a dataclass does not have, and takes "3" for 3
            unlike = sorted(name for name in there.keys() | again.keys() if there.get(name) != again.get(name))
            raise ValueError(
                f"a condition's {unlike[0]} must be {again.get(unlike[0])!r}, got {there.get(unlike[0])!r}"
            )
        return entry


_SPEC = TypeAdapter(ConditionSpec)
_OWN = {"annotator", "algorithm_version", "models", "provenance"}


def describe_condition(annotator: AnnotatorConfig, found: Mapping[str, WeightsFile]) -> ConditionEntry:
    """Write down what an annotator makes, and with which weights."""
    models = tuple(
        ModelUse(
            name=name,
            file=found[name].path.name,
            sha256=found[name].sha256,
            license=MODELS[name].licence if own_file is None else "the user's own file",
        )
        for name, own_file in annotator.models
    )
    provenance = Provenance("condset", version("condset"))
    return ConditionEntry(annotator.spec, annotator.kind, annotator.algorithm_version, models, provenance)
