"""Memory that may still be taken, as machine and control groups limit it."""

import pytest
from sac_learner.learning.memory import available_memory_bytes

MACHINE = 8_192_000_000


@pytest.fixture
def system(tmp_path):
    write(tmp_path / "proc/meminfo", "MemTotal:  16000000 kB\nMemFree:  1000 kB\nMemAvailable:  8000000 kB\n")
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def limit(group, most, used, inactive_file, names=("memory.max", "memory.current", "inactive_file")):
    write(group / names[0], f"{most}\n")
    write(group / names[1], f"{used}\n")
    write(group / "memory.stat", f"anon 7\n{names[2]} {inactive_file}\n")


def test_this_machine_says_something_sensible():
    assert 10_000_000 < available_memory_bytes() < 2**63


def test_without_a_control_group_the_machine_counts(system):
    assert available_memory_bytes(system) == MACHINE


def test_files_that_the_kernel_gives_back_count_as_available(system):
    write(system / "proc/self/cgroup", "0::/robot\n")
    limit(system / "sys/fs/cgroup/robot", 5_000_000, 4_500_000, 1_500_000)
    assert available_memory_bytes(system) == 2_000_000
    limit(system / "sys/fs/cgroup/robot", 5_000_000, 6_000_000, 0)
    assert available_memory_bytes(system) == 0
    limit(system / "sys/fs/cgroup/robot", "max", 6_000_000, 0)
    assert available_memory_bytes(system) == MACHINE


def test_the_tightest_group_around_it_counts(system):
    write(system / "proc/self/cgroup", "0::/user/session/robot\n")
    top = system / "sys/fs/cgroup"
    limit(top / "user/session/robot", "max", 1_000, 0)
    limit(top / "user/session", 9_000_000, 1_000_000, 0)
    limit(top / "user", 4_000_000, 1_000_000, 0)
    assert available_memory_bytes(system) == 3_000_000


def test_a_container_that_sees_only_its_own_group_as_the_top(system):
    write(system / "proc/self/cgroup", "0::/docker/abc\n")
    limit(system / "sys/fs/cgroup", 5_000_000, 2_000_000, 0)
    assert available_memory_bytes(system) == 3_000_000


def test_control_groups_of_version_1(system):
    write(system / "proc/self/cgroup", "5:cpu:/other\n4:memory:/robot\n0::/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    limit(system / "sys/fs/cgroup/memory/robot", 5_000_000, 3_000_000, 500_000, names)
    limit(system / "sys/fs/cgroup/memory", 2**63 - 4096, 3_000_000, 0, names)
    assert available_memory_bytes(system) == 2_500_000
