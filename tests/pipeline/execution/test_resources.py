import pytest

from pipeline.config import ExecutionConfig
from pipeline.execution.resources import Resources, allocate
from stages.errors import ConfigError

LAPTOP = Resources(cpus=2, gpus=0, node_cpus=2)
GPU_NODE = Resources(cpus=96, gpus=8, node_cpus=96)


def test_a_laptop_gets_one_worker_on_all_cores_and_room_for_loading() -> None:
    layout = allocate(ExecutionConfig(), LAPTOP, inline=False)
    assert (layout.device, layout.workers, layout.threads_per_worker, layout.batch_size) == ("cpu", 1, 2, 1)
    assert layout.workers * layout.cpus_per_worker + layout.cpus_per_load <= 2


def test_a_gpu_node_gets_a_worker_for_each_gpu_and_half_of_the_cpus_for_loading() -> None:
    layout = allocate(ExecutionConfig(), GPU_NODE, inline=False)
    assert (layout.device, layout.workers, layout.gpus_per_worker, layout.batch_size) == ("cuda", 8, 1.0, 16)
    assert layout.cpus_per_worker == 6


def test_inline_and_ray_get_the_same_numerics_by_default() -> None:
    inline, ray = (allocate(ExecutionConfig(device="cpu"), LAPTOP, inline=inline) for inline in (True, False))
    assert (inline.device, inline.threads_per_worker, inline.batch_size) == (
        ray.device,
        ray.threads_per_worker,
        ray.batch_size,
    )


@pytest.mark.parametrize("workers", range(1, 20))
def test_default_shares_always_leave_room_for_loading(workers: int) -> None:
    has = Resources(cpus=16, gpus=0, node_cpus=16)
    layout = allocate(ExecutionConfig(workers=workers), has, inline=False)
    assert layout.workers * layout.cpus_per_worker + layout.cpus_per_load <= has.cpus


@pytest.mark.parametrize(("nodes", "cpus"), [(2, 2), (2, 4), (4, 8), (8, 16), (3, 40)])
def test_default_shares_leave_room_for_loading_on_one_node(nodes: int, cpus: int) -> None:
    """What is left on several nodes together is no place for a task of Ray: it would wait for ever."""
    layout = allocate(ExecutionConfig(), Resources(cpus=nodes * cpus, gpus=0, node_cpus=cpus), inline=False)
    workers_of_a_node = int(cpus // layout.cpus_per_worker)
    left = cpus - min(workers_of_a_node, layout.workers // nodes) * layout.cpus_per_worker
    assert left >= layout.cpus_per_load


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        (
            ExecutionConfig(device="cuda"),
            "workers with 1 GPU each must find 1 GPUs in the cluster, got 0; use fewer --workers",
        ),
        (
            ExecutionConfig(workers=2, cpus_per_worker=1),
            "2 workers with 1 CPUs each and 0.5 for loading must find 2.5 CPUs",
        ),
        (ExecutionConfig(cpus_per_worker=1.8), "1 workers with 1.8 CPUs each and 0.5 for loading must find 2.3 CPUs"),
    ],
)
def test_what_the_cluster_does_not_have_is_an_error_at_once(execution: ExecutionConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        allocate(execution, LAPTOP, inline=False)


def test_a_worker_larger_than_a_node_is_an_error() -> None:
    two_nodes = Resources(cpus=8, gpus=0, node_cpus=4)
    with pytest.raises(ConfigError, match=r"cpus_per_worker must fit on one node, got 6 with 4 CPUs on the smallest"):
        allocate(ExecutionConfig(workers=1, cpus_per_worker=6), two_nodes, inline=False)


def test_several_inline_workers_are_an_error() -> None:
    with pytest.raises(
        ConfigError, match=r"execution.workers must be 1 with the inline executor, got 2; use --executor ray"
    ):
        allocate(ExecutionConfig(workers=2), LAPTOP, inline=True)
