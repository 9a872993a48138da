"""Copies of the peers that choose kernels by cpuid and have no switch: each cpuid instruction of their libraries becomes "int3; nop", which cap.c answers."""
import importlib.util
import os
import pathlib
import re
import shutil
import struct
import subprocess

LIBRARIES = {"onnxruntime": "capi/onnxruntime_pybind11_state*.so", "openvino": "libs/libopenvino*.so*"}
SKIPPED = re.compile("gpu|npu|frontend|hetero|auto|_c\\.so")  # nothing of them runs


def loaded_at(elf):
    """(address, offset, size) of each loaded segment."""
    start, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    for i in range(count):
        kind, _, offset, address, _, filled = struct.unpack_from("<IIQQQQ", elf, start + i * size)
        if kind == 1:
            yield address, offset, filled


def patched(library):
    """Its bytes, with every cpuid replaced, and how many there were."""
    elf, n = bytearray(library.read_bytes()), 0
    segments = list(loaded_at(elf))
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(library)], check=True, capture_output=True, text=True).stdout
    for m in re.finditer(r"^\s*([0-9a-f]+):\s+cpuid\s*$", text, re.M):
        address = int(m[1], 16)
        at = next(address - a + o for a, o, size in segments if a <= address < a + size)
        assert elf[at:at + 2] == b"\x0f\xa2", library
        elf[at:at + 2], n = b"\xcc\x90", n + 1
    return elf, n


def prepare(cache):
    """Makes the copies once; the environment that uses them."""
    folder, answers = cache / "capped", cache / "cap.so"
    source = pathlib.Path(__file__).with_name("cap.c")
    if not answers.exists() or answers.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(answers), str(source)], check=True)
    for package, pattern in LIBRARIES.items():
        home = pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])
        mark, version = folder / f"{package}.version", max(str(p.stat().st_mtime_ns) for p in home.glob(pattern))
        if mark.exists() and mark.read_text() == version:
            continue
        shutil.rmtree(folder / package, ignore_errors=True)
        shutil.copytree(home, folder / package, copy_function=os.link, symlinks=True)
        for library in sorted(home.glob(pattern)):
            if SKIPPED.search(library.name) or library.is_symlink():
                continue
            elf, n = patched(library)
            if n:
                copy = folder / package / library.relative_to(home)
                copy.unlink()  # the original has another name for the same file
                copy.write_bytes(elf)
        mark.write_text(version)
    return {"PYTHONPATH": str(folder), "LD_PRELOAD": str(answers)}
