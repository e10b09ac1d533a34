"""State dicts to and from Python: torch.save's files and safetensors' files, in both directions."""

import io
import itertools
import json
import random
import struct
import subprocess
import zipfile
from collections import OrderedDict

import pytest
import safetensors.torch
import torch

from conftest import SUTURE

PROBE = SUTURE.parent / "state_dict_probe"

DTYPES = [torch.bool, torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e8m0fnu,
          torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.int16, torch.uint16, torch.float16, torch.bfloat16,
          torch.int32, torch.uint32, torch.float32, torch.complex64, torch.float64, torch.int64, torch.uint64]
SHAPES = [(), (0,), (1,), (7,), (2, 0, 3), (3, 5), (1, 4, 1), (2, 3, 4, 5), (1, 1, 2, 1, 2, 1)]
NAMES = ["w", "a.b", "a b", "0", "17", "cpu", "storage", "Grüße", "重み", "🙂.w", "a/b", "a\\b", 'quote"', "'", "\t\n\r\b\f",
         "nul\0", "\x01\x1f\x7f\x80\x9f", "\u2028\u202e", "__metadata", "data_offsets", "{}", "x" * 300, "e\u0301", "\uffff", "\U0010ffff"]


def probe(*arguments):
    done = subprocess.run([PROBE, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*arguments):
    done = subprocess.run([PROBE, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def random_tensor(rng, dtype, shape):
    """Any bits at all, NaN and denormal numbers among them; booleans are 0 or 1."""
    count = 1
    for size in shape:
        count *= size
    width = torch.empty(0, dtype=dtype).element_size()
    values = [rng.randrange(2 if dtype == torch.bool else 256) for _ in range(count * width)]
    return torch.tensor(values, dtype=torch.uint8).view(dtype).reshape(shape)


def random_state(seed):
    rng = random.Random(seed)
    names = rng.sample(NAMES, rng.randrange(len(NAMES) + 1)) + [f"layers.{i}.w" for i in range(rng.randrange(30))]
    rng.shuffle(names)
    return OrderedDict((name, random_tensor(rng, rng.choice(DTYPES), rng.choice(SHAPES))) for name in names)


def same(found, wanted):
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        other = found[name]
        assert (other.dtype, other.shape, other.stride()) == (tensor.dtype, tensor.shape, tensor.stride()), name
        assert not other.requires_grad and other.device.type == "cpu", name
        assert bits(other) == bits(tensor), name


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def saved_by_torch(state):
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


def without_fingerprint(archive):
    """The bytes with the record that identifies the content, and its checksums, blanked."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entry = opened.getinfo("archive/.data/serialization_id")
        digits = opened.read(entry)
        assert len(digits) == 40 and digits.isdigit()
    return archive.replace(digits, b"0" * 40).replace(struct.pack("<I", entry.CRC), b"0000")


@pytest.fixture(scope="module")
def every_dtype():
    rng = random.Random(1)
    return OrderedDict((str(dtype), random_tensor(rng, dtype, (16, 16))) for dtype in [*DTYPES, torch.float4_e2m1fn_x2])


# ---- torch.save -------------------------------------------------------------------------------------


def check_archive(path, state):
    """What Python reads of a file, in each of its ways."""
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None  # every CRC-32
        for entry in opened.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
    same(torch.load(path, weights_only=True), state)
    same(torch.load(path, weights_only=False), state)
    same(torch.load(path, weights_only=True, mmap=True), state)
    torch.utils.serialization.config.load.calculate_storage_offsets = True
    try:
        same(torch.load(path, weights_only=True, mmap=True), state)
    finally:
        torch.utils.serialization.config.load.calculate_storage_offsets = False


@pytest.mark.parametrize("seed", range(30))
def test_torch_reads_what_is_saved(tmp_path, seed):
    state = random_state(seed)
    (tmp_path / "theirs.pt").write_bytes(saved_by_torch(state))
    probe(tmp_path / "theirs.pt", tmp_path / "ours.pt")
    check_archive(tmp_path / "ours.pt", state)
    # Python recalls a text by its identity, Suture by its value: ours is shorter where a name is a storage's number, too.
    if not {"0", "17"} & set(state):
        ours, theirs = (tmp_path / "ours.pt").read_bytes(), (tmp_path / "theirs.pt").read_bytes()
        assert without_fingerprint(ours) == without_fingerprint(theirs)


def test_every_dtype_goes_and_comes(tmp_path, every_dtype):
    (tmp_path / "theirs.pt").write_bytes(saved_by_torch(every_dtype))
    probe(tmp_path / "theirs.pt", tmp_path / "ours.pth")
    check_archive(tmp_path / "ours.pth", every_dtype)
    probe(tmp_path / "ours.pth", tmp_path / "again.pt")
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "ours.pth").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1000, 1001, 2000, 70000])
def test_any_number_of_tensors(tmp_path, count):
    """The pickler's batches are of 1000; beyond 65535 records a zip archive needs its 64-bit end."""
    value = torch.arange(max(count, 1), dtype=torch.int32)
    state = OrderedDict((f"t{i}", value[i].clone()) for i in range(count))
    (tmp_path / "theirs.pt").write_bytes(saved_by_torch(state))
    probe(tmp_path / "theirs.pt", tmp_path / "ours.pt")
    assert without_fingerprint((tmp_path / "ours.pt").read_bytes()) == without_fingerprint(
        (tmp_path / "theirs.pt").read_bytes())
    same(torch.load(tmp_path / "ours.pt", weights_only=True), state)


def test_views_keep_their_memory_and_strides(tmp_path):
    probe("views", tmp_path / "views.pt")
    for arguments in [{}, {"mmap": True}]:
        found = torch.load(tmp_path / "views.pt", weights_only=True, **arguments)
        matrix = torch.arange(24.).view(4, 6)
        cut = torch.arange(100).view(10, 10)
        wanted = OrderedDict(
            whole=matrix, tied=matrix, transposed=matrix.t(), row=matrix[2], first_row=cut[0], last_row=cut[9],
            columns=torch.arange(12, dtype=torch.int32).view(3, 4)[:, 1:3].contiguous(),
            expanded=torch.arange(3, dtype=torch.float64).expand(5, 3).contiguous(),
            channels_last=torch.arange(24.).view(1, 2, 3, 4).half().contiguous(memory_format=torch.channels_last),
            conjugate=torch.complex(torch.tensor([0., 2, 4]), -torch.tensor([1., 3, 5])),
            as_bytes=torch.arange(4, dtype=torch.int32).view(torch.uint8), gradient=torch.ones(2))
        same(found, wanted)
        storages = {name: tensor.untyped_storage() for name, tensor in found.items()}
        first = storages["whole"].data_ptr()
        assert all(storages[name].data_ptr() == first for name in ("tied", "transposed", "row"))
        # What no tensor needs of a larger storage is not written.
        assert len(storages["first_row"]) == len(storages["last_row"]) == 80
        assert len(storages["columns"]) == 24
        assert not found["conjugate"].is_conj()
    assert not any(tensor.requires_grad for tensor in found.values())
    found["whole"].zero_()
    assert not found["row"].any()


def test_tied_weights_are_those_of_torch(tmp_path):
    """A state dict with aliases that fill their storages, by a real module, is torch.save's own to the byte."""
    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 9, bias=False))
    module[1].weight = module[0].weight
    state = OrderedDict((name, tensor.detach()) for name, tensor in module.state_dict().items())
    (tmp_path / "theirs.pt").write_bytes(saved_by_torch(state))
    probe(tmp_path / "theirs.pt", tmp_path / "untied.pt")  # reading gives each tensor memory of its own
    same(torch.load(tmp_path / "untied.pt", weights_only=True), state)


def test_metadata_has_no_place_in_an_archive(tmp_path):
    (tmp_path / "theirs.pt").write_bytes(saved_by_torch({"w": torch.ones(1)}))
    assert "metadata" in refused(tmp_path / "theirs.pt", tmp_path / "ours.pt", "suture=1")
    probe(tmp_path / "theirs.pt", tmp_path / "ours.pt", "format=pt")
    assert {path.name for path in tmp_path.iterdir()} == {"theirs.pt", "ours.pt"}


def test_a_module_goes_to_python_and_comes_back(tmp_path):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 3)
            self.register_buffer("steps", torch.zeros(3, dtype=torch.int64))

    for extension in ("pt", "safetensors"):
        first, second, third = (tmp_path / f"{number}.{extension}" for number in range(3))
        probe("module", first)
        net = Net()
        load = safetensors.torch.load_file if extension == "safetensors" else lambda path: torch.load(path, weights_only=True)
        assert str(net.load_state_dict(load(first), strict=True)) == "<All keys matched successfully>"
        if extension == "safetensors":
            safetensors.torch.save_file(net.state_dict(), second, metadata={"format": "pt"})
        else:
            torch.save(net.state_dict(), second)
        probe("module", second, third)
        same(load(third), load(first))
        assert first.read_bytes() == third.read_bytes()


