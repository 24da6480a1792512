"""`condset upgrade`: a data set of format 1, with its layers, becomes what `prepare` makes of its configuration now.

    index.parquet ─────────────> index/0000000.parquet, index.json
    shards/0000000.json ───────> records/0000000.json               the layers' as well
    records, configuration ────> derived files, the layers' dataset.json, the data set's own
    and only then what format 1 had is removed: shards/*.json, and index.parquet last

No tar is read or touched. Until the data set's dataset.json is replaced, all of format 1 is there, so a kill at any
instant leaves what another `condset upgrade` finishes. What was unsound before is unsound after, and no worse.
"""

from collections.abc import Callable, Iterator
from functools import partial

from pipeline.dataset.fingerprint import fingerprint, listing_inputs
from pipeline.dataset.index import INDEX_FILE, PARTS, Index, open_index
from pipeline.dataset.ledger import remove_partials
from pipeline.dataset.listing import write_listed
from pipeline.dataset.manifest import (
    FORMER_INDEX,
    LAYERS,
    MANIFEST_FILE,
    Manifest,
    layer_names,
    read_manifest,
    write_manifest,
)
from pipeline.dataset.storage import Directory
from pipeline.run import describe_dataset, seal
from pipeline.upgrade.description import config_of, describe_base, describe_layer
from pipeline.upgrade.former import (
    FormerIndex,
    FormerManifest,
    former_batches,
    former_shards,
    read_former_index,
    read_former_manifest,
)
from pipeline.upgrade.records import Progress, RecordMove, move_records, remove_former_records
from pipeline.writers.lease import writing
from stages.errors import ManifestError


def upgrade(directory: Directory, say: Callable[[str], None], progress: Progress, take_over: bool = False) -> bool:
    """Bring a data set and its layers over to the present format; returns whether there was anything to do.

    `say` is given sentences for the user. Raises ManifestError if there is no data set of format 1 or something in it
    does not belong together, ShardCorrupt if a record cannot be read; format 1 is whole then as before. DirectoryInUse
    if another run writes to it.
    """
    if not directory.exists(FORMER_INDEX) and not directory.exists(MANIFEST_FILE):
        read_manifest(directory)  # says that there is none
    with writing(directory, say, take_over):
        return _upgrade(directory, say, progress)


def _upgrade(directory: Directory, say: Callable[[str], None], progress: Progress) -> bool:
    former = read_former_manifest(directory)
    if former is not None:
        _upgrade_all(directory, former, say, progress)
    elif directory.exists(FORMER_INDEX) and not directory.exists(MANIFEST_FILE):
        _upgrade_index_alone(directory, say)
    else:
        read_manifest(directory)
        _refuse_former_layers(directory)
    return _remove_former(directory, progress)


def _upgrade_all(directory: Directory, former: FormerManifest, say: Callable[[str], None], progress: Progress) -> None:
    """Write everything of the present format beside what is there, the data set's dataset.json last."""
    if "base" in former.inputs:
        raise ManifestError(
            f"{directory} must be a data set, got a layer of one; upgrade the data set, and its layers come along"
        )
    layers = list(_former_layers(directory, former))
    for home in (directory, *_homes_of_layers(directory)):
        remove_partials(home)
    manifest = describe_base(directory, former, _upgrade_index(directory, former, say))
    move_records(RecordMove(directory, former.fingerprint, manifest.fingerprint, base=None), progress)
    for home, layer in layers:
        described = describe_layer(home, layer, manifest.fingerprint)
        move_records(RecordMove(home, layer.fingerprint, described.fingerprint, directory), progress)
        _finish(home, described, layer.complete, lambda finished: None, say)
    _finish(directory, manifest, former.complete, partial(describe_dataset, directory), say)


def _homes_of_layers(directory: Directory) -> list[Directory]:
    return [directory / LAYERS / name for name in layer_names(directory)]


def _former_layers(directory: Directory, former: FormerManifest) -> Iterator[tuple[Directory, FormerManifest]]:
    """Yield the layers that have not been brought over before a kill.

    Raises ManifestError if one belongs to another data set, or has records and nothing that tells of what.
    """
    for home in _homes_of_layers(directory):
        layer = read_former_manifest(home)
        if layer is not None and layer.inputs.get("base") != former.fingerprint:
            raise ManifestError(
                f"{home / MANIFEST_FILE} must be a layer of {directory}, got one of another data set; remove it"
            )
        if layer is not None:
            yield home, layer
        elif former_shards(home) and not home.exists(MANIFEST_FILE):
            raise _untold(home)


def _refuse_former_layers(directory: Directory) -> None:
    """Raise ManifestError if a layer of format 1 lies below a data set of the present one, whose records are others."""
    for home in _homes_of_layers(directory):
        if read_former_manifest(home) is not None:
            raise ManifestError(
                f"{home / MANIFEST_FILE} must be upgraded along with {directory}, got one that came later; remove the "
                "layer, and add it again with --onto"
            )


def _untold(home: Directory) -> ManifestError:
    return ManifestError(
        f"{home / MANIFEST_FILE} must be there to tell what the records are of, got none; run the condset that made "
        "them once more, then upgrade"
    )


def _upgrade_index(directory: Directory, former: FormerManifest, say: Callable[[str], None]) -> Index:
    """Write the index in parts, unless that was done before a kill."""
    if directory.exists(INDEX_FILE):
        return open_index(directory)
    there, recorded = read_former_index(directory), former.inputs.get("index.sha256")
    if there.sha256 != recorded:
        raise ManifestError(f"{directory / FORMER_INDEX} must have sha256 {recorded}, got {there.sha256}; restore it")
    listed_by = fingerprint(listing_inputs(config_of(directory, former)))
    return _write_index(directory, there, listed_by, say)


def _upgrade_index_alone(directory: Directory, say: Callable[[str], None]) -> None:
    """Write the index in parts; the run that listed it ended before it had told in dataset.json of what."""
    if former_shards(directory):
        raise _untold(directory)
    directory.remove_partials()
    if not directory.exists(INDEX_FILE):
        there = read_former_index(directory)
        _write_index(directory, there, there.listed_by, say)


def _write_index(directory: Directory, there: FormerIndex, listed_by: str, say: Callable[[str], None]) -> Index:
    say(f"writing the index of {there.rows} candidates in parts")
    (directory / PARTS).remove_partials()
    return write_listed(directory, former_batches(directory), there.dropped, listed_by)


def _finish(
    home: Directory,
    manifest: Manifest,
    is_complete: bool,
    describe: Callable[[Manifest], None],
    say: Callable[[str], None],
) -> None:
    """Write the derived files and dataset.json: of what was not complete it says so again.

    Nor is something complete whose records do not account for every row: `condset verify` tells of it, which reads
    nothing of format 1.
    """
    if is_complete:
        try:
            seal(home, manifest, describe)
            return
        except ManifestError as error:
            say(f"warning: {error}")
    write_manifest(home, manifest)


def _remove_former(directory: Directory, progress: Progress) -> bool:
    """Remove what only format 1 had, the index at last; returns whether there was anything."""
    homes = [home for home in (directory, *_homes_of_layers(directory)) if home.exists(MANIFEST_FILE)]
    removed = sum(remove_former_records(home, progress) for home in homes)
    had_index = directory.exists(FORMER_INDEX)
    directory.remove(FORMER_INDEX)
    return bool(removed) or had_index
