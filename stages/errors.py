"""Every error that condset raises on purpose, in one tree.

    CondsetError
    ├── ConfigError        a setting is wrong
    ├── SourceError        an image-caption collection cannot be listed or fetched
    ├── WeightsError       a network's weights are missing or are not the ones they claim to be
    ├── StorageError       a disk, a bucket or the way to it fails
    ├── WorkerError        a worker failed for a reason that no retry fixes
    ├── DirectoryInUse     another run writes to the output directory
    ├── ShardConflict      the output directory holds another data set
    ├── ShardCorrupt       a committed shard is not what its record says
    ├── TooManyRejected    so many samples were lost that an outage is likelier than bad data
    ├── ManifestError      dataset.json, shards.jsonl or the index cannot be used
    ├── CheckpointError    a training checkpoint cannot be used
    ├── NonFiniteLoss      training diverged
    └── NonFinitePicture   a drawn picture is not made of numbers

A message reads `<where> <what> must be <expected>, got <value>; <what to do>` and fits on one line: the command prints
it without a traceback and exits with 2. A sample that cannot be used is no error: it is a `Rejection`.
"""


class CondsetError(Exception):
    """Base of everything that a user can fix; any other exception out of condset is a bug."""


class ConfigError(CondsetError):
    """A configuration file, an option or a combination of them cannot be used."""


class SourceError(CondsetError):
    """An image-caption collection cannot be listed or fetched: a file is missing or has another layout."""


class WeightsError(CondsetError):
    """A network's weights are missing, damaged or of another network."""


class StorageError(CondsetError):
    """A disk or a bucket cannot be reached, refuses, or has no room: nothing is known to be wrong with the data."""


class WorkerError(CondsetError):
    """A worker failed for a reason that running it again does not fix."""


class DirectoryInUse(CondsetError):
    """Another run writes to the output directory, or has taken it over."""


class ShardConflict(CondsetError):
    """The output directory holds a data set made from other inputs."""


class ShardCorrupt(CondsetError):
    """A committed shard is not what its record says."""


class TooManyRejected(CondsetError):
    """More samples of a shard were lost to outages than `max_rejected_fraction` allows."""


class ManifestError(CondsetError):
    """A file that describes the data set as a whole is missing or cannot be read."""


class CheckpointError(CondsetError):
    """A training checkpoint is missing, incomplete or of another run."""


class NonFiniteLoss(CondsetError):
    """The training loss is not a finite number any more."""


class NonFinitePicture(CondsetError):
    """What a base model drew has infinite or undefined pixels, which no picture file can hold."""
