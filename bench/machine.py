"""What a benchmark ran on, in words: figures mean nothing without it."""

import os
import platform
import re
import subprocess


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def matched(pattern, text, default="unknown"):
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else default


def file_system_of(path):
    lines = subprocess.run(["df", "--output=fstype", path], capture_output=True, text=True).stdout.split()
    return lines[-1] if lines else "unknown"


def describe(build, data):
    """The machine, the build in folder `build`, and the file system below folder `data`."""
    cache = read(build / "CMakeCache.txt")
    compiler = matched(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, "c++")
    memory = int(matched(r"^MemTotal:\s+(\d+) kB", read("/proc/meminfo"), "0"))
    processor = read("/proc/cpuinfo")
    return {
        "processor": matched(r"^model name\s*:(.*)$", processor, platform.machine()),
        "vector_extensions": next((name for name in ("avx512f", "avx2") if f" {name} " in processor), "none"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory * 1024,
        "file_system": file_system_of(data),
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": first_line([compiler, "--version"]),
        "libtorch": matched(r"libtorch_cpu.*\[v([0-9.]+)", cache),
    }


def in_words(machine):
    return (f"{machine['processor']}, {machine['cores']} cores, {machine['vector_extensions']}, "
            f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory, {machine['file_system']}, {machine['kernel']}, "
            f"{machine['compiler']}, LibTorch {machine['libtorch']}")