def test_a_script_takes_what_python_saved(tmp_path):
    """TorchScript modules take both formats, strictly and loosely, as load_state_dict does."""
    torch.manual_seed(5)
    source, script = (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)) for _ in range(2))
    torch.jit.script(script).save(tmp_path / "script.pt")
    other = OrderedDict(source.state_dict())
    other["2.weight"] = other.pop("0.bias")
    for kind, state in {"strict": source.state_dict(), "loose": other}.items():
        torch.save(state, tmp_path / f"{kind}.pt")
        safetensors.torch.save_file(dict(state), tmp_path / f"{kind}.safetensors")
        report = script.load_state_dict(state, strict=kind == "strict")
        wanted = {f"missing {name}" for name in report.missing_keys} | {f"unexpected {name}" for name in report.unexpected_keys}
        for extension in ("pt", "safetensors"):
            out = tmp_path / f"{kind}-out.{extension}"
            told = probe(kind, tmp_path / "script.pt", tmp_path / f"{kind}.{extension}", out)
            assert set(told.splitlines()) == wanted
            read = torch.load(out, weights_only=True) if extension == "pt" else safetensors.torch.load_file(out)
            assert read.keys() == script.state_dict().keys()
            for name, tensor in script.state_dict().items():
                if f"missing {name}" not in wanted:
                    assert bits(read[name]) == bits(tensor), name
    assert "missing" in refused("strict", tmp_path / "script.pt", tmp_path / "loose.pt", tmp_path / "no.pt")
    assert not (tmp_path / "no.pt").exists()


