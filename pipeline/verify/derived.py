"""Check the files that follow from the records: shards.jsonl, rejected.jsonl, the totals in dataset.json, the card.

    record, record, ... ──┬── line by line ──> shards.jsonl, rejected.jsonl
                          ├── keys ──────────> keys.npy
                          └── sums ──────────> totals ──> README.md

Two open files, sums and 16 bytes of each key are held, no records.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace

from pipeline.dataset.keys import KEYS_FILE, KeyCollector
from pipeline.dataset.manifest import REJECTED_FILE, SHARDS_FILE, Manifest, Totals, rejected_lines, shard_line
from pipeline.dataset.record import ShardRecord
from pipeline.dataset.storage import Directory
from pipeline.publish.card import CARD_FILE, render_card
from pipeline.verify.problem import REMAKE_MANIFEST, Problem
from stages.errors import ManifestError


class DerivedCheck:
    """Compares the derived files with the records; is told of each record, in order, and asked once at the end."""

    def __init__(self, directory: Directory, stack: ExitStack) -> None:
        """Open the files; `stack` closes them."""
        self._directory = directory
        self._lines = {name: _Lines(directory, name, stack) for name in (SHARDS_FILE, REJECTED_FILE)}
        self._shards = self._samples = self._tar_bytes = 0
        self._reasons: Counter[str] = Counter()
        self._keys = KeyCollector()

    def follow(self, record: ShardRecord) -> None:
        """Compare the next record's lines, and count."""
        self._shards += 1
        self._keys.add(record)
        self._samples += len(record.samples)
        self._tar_bytes += record.tar_bytes
        self._reasons.update(str(each.reason) for each in record.rejected)
        self._lines[SHARDS_FILE].expect(record.name, [shard_line(record)])
        self._lines[REJECTED_FILE].expect(record.name, rejected_lines(record))

    def problems(self, manifest: Manifest) -> Iterator[Problem]:
        """Yield what does not follow from the records; a file that is missing is none of these."""
        totals = Totals(
            rows=self._samples + self._reasons.total(),
            shards=self._shards,
            samples=self._samples,
            rejected=self._reasons.total(),
            rejected_by_reason=dict(sorted(self._reasons.items())),
            tar_bytes=self._tar_bytes,
        )
        expected, got = asdict(totals), asdict(manifest.totals)
        wrong = [f"{name} {value}, got {got[name]}" for name, value in expected.items() if got[name] != value]
        if wrong:
            what = f"dataset.json totals must be those of the records: {'; '.join(wrong)}; {REMAKE_MANIFEST}"
            yield Problem("", "", what)
        for name, lines in self._lines.items():
            if lines.differs():
                what = f"{name} must follow from the records, got other lines{lines.place()}; {REMAKE_MANIFEST}"
                yield Problem("", "", what)
        if self._directory.exists(KEYS_FILE) and self._directory.read(KEYS_FILE) != self._keys.content():
            what = f"{KEYS_FILE} must follow from the records, got other keys; {REMAKE_MANIFEST}"
            yield Problem("", "", what)
        with suppress(ManifestError):  # of a layer's dataset.json, which is reported with the layer
            yield from self._card_problems(replace(manifest, totals=totals))

    def _card_problems(self, manifest: Manifest) -> Iterator[Problem]:
        if not self._directory.exists(CARD_FILE):
            return
        card = render_card(self._directory, manifest).encode()
        if self._directory.read(CARD_FILE) != card:
            what = f"{CARD_FILE} must follow from dataset.json and the index, got another card; {REMAKE_MANIFEST}"
            yield Problem("", "", what)


class _Lines:
    """Reads a file of lines along with the lines that it should have."""

    def __init__(self, directory: Directory, name: str, stack: ExitStack) -> None:
        self._file = stack.enter_context(directory.open(name)) if directory.exists(name) else None
        self._differs_from = ""
        """The shard whose lines are the first that differ."""

    def expect(self, shard: str, lines: Iterable[bytes]) -> None:
        """Compare the next lines, which follow from this shard's record."""
        for line in lines:
            if self._file and not self._differs_from and self._file.read(len(line)) != line:
                self._differs_from = shard

    def differs(self) -> bool:
        """Whether any line differs, or there are more of them than expected."""
        return self._file is not None and bool(self._differs_from or self._file.read(1))

    def place(self) -> str:
        return f" from shard {self._differs_from} on" if self._differs_from else " behind the last shard's"
