"""The safetensors reader against the reference reader, on small files with seeded damage."""

import concurrent.futures
import json
import os
import random
import struct

import pytest
from safetensors import SafetensorError, safe_open

CASES, BATCH = 320, 40


def small_file(rng):
    """A sound file with a few tensors, by hand, so that the header's every byte is ours to damage."""
    sizes = {"F32": 4, "BF16": 2, "F16": 2, "I64": 8, "U8": 1, "BOOL": 1}
    header, data = {}, b""
    if rng.random() < 0.7:
        header["__metadata__"] = {"format": "pt"}
    for number in range(rng.randint(1, 4)):
        dtype = rng.choice(list(sizes))
        shape = [rng.randint(1, 4) for _ in range(rng.randint(0, 3))]
        elements = 1
        for dimension in shape:
            elements *= dimension
        end = len(data) + elements * sizes[dtype]
        header[f"model.layers.{number}.w"] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), end]}
        data += bytes(rng.randrange(64) for _ in range(end - len(data)))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)), text, data


def damage(rng, size, text, data):
    """One or two of the things that happen to files."""
    text = bytearray(text)
    for _ in range(rng.choice([1, 1, 2])):
        kind = rng.randrange(8)
        if kind <= 1:
            text[rng.randrange(len(text))] = rng.randrange(256)
        elif kind == 2:  # a letter for a letter: in a name it is harmless
            text[rng.choice([i for i, c in enumerate(text) if chr(c).isalpha()] or [0])] = rng.randrange(97, 123)
        elif kind == 3:  # another digit, bracket or quote in place of one: damage that is still near JSON
            places = [i for i, c in enumerate(text) if chr(c) in '0123456789[]{}",:']
            if places:
                text[rng.choice(places)] = ord(rng.choice('0123456789[]{}",:-. e'))
        elif kind == 4:
            size = struct.pack("<Q", max(0, len(text) + rng.choice([-8, -1, 1, 8, 2**20, 2**40, 2**62])))
        elif kind == 5:
            data = data[:rng.randrange(len(data) + 1)]
        elif kind == 6:
            data += bytes(rng.randint(1, 9))
        else:
            at = rng.randrange(len(text))
            del text[at:at + rng.randint(1, 8)]
            if rng.random() < 0.5:
                size = struct.pack("<Q", len(text))
            if not text:
                text = bytearray(b"{}")
    whole = size + bytes(text) + data
    return whole[:rng.randrange(len(whole))] if rng.random() < 0.05 else whole


def reference_accepts(path):
    try:
        with safe_open(path, framework="np") as opened:
            list(opened.keys())
        return True
    except (SafetensorError, OSError, ValueError, OverflowError):
        return False


def judge(run, path):
    """What is wrong with how suture took the file, or None; and whether the reference and suture accepted it."""
    done, expected = run("check", path, path), reference_accepts(path)
    if done.returncode not in (0, 1, 2):
        return f"exit {done.returncode}\n{done.stderr}", expected, False
    accepted = done.returncode != 2
    if accepted and not expected:
        return "accepted, but the reference refuses it", expected, accepted
    if not accepted and len(done.stderr.splitlines()) != 1:
        return f"not one line on stderr:\n{done.stderr}", expected, accepted
    return None, expected, accepted


@pytest.mark.parametrize("batch", range(CASES // BATCH))
def test_damaged_files(run, tmp_path, batch):
    paths = []
    for case in range(batch * BATCH, (batch + 1) * BATCH):
        rng = random.Random(case)
        parts = small_file(rng)
        paths.append(tmp_path / f"case-{case}.safetensors")
        paths[-1].write_bytes(b"".join(parts) if case % 10 == 0 else damage(rng, *parts))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda path: judge(run, path), paths))
    wrong = [f"{path.name}: {fault}" for path, (fault, _, _) in zip(paths, verdicts) if fault]
    assert not wrong, "\n".join(wrong)
    # Sound files are accepted, and so is most of the damage that the reference does not mind.
    assert all(accepted for path, (_, _, accepted) in list(zip(paths, verdicts))[::10])
    by_reference = sum(expected for _, expected, _ in verdicts)
    assert sum(accepted for _, _, accepted in verdicts) >= 0.8 * by_reference