# ---- safetensors ------------------------------------------------------------------------------------


def split_header(raw):
    length, = struct.unpack("<Q", raw[:8])
    return raw[8:8 + length], raw[8 + length:]


def orders_of_metadata(raw, metadata):
    """The file's bytes under every order of its metadata's keys."""
    header, data = split_header(raw)
    for order in itertools.permutations(metadata.items()):
        text = json.dumps(dict(order), separators=(",", ":"), ensure_ascii=False)
        rest = header[header.index(b"}") + 1:]
        yield raw[:8] + b'{"__metadata__":' + text.encode() + rest + data


def save_both(tmp_path, state, metadata):
    (tmp_path / "in.pt").write_bytes(saved_by_torch(state))
    probe(tmp_path / "in.pt", tmp_path / "ours.safetensors", *(f"{key}={value}" for key, value in metadata.items()))
    safetensors.torch.save_file(dict(state), tmp_path / "theirs.safetensors", metadata=metadata or None)
    return (tmp_path / "ours.safetensors").read_bytes(), (tmp_path / "theirs.safetensors").read_bytes()


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"Schlüssel \" \\ \n /": "重み\t\x01\x7f\u2028"}, {"": ""}],
                         ids=["none", "format", "odd", "empty"])
@pytest.mark.parametrize("seed", range(20))
def test_safetensors_to_the_byte(tmp_path, seed, metadata):
    state = random_state(seed)
    if not state:
        state["w"] = torch.ones(1)
    ours, theirs = save_both(tmp_path, state, metadata)
    assert ours == theirs
    found = safetensors.torch.load_file(tmp_path / "ours.safetensors")  # in an order of its own
    assert found.keys() == state.keys()
    same(OrderedDict((name, found[name]) for name in state), state)


def test_safetensors_of_every_dtype(tmp_path, every_dtype):
    ours, theirs = save_both(tmp_path, every_dtype, {"format": "pt"})
    assert ours == theirs


@pytest.mark.parametrize("length", range(1, 10))
def test_safetensors_of_every_padding(tmp_path, length):
    ours, theirs = save_both(tmp_path, {"w" * length: torch.ones(length)}, {})
    assert ours == theirs


def test_safetensors_of_nothing(tmp_path):
    ours, theirs = save_both(tmp_path, {}, {})
    assert ours == theirs
    # With metadata Python's own file is broken JSON; this one can be read.
    (tmp_path / "ours.safetensors").unlink()
    probe(tmp_path / "in.pt", tmp_path / "ours.safetensors", "format=pt")
    with safetensors.safe_open(tmp_path / "ours.safetensors", "pt") as opened:
        assert not list(opened.keys()) and opened.metadata() == {"format": "pt"}


def test_safetensors_with_metadata_of_several_keys(tmp_path):
    """Python keeps metadata in a hash map whose order changes from call to call: equal up to that, and sorted here."""
    state = {"b": torch.ones(2), "a": torch.zeros(3, dtype=torch.float64)}
    metadata = {"z": "1", "format": "pt", "k": "2"}
    ours, theirs = save_both(tmp_path, state, metadata)
    assert theirs in set(orders_of_metadata(ours, metadata))
    assert ours == next(iter(orders_of_metadata(ours, dict(sorted(metadata.items())))))
    written = set()
    for _ in range(50):
        safetensors.torch.save_file(state, tmp_path / "again.safetensors", metadata=metadata)
        written.add((tmp_path / "again.safetensors").read_bytes())
    assert written <= set(orders_of_metadata(ours, metadata))


def test_safetensors_by_numpy(tmp_path):
    import safetensors.numpy
    state = {name: tensor for name, tensor in random_state(5).items()
             if tensor.dtype in (torch.float32, torch.int64, torch.bool, torch.uint8, torch.float16)}
    assert state
    ours, _ = save_both(tmp_path, state, {"format": "np"})
    safetensors.numpy.save_file({name: tensor.numpy() for name, tensor in state.items()}, tmp_path / "numpy.safetensors",
                                metadata={"format": "np"})
    assert ours == (tmp_path / "numpy.safetensors").read_bytes()
